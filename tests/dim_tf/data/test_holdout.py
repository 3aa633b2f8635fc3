import numpy as np
import pytest
from made_representations import Elsewhere

from dim_tf.data import holdout, pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError

COUNT = 40


def split(first, count, kind=np.asarray, surround=False):
    """Image n is n everywhere, as its label is."""
    numbers = np.arange(first, first + count)
    images = np.tile(numbers.astype(np.uint8)[:, None, None, None], (1, 4, 4, 1))
    around = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge") if surround else None
    return Split(kind(images), numbers, around)


def numbers(part):
    return part.images[:][:, 0, 0, 0].tolist()


@pytest.mark.parametrize("kind", [np.asarray, Elsewhere])
def test_images_are_on_one_side_or_the_other_with_their_labels(kind):
    splits = Splits("a", split(0, COUNT, kind, surround=True), split(100, 5), ("x",), "Images.")
    found = holdout.of(splits, 0.25)
    assert len(found.test) == COUNT // 4
    assert sorted(numbers(found.train) + numbers(found.test)) == list(range(COUNT))
    for part in (found.train, found.test):
        assert numbers(part) == part.labels.tolist()
        assert part.surround[:, 0, 0, 0].tolist() == numbers(part)
    assert numbers(found.test) != list(range(COUNT // 4))  # drawn at random
    assert numbers(holdout.of(splits, 0.25).test) == numbers(found.test)
    assert found.note == (
        "Images. Held out: 10 of the 40 training images are the test images here."
    )
    batch = next(iter(pipeline.training_batches(found.train, 30, 1, 0, 0, "none")))
    held_in = (np.asarray(batch)[:, 0, 0, 0] + 1) * 127.5
    assert sorted(held_in.round().astype(int)) == numbers(found.train)


def test_of_images_with_few_labels_the_labelled_are_divided():
    labelled = split(50, 20)
    splits = Splits("a", Split(split(0, COUNT).images, None), split(100, 5), ("x",), "", labelled)
    found = holdout.of(splits, 0.5)
    assert found.train is splits.train
    assert sorted(numbers(found.labelled) + numbers(found.test)) == list(range(50, 70))


def test_nothing_is_held_out_without_a_share_and_neither_none_nor_all_with_one():
    splits = Splits("a", split(0, COUNT), split(100, 5), ("x",), "")
    assert holdout.of(splits, 0.0) is splits
    for share in (0.01, 0.99):
        with pytest.raises(
            InputError, match=f"--validation_fraction={share} of 40 training images are"
        ):
            holdout.of(splits, share)

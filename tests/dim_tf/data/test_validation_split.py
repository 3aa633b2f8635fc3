import numpy as np
import pytest
from sample_representations import LazyImages

from dim_tf.data import pipeline, validation_split
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

COUNT = 40


def split(first, count, container=np.asarray, uncropped=False):
    """Image n is n everywhere, as its label is."""
    numbers = np.arange(first, first + count)
    images = np.tile(numbers.astype(np.uint8)[:, None, None, None], (1, 4, 4, 1))
    around = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge") if uncropped else None
    return Split(container(images), numbers, around)


def numbers(part):
    return part.images[:][:, 0, 0, 0].tolist()


@pytest.mark.parametrize("container", [np.asarray, LazyImages])
def test_images_are_on_one_side_or_the_other_with_their_labels(container):
    splits = Splits(
        "a", split(0, COUNT, container, uncropped=True), split(100, 5), ("x",), "Images."
    )
    held = validation_split.hold_out(splits, 0.25)
    assert len(held.test) == COUNT // 4
    assert sorted(numbers(held.train) + numbers(held.test)) == list(range(COUNT))
    for part in (held.train, held.test):
        assert numbers(part) == part.labels.tolist()
        assert part.uncropped[:, 0, 0, 0].tolist() == numbers(part)
    assert numbers(held.test) != list(range(COUNT // 4))  # drawn at random
    assert numbers(validation_split.hold_out(splits, 0.25).test) == numbers(held.test)
    assert held.note == ("Images. Held out: 10 of the 40 training images are the test images here.")
    batch = next(iter(pipeline.training_batches(held.train, 30, 1, 0, 0, "none")))
    held_in = (np.asarray(batch)[:, 0, 0, 0] + 1) * 127.5
    assert sorted(held_in.round().astype(int)) == numbers(held.train)


def test_of_images_with_few_labels_the_labelled_are_divided():
    labelled = split(50, 20)
    splits = Splits("a", Split(split(0, COUNT).images, None), split(100, 5), ("x",), "", labelled)
    held = validation_split.hold_out(splits, 0.5)
    assert held.train is splits.train
    assert sorted(numbers(held.labelled) + numbers(held.test)) == list(range(50, 70))


def test_nothing_is_held_out_without_a_fraction_and_neither_none_nor_all_with_one():
    splits = Splits("a", split(0, COUNT), split(100, 5), ("x",), "")
    assert validation_split.hold_out(splits, 0.0) is splits
    for fraction in (0.01, 0.99):
        with pytest.raises(
            InputError, match=f"--validation_fraction={fraction} of 40 training images are"
        ):
            validation_split.hold_out(splits, fraction)

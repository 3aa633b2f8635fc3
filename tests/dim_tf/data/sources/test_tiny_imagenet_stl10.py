"""STL-10's protocol on Tiny ImageNet: which classes have labels, and whose images go where."""

import hashlib

import numpy as np
import pytest
import sample_files

from dim_tf import data
from dim_tf.data.sources.tiny_imagenet_stl10 import draw_classes
from dim_tf.system.errors import InputError

IDS = [f"n{10_000_000 + 7 * number}" for number in range(200)]  # those of `sample_files`


def load(name, folder):
    return data.load(name, data.DataRequest(str(folder), 8, download=False))


def test_classes_are_drawn_by_the_hash_of_their_ids():
    labelled, unlabelled = draw_classes(IDS)
    assert (len(labelled), len(unlabelled)) == (10, 100)
    assert not set(labelled) & set(unlabelled)
    assert (labelled, unlabelled) == (sorted(labelled), sorted(unlabelled))
    digests = [hashlib.sha256(name.encode()).digest() for name in IDS]
    rest = set(range(200)) - set(labelled) - set(unlabelled)
    largest = [max(digests[index] for index in group) for group in (labelled, unlabelled)]
    assert largest[0] < min(digests[index] for index in unlabelled)
    assert largest[1] < min(digests[index] for index in rest)


def test_the_draw_does_not_depend_on_the_order_of_the_classes():
    drawn = [{IDS[index] for index in kind} for kind in draw_classes(IDS)]
    turned = IDS[::-1]
    assert [{turned[index] for index in kind} for kind in draw_classes(turned)] == drawn


@pytest.mark.slow
def test_images_go_where_their_class_is(tmp_path):
    sample_files.tiny_imagenet(tmp_path / "tiny-imagenet-200.zip", test_classes=range(200))
    whole, few = load("tiny_imagenet", tmp_path), load("tiny_imagenet_stl10", tmp_path)
    labelled, unlabelled = draw_classes(IDS)
    assert few.train.labels is None
    assert few.name == "tiny_imagenet_stl10"
    assert [name.split()[0] for name in few.label_names] == [IDS[index] for index in labelled]
    class_of = {
        image.tobytes(): label
        for split in (whole.train, whole.test)
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert len(class_of) == 400
    assert sorted(class_of[image.tobytes()] for image in few.train.images) == unlabelled
    for split, of_whole in ((few.labelled, whole.train), (few.test, whole.test)):
        assert sorted(split.labels) == list(range(10))
        assert split.labels.dtype == np.int64
        pixels = {image.tobytes() for image in of_whole.images}
        for image, label in zip(split.images, split.labels, strict=True):
            assert image.tobytes() in pixels
            assert class_of[image.tobytes()] == labelled[label]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"By hand: get .*tiny-imagenet-200.zip"):
        load("tiny_imagenet_stl10", tmp_path)

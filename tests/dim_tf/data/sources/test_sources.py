"""Every source gives the same kind of `Splits`."""

import importlib
import inspect
import os

import numpy as np
import pytest

from dim_tf import data
from dim_tf.data.sources import SOURCES, tfds_files
from dim_tf.registry import AUGMENTATIONS
from dim_tf.system.errors import InputError

FILES = os.environ.get("TFDS_DATA_DIR", "")


def check(splits, size, channels):
    assert splits.image_shape == (size, size, channels)
    for split in (splits.train, splits.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert len(split.images) == len(split.labels) > 0
    assert splits.note


def test_digits():
    splits = data.load("digits", data.DataRequest())
    check(splits, 28, 1)
    assert (len(splits.train), len(splits.test)) == (1198, 599)
    assert set(splits.test.labels) == set(range(10))
    assert not splits.multi_label
    train = {image.tobytes() for image in splits.train.images}
    repeated = sum(image.tobytes() in train for image in splits.test.images)
    assert repeated == 0
    again = data.load("digits", data.DataRequest())
    np.testing.assert_array_equal(again.test.images, splits.test.images)


def test_an_unknown_source_is_named():
    with pytest.raises(InputError, match="unknown data set 'nothing'"):
        data.load("nothing", data.DataRequest())


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_its_loader(name):
    module, _, function = SOURCES[name].loader.partition(":")
    loader = getattr(importlib.import_module(module), function)
    assert list(inspect.signature(loader).parameters) == ["request"]
    assert SOURCES[name].augmentation in AUGMENTATIONS


@pytest.mark.parametrize(("name", "says"), [("cifar10", "copy FOLDER"), ("celeb_a", "By hand")])
def test_missing_files_say_how_to_get_them(name, says, tmp_path):
    with pytest.raises(InputError, match=says):
        data.load(name, data.DataRequest(str(tmp_path), download=False))


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="TFDS_DATA_DIR is not set")
def test_cifar10():
    splits = data.load("cifar10", data.DataRequest(FILES, download=False))
    check(splits, 32, 3)
    assert (len(splits.train), len(splits.test)) == (50_000, 10_000)
    assert splits.label_names[3] == "cat"
    assert list(np.bincount(splits.test.labels)) == [1000] * 10


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="TFDS_DATA_DIR is not set")
def test_celeb_a():
    splits = data.load("celeb_a", data.DataRequest(FILES, download=False))
    check(splits, 64, 3)
    assert splits.multi_label
    assert splits.train.labels.shape[1] == len(splits.label_names) == 40
    assert splits.label_names == tuple(sorted(splits.label_names))
    assert set(np.unique(splits.train.labels)) == {0, 1}


@pytest.mark.parametrize("name", ["..", "a b", "", "cifar10/nope", "no_such", "/etc"])
def test_a_name_that_tfds_does_not_know_is_an_error(name, tmp_path):
    with pytest.raises(InputError, match=r"TensorFlow Datasets (has no|cannot make)") as caught:
        tfds_files.find_builder(name, data.DataRequest(str(tmp_path)))
    assert len(str(caught.value).splitlines()) == 1

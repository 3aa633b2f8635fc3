"""What is measured on: which images of a data set, and their labels."""

import dataclasses

import numpy as np
import pytest
from sample_representations import LazyImages, random_splits

from dim_tf.data.splits import Split
from dim_tf.evaluation import evaluation_data
from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.evaluation.evaluation_data import EvaluationData


@pytest.fixture
def splits():
    return random_splits()


def test_measures_see_as_many_images_as_fit_into_memory(splits):
    """Of those that are on disk; with their labels and groups."""
    groups = np.arange(300) // 3
    train = Split(LazyImages(splits.train.images), splits.train.labels, groups=groups)
    on_disk = dataclasses.replace(splits, train=train)
    data = EvaluationData.from_splits(on_disk, max_train_images=50, max_test_images=20)
    assert (len(data.train), len(data.test)) == (50, 30)  # the test images are in memory
    assert data.note == "a note Measured on 50 of the 300 training images, drawn at random."
    indices = [
        next(i for i, one in enumerate(splits.train.images) if np.array_equal(one, image))
        for image in data.train.images
    ]
    assert len(set(indices)) == 50
    np.testing.assert_array_equal(data.train.labels, splits.train.labels[indices])
    np.testing.assert_array_equal(data.train.groups, groups[indices])
    again = EvaluationData.from_splits(on_disk, max_train_images=50, max_test_images=20)
    np.testing.assert_array_equal(again.train.images, data.train.images)
    assert EvaluationData.from_splits(on_disk).note == "a note"


def test_probes_are_trained_on_the_images_that_have_labels(splits):
    unlabelled = Split(np.zeros((7, 8, 8, 1), np.uint8), None)
    data = EvaluationData.from_splits(
        dataclasses.replace(
            splits,
            train=unlabelled,
            labelled=dataclasses.replace(splits.train, groups=np.arange(300)),
        )
    )
    assert data.train.images is splits.train.images
    assert data.train.groups[-1] == 299
    assert data.has_classes


def test_images_beyond_the_memory_are_the_same_in_a_file(splits, tmp_path, monkeypatch):
    """Those that are read; those of other sources are in memory already."""
    monkeypatch.setattr(evaluation_data, "_BATCH_BYTES", 7 * 64)
    on_disk = dataclasses.replace(
        splits, train=Split(LazyImages(splits.train.images), splits.train.labels)
    )
    data = EvaluationData.from_splits(on_disk, storage=ArrayStorage(0, tmp_path))
    assert isinstance(data.train.images, np.memmap)
    assert data.test.images is splits.test.images
    np.testing.assert_array_equal(data.train.images, splits.train.images)

"""Validation images are drawn class by class, by group, and no class is lost."""

import numpy as np
import pytest

from dim_tf.finetuning.validation_split import split
from dim_tf.system.errors import InputError


def test_each_class_gives_its_fraction():
    labels = np.repeat([0, 1, 2], [10, 100, 50])
    train, validation = split(labels, 0.2, seed=3)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [2, 20, 10])
    assert set(train) | set(validation) == set(range(160))
    assert not set(train) & set(validation)
    assert set(split(labels, 0.2, seed=4)[1]) != set(validation)
    np.testing.assert_array_equal(split(labels, 0.2, seed=3)[1], validation)


def test_groups_stay_together():
    labels = np.tile([0, 1], 50)
    groups = np.arange(100) // 4
    train, validation = split(labels, 0.25, groups=groups)
    assert not set(groups[train]) & set(groups[validation])
    assert 20 <= len(validation) <= 30


def test_a_class_of_one_image_keeps_it():
    for seed in range(5):
        labels = np.array([0] * 10 + [1] * 10 + [2])
        train, validation = split(labels, 0.5, seed)
        assert 2 in labels[train]
        assert len(validation) >= 10


def test_attributes():
    labels = np.random.default_rng(0).integers(0, 2, (40, 3))
    train, validation = split(labels, 0.2)
    assert (len(train), len(validation)) == (32, 8)


def test_few_images_a_class_give_a_larger_fraction():
    labels = np.repeat([0, 1, 2], 3)
    _, validation = split(labels, 0.1)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [1, 1, 1])


def test_too_few_images():
    with pytest.raises(InputError, match="of 10 labelled images or groups none can be kept"):
        split(np.arange(10), 0.2)
    with pytest.raises(InputError, match=r"none of 2 .* leaving a class without an image"):
        split(np.array([0, 0, 1, 1]), 0.5, groups=np.array([0, 0, 1, 1]))

"""Tests of leaks between a training and a test folder."""

import numpy as np
import pytest

from dim_tf.collection.curation.duplicates import DuplicatePairs, Duplicates
from dim_tf.collection.curation.leaks import find_leaks
from dim_tf.collection.curation.match_rates import Rate
from dim_tf.system.errors import InputError

IS_TEST = np.array([False, False, False, True, True, True, True, False])


def duplicates(pairs, groups, keepers):
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    similarities = np.linspace(0.99, 0.9, len(pairs), dtype=np.float32)
    flags = np.zeros(len(pairs), bool)
    listed = DuplicatePairs(first, second, similarities, 1 - similarities, flags, flags)
    nothing = Rate(0, 1)
    return Duplicates(
        listed,
        np.array(groups),
        np.array(keepers),
        0.9,
        len(pairs),
        False,
        True,
        {},
        nothing,
        nothing,
        None,
        0.0,
        0.0,
    )


def test_test_images_with_a_copy_in_training_are_leaks_once_each():
    # 3 is like 0 and, less, 1; 4 and 5 are copies within the test folder, 2 and 7 within training.
    found = duplicates(
        [(0, 3), (4, 5), (1, 3), (2, 7)], [0, 0, 2, 0, 1, 1, -1, 2], keepers=[0, 4, 2]
    )
    leaks = find_leaks(found, IS_TEST)
    assert leaks.test_rows.tolist() == [3]
    assert leaks.train_rows.tolist() == [0]
    assert leaks.similarities[0] == pytest.approx(0.99)
    assert leaks.fraction == 1 / 4


def test_a_copy_of_a_copy_is_a_leak():
    found = duplicates([(0, 3), (3, 4)], [0, -1, -1, 0, 0, -1, -1, -1], keepers=[3])
    leaks = find_leaks(found, IS_TEST)
    assert leaks.test_rows.tolist() == [3, 4]
    assert leaks.train_rows.tolist() == [0, 0]
    assert np.isnan(leaks.similarities).tolist() == [False, True]


def test_no_duplicates_are_no_leaks():
    leaks = find_leaks(duplicates([], [-1] * 8, keepers=np.zeros(0, int)), IS_TEST)
    assert len(leaks) == 0
    assert leaks.fraction == 0


def test_a_single_folder_is_refused():
    with pytest.raises(InputError, match="all 8 images are in the training folder"):
        find_leaks(duplicates([], [-1] * 8, keepers=np.zeros(0, int)), np.zeros(8, bool))

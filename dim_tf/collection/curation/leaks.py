"""Images that are in both a user's training and test folders, as copies of each other."""

from dataclasses import dataclass

import numpy as np

from dim_tf.collection.curation.duplicates import Duplicates
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class Leaks:
    """L test images that have a copy in the training folder, the most similar first.

    Attributes:
        test_rows: int64 [L], each only once.
        train_rows: int64 [L], the most similar copy. If two images are copies of the same ones but
            were not compared themselves, it is the keeper of the group or its first training image.
        similarities: float32 [L], similarities of the features; NaN if the two were not compared.
        distances: float32 [L], distances of the pixels; NaN if they were not compared.
        tested: Number of images in the test folder.
    """

    test_rows: np.ndarray
    train_rows: np.ndarray
    similarities: np.ndarray
    distances: np.ndarray
    tested: int

    def __len__(self) -> int:
        return len(self.test_rows)

    @property
    def fraction(self) -> float:
        """Fraction of the test images that have a copy in the training folder."""
        return len(self) / max(self.tested, 1)


def find_leaks(duplicates: Duplicates, is_test: np.ndarray) -> Leaks:
    """Finds the groups of duplicates that span both folders.

    Args:
        duplicates: Duplicates among N images.
        is_test: bool [N], whether an image is in the test folder.

    Raises:
        InputError: All images are in one of the folders.
    """
    if is_test.all() or not is_test.any():
        folder = "test" if is_test.all() else "training"
        raise InputError(
            f"leaks need a training and a test folder; all {len(is_test):,} images are in the "
            f"{folder} folder"
        )
    pairs = duplicates.pairs
    compared = np.flatnonzero(is_test[pairs.first] != is_test[pairs.second])
    first_is_test = is_test[pairs.first[compared]]
    ends = pairs.first[compared], pairs.second[compared]
    tests, trains = np.where(first_is_test, *ends), np.where(first_is_test, *ends[::-1])
    tests, once = np.unique(tests, return_index=True)  # pairs are sorted, the most similar first
    chosen = compared[once]
    others, partners = _through_a_third(duplicates, is_test, tests)
    unknown = np.full(len(others), np.nan, np.float32)
    similarities = np.concatenate([pairs.similarities[chosen], unknown])
    order = np.argsort(-similarities, kind="stable")  # NaN last
    return Leaks(
        np.concatenate([tests, others])[order],
        np.concatenate([trains[once], partners])[order],
        similarities[order],
        np.concatenate([pairs.distances[chosen], unknown])[order],
        int(is_test.sum()),
    )


def _through_a_third(duplicates, is_test, known):
    """Test images whose group has training images but which form a pair with none of them."""
    groups, keepers = duplicates.groups, duplicates.keepers
    trained = np.flatnonzero((groups >= 0) & ~is_test)
    partner = np.full(len(keepers), -1)
    partner[groups[trained[::-1]]] = trained[::-1]  # the first of each group
    kept = ~is_test[keepers]
    partner[kept] = keepers[kept]
    rows = np.flatnonzero((groups >= 0) & is_test)
    rows = rows[partner[groups[rows]] >= 0]
    rows = np.setdiff1d(rows, known)
    return rows, partner[groups[rows]]

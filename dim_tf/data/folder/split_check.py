"""Checks that a split leaves enough images with enough labels."""

import numpy as np

from dim_tf.data.folder.hash_split import MIN_TEST
from dim_tf.data.folder.labels import is_unlabelled
from dim_tf.data.folder.split import FolderSplit
from dim_tf.system.errors import InputError

MIN_TRAINING = 10


def check_split(split: FolderSplit, folder: str) -> None:
    """Checks that enough images are left.

    Args:
        split: The images.
        folder: Path of their folder, for the message.

    Raises:
        InputError: There are too few images for the test, or to train or probe on.
    """
    sizes = {
        "test": (split.test_count, MIN_TEST),
        "training": (len(split.indices) - split.test_count, MIN_TRAINING),
    }
    for name, (count, minimum) in sizes.items():
        if split.split_by == "folders" and count < minimum:
            raise InputError(
                f"{folder} has {count} different {name} images in {split.split_folders}, expected "
                f"at least {minimum}; add some, or give --split=hash, which takes test images from "
                "all"
            )
        if split.split_by == "hash" and split.counts["groups"] and count < minimum:
            raise _group_error(split, folder, f"{count} {name} images, expected at least {minimum}")
    if split.labels is None:
        return
    count = int((~is_unlabelled(split.labels[split.test_count :])).sum())
    if count < MIN_TRAINING:
        raise InputError(
            f"{folder} has {count} images for training that have a label, expected at least "
            f"{MIN_TRAINING}; give --labels=none"
        )
    test_labels = split.labels[: split.test_count]
    same = not (test_labels != test_labels[:1]).any()
    if split.labels.ndim == 2 and len(test_labels) and same:
        raise InputError(
            f"{folder} has {split.test_count} test images with a label, all of the same attributes,"
            " of which none can be measured; choose others by --split, or give --labels=none"
        )


def _group_error(split, folder, shortage):
    """The error for groups that are too large, or too few, for a split."""
    sizes = np.bincount(split.groups)
    largest = split.counts["largest_group"]
    if split.labels is not None and split.labels.ndim == 1:
        pairs = {*zip(split.groups.tolist(), split.labels.tolist(), strict=True)}
        if len(pairs) == len(split.label_names):
            shortage += ", since each class is one group"
    return InputError(
        f"the {len(split.groups):,} images in {folder} are {len(sizes):,} groups "
        f"{split.counts['groups_kind']}, the largest of {largest['images']:,} "
        f"({largest['first']}), which leaves {shortage}; give --group_by=none to split single "
        "images, another --group_by, folders named train and test, or --test_fraction=0 for no test"
    )

"""Splits a folder's images into training and test images, and labels them.

docs/DATA.md states the rules.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from dim_tf.data import DataRequest
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.labels import FolderLabels, is_unlabelled, label_by_folder
from dim_tf.data.folder.labels_file import read_labels_file
from dim_tf.data.folder.manifest import Manifest
from dim_tf.data.folder.matched_labels import match_labels
from dim_tf.data.folder.report import list_some, printable
from dim_tf.data.folder.split_folders import SplitLayout, ambiguous_folders, find_split_layout
from dim_tf.data.folder.split_names import Role
from dim_tf.data.image_faults import Fault
from dim_tf.system.errors import InputError

TEST_FRACTION = 0.1
MIN_TEST, MAX_TEST = 10, 10_000
MIN_TRAINING = 10  # where folders say which they are
MIN_IMAGES = 20
BY_HASH = "by the hash of each image's pixels"


@dataclass(frozen=True)
class SplitMethod:
    """How training and test images are separated: by their folders, or by a hash of their pixels.

    Attributes:
        test: the role whose images are the test images; None: the hash decides.
        reason: for the `data:` line.
    """

    test: Role | None
    reason: str

    def priority(self, roles: np.ndarray) -> np.ndarray:
        """Of several copies of an image, the one with the lowest number is kept.

        A test image stays one: its copies are not trained on. A copy that may have a label comes
        before one that has none.
        """
        if self.test is None:
            return np.isin(roles, (Role.EXTRA, Role.UNLABELLED)) + 2 * (roles >= Role.LEFT_OUT)
        return np.where(roles == self.test, Role.TEST, roles).astype(np.int64)

    def left_out(self, roles: np.ndarray) -> np.ndarray:
        """Images neither for training nor for the test: those to choose settings by, masks,
        predictions, and images for the test that have no label.
        """
        validation = (roles == Role.VALIDATION) & (self.test == Role.TEST)
        return validation | (roles >= Role.LEFT_OUT)


@dataclass(frozen=True)
class FolderSplit:
    """A folder's images: the test images, then those with a label, then the others.

    Attributes:
        indices: int64 [N], in the manifest.
        test_count: how many are test images.
        labels: int64 [N] or [N, A], -1: none; or None.
        label_names: of the classes or attributes.
        unlabelled_count: how many training images have no label, of a folder that has labels.
        duplicates: index of each file with the pixels of another -> that one's index.
        counts: for data.json.
        split_folders: the names of the folders that are splits, or the column, for a message.
        by_folders: whether these say which images are for the test.
    """

    indices: np.ndarray
    test_count: int
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    unlabelled_count: int
    duplicates: dict[int, int]
    counts: dict[str, Any]
    split_folders: str
    by_folders: bool


def split_images(request: DataRequest, manifest: Manifest, folders: ImageFolders) -> FolderSplit:
    """Separates training and test images, and labels them.

    Args:
        request: its `split`, `labels` and `label_column`.
        manifest: the files.
        folders: that these are in.

    Raises:
        InputError: the folders are not those that `split` or `labels` needs, or the file of labels
            is not one of these images.
    """
    usable = np.flatnonzero(manifest.faults == Fault.NONE)
    usable_names = [manifest.names[index] for index in usable]
    layout = find_split_layout(usable_names, folders)
    roles = np.full(len(manifest), Role.TRAINING)
    if layout:
        roles[usable] = layout.roles
    matched = None
    if request.has_labels_file and len(usable):
        file = read_labels_file(request.labels_path, request.label_column)
        matched = match_labels(file, usable_names, folders)
        roles[usable] = matched.assign_roles(roles[usable].tolist(), request.split)
        layout = dataclasses.replace(layout, roles=roles[usable].tolist()) if layout else None
    ambiguous = ambiguous_folders(usable_names, layout)
    column = matched.find_test(roles[usable]) if matched and matched.roles else None
    method = _choose_method(request.split, layout, ambiguous, column)
    indices, duplicates = deduplicate(manifest, method.priority(roles))
    is_left_out = method.left_out(roles[indices])
    left_out_roles = roles[indices[is_left_out]]
    indices = indices[~is_left_out]
    kept_layout = layout.select(np.searchsorted(usable, indices).tolist()) if layout else None
    if matched:
        labels = matched.select(np.searchsorted(usable, indices))
    else:
        names = [folders.locate(manifest.names[index])[1] for index in indices]
        labels = label_by_folder(names, request.labels, kept_layout)
    only_tested = ""
    if method.test is not None:
        only_tested = labels.describe_untrained_class(roles[indices] == method.test)
    if only_tested and request.labels != "auto":
        raise InputError(
            f"--labels={request.labels}: {only_tested}; give --split=hash, or leave --labels out"
        )
    if only_tested:
        labels = FolderLabels(None, (), f"none: {only_tested}")
    order, test_count, unlabelled = _order_images(
        manifest.pixel_digests[indices], roles[indices], labels.classes, method
    )
    classes = None if labels.classes is None else labels.classes[order]
    split_folders = layout.folders if layout else {}
    counts = {
        "images": len(indices),
        "training_images": len(indices) - test_count,
        "test_images": test_count,
        "split": method.reason,
        "split_by": "folders" if method.test is not None else "hash",
        "split_folders": {
            printable(name): role.name.lower() for name, role in split_folders.items()
        },
        "validation_images_left_out": int((left_out_roles == Role.VALIDATION).sum()),
        "images_of_other_folders_left_out": int((left_out_roles == Role.LEFT_OUT).sum()),
        "unmeasured_images_left_out": int((left_out_roles == Role.UNMEASURED).sum()),
        "folders_left_out": [printable(name) for name in (layout.left_out if layout else ())],
        "test_images_left_out_of_training": _count_leaks(method, roles, duplicates),
        "labels": labels.reason,
        "label_rows_without_image": matched.unmatched_rows if matched else 0,
        "unlabelled_training_images": unlabelled,
        "classes": labels.count(),
    }
    return FolderSplit(
        indices[order],
        test_count,
        classes,
        labels.names,
        unlabelled,
        duplicates,
        counts,
        matched.split_column if matched and column else layout.listed if layout else "",
        method.test is not None,
    )


def _choose_method(
    mode: str,
    layout: SplitLayout | None,
    ambiguous: list[str],
    column: tuple[Role | None, str] | None,
) -> SplitMethod:
    """How training and test images are separated.

    Args:
        mode: "folders", "hash" or "auto".
        layout: of the images; None: no folder is a split.
        ambiguous: folders that are not taken for a split, although their names have its word.
        column: of splits, `MatchedLabels.find_test`, which comes before the folders; None: none.

    Raises:
        InputError: by folders, and there are not those of both.
    """
    if mode == "hash":
        return SplitMethod(None, BY_HASH)
    if column:
        test, reason = column
        if test is None and mode == "folders":
            raise InputError(f"--split=folders: {reason}; leave --split out, or correct the column")
        return SplitMethod(test, reason if test is not None else f"{BY_HASH} ({reason})")
    why_not = "no folder is called train, test or the like"
    not_taken = f"not taken for splits: {list_some(ambiguous)}"
    if ambiguous:
        why_not = not_taken
    if layout:
        roles = set(layout.roles)
        test = Role.TEST if Role.TEST in roles else Role.VALIDATION
        why_not = f"of {layout.listed} none is "
        if test not in roles and Role.UNMEASURED in roles:
            why_not = f"of {layout.listed} none has labelled images for the test"
        elif test not in roles:
            why_not += "for the test"
        elif not roles - {Role.TEST, Role.VALIDATION, Role.UNMEASURED}:
            why_not += "for training"
        else:
            test_folders = [name for name, role in layout.folders.items() if role == test]
            reason = f"by the folders: {' and '.join(test_folders)} for the test"
            if layout.extra_folders:
                extra = list_some(layout.extra_folders)
                reason += f"; for training also {extra}, beside them"
            return SplitMethod(test, f"{reason}; {not_taken}" if ambiguous else reason)
        why_not += f", {not_taken}" if ambiguous else ""
    if mode == "folders":
        raise InputError(
            f"--split=folders takes the folders' own training and test images, but {why_not}; "
            "leave --split out, or rename the folders to train and test"
        )
    return SplitMethod(None, f"{BY_HASH} ({why_not})" if layout or ambiguous else BY_HASH)


def deduplicate(
    manifest: Manifest, priority: np.ndarray | None = None
) -> tuple[np.ndarray, dict[int, int]]:
    """The distinct images, in the order of the digests of their pixels.

    Args:
        manifest: the files.
        priority: int [N]: of files with the same pixels one with the lowest is kept; None: all the
            same.

    Returns:
        Their indices, of files with the same pixels and priority the first by name; and the index
        of each duplicate -> the index of the file that is kept.
    """
    usable = np.flatnonzero(manifest.faults == Fault.NONE)
    numbers = manifest.pixel_digests[usable].view(">u8")  # [N, 2]
    rank = np.zeros(len(usable)) if priority is None else priority[usable]
    # Stable: names stay in order.
    ordered = usable[np.lexsort((rank, numbers[:, 1], numbers[:, 0]))]
    digests = manifest.pixel_digests[ordered]
    is_first = np.ones(len(ordered), bool)
    is_first[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    indices = ordered[is_first]
    kept = indices[np.cumsum(is_first) - 1] if len(indices) else indices
    duplicates = zip(ordered[~is_first].tolist(), kept[~is_first].tolist(), strict=True)
    return indices, dict(duplicates)


def count_test_images(digests: np.ndarray) -> int:
    """How many of the images, in the order of their digests, are test images.

    So an image's digest decides, and not its name, its place or a seed. More files can make a test
    image one of training, where there are very many or very few; never the other way.

    Args:
        digests: uint8 [N, D], ascending.
    """
    first = digests[:, 0].astype(np.int64) * 256 + digests[:, 1]
    below = int((first < TEST_FRACTION * 2**16).sum())
    return min(max(below, MIN_TEST), MAX_TEST, len(digests))


def _order_images(digests, roles, labels, method):
    """Puts test images first, then training images with a label, then those without.

    Args:
        digests: uint8 [N, D], ascending.
        roles: [N], of `Role`.
        labels: int64 [N] or [N, A], -1: none; or None.
        method: how they are separated.

    Returns:
        Indices, int [N]; how many are test images; how many of the others have no label.
    """
    unlabelled = np.zeros(len(digests), bool) if labels is None else is_unlabelled(labels)
    if method.test is None:
        # The hash may choose any image that has what the others have.
        eligible = np.flatnonzero(~unlabelled & ~np.isin(roles, (Role.EXTRA, Role.UNLABELLED)))
        if labels is None and len(eligible) < MIN_IMAGES:
            eligible = np.arange(len(digests))
        test = np.zeros(len(digests), bool)
        test[eligible[: count_test_images(digests[eligible])]] = True
    else:
        test = roles == method.test
    order = np.argsort(np.where(test, 0, np.where(unlabelled, 2, 1)), kind="stable")
    return order, int(test.sum()), int((unlabelled & ~test).sum())


def _count_leaks(method, roles, duplicates):
    """How many files of training folders are left out since a test folder has the same image."""
    if method.test is None:
        return 0
    return sum(
        bool(roles[kept] == method.test != roles[copy]) and not method.left_out(roles[copy])
        for copy, kept in duplicates.items()
    )


def check_split(split: FolderSplit, folder: str) -> None:
    """Checks that enough images are left.

    Args:
        split: the images.
        folder: its path, for the message.

    Raises:
        InputError: there are too few for the test, or to train or probe on.
    """
    sizes = {
        "test": (split.test_count, MIN_TEST),
        "training": (len(split.indices) - split.test_count, MIN_TRAINING),
    }
    for name, (count, minimum) in sizes.items():
        if split.by_folders and count < minimum:
            raise InputError(
                f"{folder} has {count} different {name} images in {split.split_folders}, expected "
                f"at least {minimum}; add some, or give --split=hash, which takes test images from "
                "all"
            )
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

"""Splits a folder's images into training and test images, and labels them.

docs/DATA.md states the rules.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from dim_tf.data import DEFAULT_TEST_FRACTION, DataRequest, group_by
from dim_tf.data.folder.groups import (
    ImageGroups,
    count_separated_pairs,
    count_tests_near_training,
    describe_groups,
    group_images,
)
from dim_tf.data.folder.hash_split import choose_test
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

MIN_IMAGES = 20
BY_HASH = "by the hash of each image's pixels"


@dataclass(frozen=True)
class SplitMethod:
    """How training and test images are separated: by their folders, or by a hash of their pixels.

    Attributes:
        test: The role whose images are the test images; None: the hash decides.
        reason: The reason, for the line that starts with `data:`.
        fraction: Fraction of the images that the hash chooses for the test; 0: none is for the
            test.
    """

    test: Role | None
    reason: str
    fraction: float = DEFAULT_TEST_FRACTION

    @property
    def name(self) -> str:
        """The method for data.json: folders, hash or none."""
        if self.test is not None:
            return "folders"
        return "hash" if self.fraction else "none"

    def priority(self, roles: np.ndarray) -> np.ndarray:
        """Of several copies of an image, the one with the lowest number is kept.

        A test image remains one: its copies are not trained on. A copy that may have a label
        precedes one that has none.
        """
        if self.test is None:
            return np.isin(roles, (Role.EXTRA, Role.UNLABELLED)) + 2 * (roles >= Role.LEFT_OUT)
        return np.where(roles == self.test, Role.TEST, roles).astype(np.int64)

    def left_out(self, roles: np.ndarray) -> np.ndarray:
        """Images that are neither for training nor for the test.

        These are images for choosing settings, masks, predictions, and test images without a label.
        """
        validation = (roles == Role.VALIDATION) & (self.test == Role.TEST)
        return validation | (roles >= Role.LEFT_OUT)


@dataclass(frozen=True)
class FolderSplit:
    """A folder's images: the test images, then those with a label, then the others.

    Attributes:
        indices: int64 [N], indices in the manifest.
        test_count: Number of test images.
        labels: int64 [N] or [N, A], -1: none; or None.
        label_names: Names of the classes or attributes.
        unlabelled_count: Number of training images without a label, in a folder that has labels.
        duplicates: Index of each file with the same pixels as another -> index of that one.
        counts: Counts for data.json.
        split_folders: The names of the folders that are splits, or the column, for messages.
        split_by: "folders", if they say which images are for the test; "hash"; or "none".
        groups: int64 [N], the group of each image; a split keeps a group together.
    """

    indices: np.ndarray
    test_count: int
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    unlabelled_count: int
    duplicates: dict[int, int]
    counts: dict[str, Any]
    split_folders: str
    split_by: str
    groups: np.ndarray


def split_images(request: DataRequest, manifest: Manifest, folders: ImageFolders) -> FolderSplit:
    """Separates training and test images, and labels them.

    Args:
        request: Its `split`, `labels`, `label_column`, `group_by` and `test_fraction` are used.
        manifest: The files.
        folders: The folders of the files.

    Raises:
        InputError: The folders are not those that `split`, `labels` or `group_by` need, or the file
            of labels is not one of these images.
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
        roles[usable] = matched.assign_roles(
            roles[usable].tolist(), request.split if request.test_fraction else "hash"
        )
        layout = dataclasses.replace(layout, roles=roles[usable].tolist()) if layout else None
    ambiguous = ambiguous_folders(usable_names, layout)
    column = matched.find_test(roles[usable]) if matched and matched.roles else None
    method = _choose_method(request, layout, ambiguous, column)
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
    images = manifest.select(indices)
    enough = len(images) >= MIN_IMAGES  # else refused later, whatever their groups
    groups = group_images(request.group_by if enough else group_by.NONE, images)
    order, test_count, unlabelled = _order_images(roles[indices], labels.classes, groups, method)
    classes = None if labels.classes is None else labels.classes[order]
    split_folders = layout.folders if layout else {}
    counts = {
        "images": len(indices),
        "training_images": len(indices) - test_count,
        "test_images": test_count,
        "split": method.reason,
        "split_by": method.name,
        "split_folders": {
            printable(name): role.name.lower() for name, role in split_folders.items()
        },
        "validation_images_left_out": int((left_out_roles == Role.VALIDATION).sum()),
        "images_of_other_folders_left_out": int((left_out_roles == Role.LEFT_OUT).sum()),
        "unmeasured_images_left_out": int((left_out_roles == Role.UNMEASURED).sum()),
        "folders_left_out": [printable(name) for name in (layout.left_out if layout else ())],
        "test_images_left_out_of_training": _count_leaks(method, roles, duplicates),
        "group_by": request.group_by,
        "groups_kind": groups.kind,
        **describe_groups(groups, images.names),
        "ungrouped_by_pattern": groups.unmatched,
        "separated_pairs_of_single_images": _count_pairs_of_single_images(
            roles[indices], labels.classes, groups, images.pixel_digests, method
        ),
        "test_images_near_training": count_tests_near_training(
            groups.near_duplicates[order], np.arange(len(order)) < test_count
        ),
        "labels": labels.reason,
        "label_rows_without_image": matched.unmatched_rows if matched else 0,
        "unlabelled_training_images": unlabelled,
        "classes": labels.count(),
        "only_test_class": _only_class(classes, labels.names, test_count),
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
        method.name,
        groups.numbers[order],
    )


def _choose_method(
    request: DataRequest,
    layout: SplitLayout | None,
    ambiguous: list[str],
    column: tuple[Role | None, str] | None,
) -> SplitMethod:
    """How training and test images are separated.

    Args:
        request: Its `split` and `test_fraction` are used.
        layout: Layout of the images; None: no folder is a split.
        ambiguous: Folders that are not taken for a split although their names contain its word.
        column: Column of splits from `MatchedLabels.find_test`, which precedes the folders; None:
            none.

    Raises:
        InputError: A split by folders is requested but not both kinds exist, or a test fraction is
            given as well.
    """
    mode, fraction = request.split, request.test_fraction
    if not fraction:
        if mode == "folders":
            raise InputError(
                "--test_fraction=0 trains on all images, and --split=folders leaves those of the "
                "test folders out; give one of them"
            )
        return SplitMethod(None, "as --test_fraction=0 says", 0.0)
    if mode == "hash":
        return SplitMethod(None, BY_HASH, fraction)
    if column:
        test, reason = column
        if test is None and mode == "folders":
            raise InputError(f"--split=folders: {reason}; leave --split out, or correct the column")
        if test is None:
            return SplitMethod(None, f"{BY_HASH} ({reason})", fraction)
        if fraction != DEFAULT_TEST_FRACTION:
            raise InputError(
                f"--test_fraction={fraction:g} is for a split by hash, and here a column says "
                "which images are for the test; give --split=hash, or leave --test_fraction out"
            )
        return SplitMethod(test, reason, fraction)
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
            if fraction != DEFAULT_TEST_FRACTION:
                raise InputError(
                    f"--test_fraction={fraction:g} is for a split by hash, and here the folders "
                    f"({layout.listed}) say which images are for the test; give --split=hash, or "
                    "leave --test_fraction out"
                )
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
    reason = f"{BY_HASH} ({why_not})" if layout or ambiguous else BY_HASH
    return SplitMethod(None, reason, fraction)


def deduplicate(
    manifest: Manifest, priority: np.ndarray | None = None
) -> tuple[np.ndarray, dict[int, int]]:
    """The distinct images, in the order of their pixel digests.

    Args:
        manifest: The files.
        priority: int [N]: of files with the same pixels, one with the lowest number is kept; None:
            all are equal.

    Returns:
        Their indices, where of files with the same pixels and priority the first by name is taken;
        and the index of each duplicate -> the index of the file that is kept.
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


def _order_images(roles, labels, groups, method):
    """Puts test images first, then training images with a label, then those without.

    Args:
        roles: [N], values of `Role`.
        labels: int64 [N] or [N, A], -1: none; or None.
        groups: Groups of the images.
        method: How they are separated.

    Returns:
        Indices, int [N]; the number of test images; the number of other images without a label.
    """
    unlabelled = np.zeros(len(roles), bool) if labels is None else is_unlabelled(labels)
    test = _choose_test(roles, labels, groups, method)
    order = np.argsort(np.where(test, 0, np.where(unlabelled, 2, 1)), kind="stable")
    return order, int(test.sum()), int((unlabelled & ~test).sum())


def _choose_test(roles, labels, groups, method):
    """Which images are for the test, bool [N]."""
    if method.test is not None:
        return roles == method.test
    if not method.fraction:
        return np.zeros(len(roles), bool)
    # The hash may choose any image that has what the others have.
    eligible = ~np.isin(roles, (Role.EXTRA, Role.UNLABELLED))
    if labels is not None:
        eligible &= ~is_unlabelled(labels)
    elif eligible.sum() < MIN_IMAGES:
        eligible[:] = True
    classes = labels if labels is not None and labels.ndim == 1 else None
    return choose_test(groups.numbers, groups.digests, eligible, classes, method.fraction)


def _count_pairs_of_single_images(roles, labels, groups, digests, method):
    """How many pairs within one group a split by the hash of single images would separate."""
    if method.test is not None or not method.fraction:
        return 0
    alone = np.arange(len(roles))
    singles = ImageGroups(alone, digests, groups.near_duplicates, "")
    return count_separated_pairs(groups.numbers, _choose_test(roles, labels, singles, method))


def _only_class(labels, names, test_count):
    """The class of all test images; None if there are several classes, or none."""
    if labels is None or labels.ndim == 2 or not test_count or len(names) < 2:
        return None
    tested = set(labels[:test_count].tolist())
    return names[tested.pop()] if len(tested) == 1 else None


def _count_leaks(method, roles, duplicates):
    """How many files of training folders are left out because a test folder has the same image."""
    if method.test is None:
        return 0
    return sum(
        bool(roles[kept] == method.test != roles[copy]) and not method.left_out(roles[copy])
        for copy, kept in duplicates.items()
    )

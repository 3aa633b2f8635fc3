"""Labels of a folder's images from a file of labels, and the splits in its column `split`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.image_lookup import ImageLookup
from dim_tf.data.folder.labels import FolderLabels, is_unlabelled
from dim_tf.data.folder.labels_file import LabelsFile
from dim_tf.data.folder.report import printable
from dim_tf.data.folder.split_names import Role
from dim_tf.system.errors import InputError

_OF_THE_TEST = (Role.TEST, Role.VALIDATION)


@dataclass(frozen=True)
class MatchedLabels:
    """Labels of images.

    Attributes:
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; -1: none.
        names: Names of the classes or attributes.
        roles: The role of each image by the file's column of splits; None for an image without a
            row or with an empty cell; an empty list if there is no such column.
        split_column: That column, for messages.
        description: Description of the labels.
        unmatched_rows: Number of rows in the file that name no image.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    roles: list[Role | None]
    split_column: str
    description: str
    unmatched_rows: int

    def assign_roles(self, of_folders: Sequence[int], split: str) -> list[Role]:
        """The roles of the images by the file, or by their folders if it says nothing.

        Args:
            of_folders: Their roles by their folders.
            split: "auto", "folders" or "hash", which overrules the file's column of splits.
        """
        by_column = bool(self.roles) and split != "hash"
        roles = []
        for index, unlabelled in enumerate(is_unlabelled(self.labels)):
            role = Role(of_folders[index])
            if by_column:
                column_role = self.roles[index]
                if column_role is not None:
                    role = column_role
                elif role in _OF_THE_TEST:  # not trained on, as the folder's name says
                    role = Role.UNMEASURED
            if unlabelled and role in _OF_THE_TEST and split != "hash":
                role = Role.UNMEASURED
            elif unlabelled and role in (*_OF_THE_TEST, Role.TRAINING, Role.EXTRA):
                role = Role.UNLABELLED
            roles.append(role)
        return roles

    def find_test(self, roles: np.ndarray) -> tuple[Role | None, str]:
        """The role of the test images by the column of splits, with a text; or None, and why.

        Args:
            roles: Roles of the images, from `assign_roles`.
        """
        test = Role.TEST if Role.TEST in roles else Role.VALIDATION
        name = "test" if test == Role.TEST else "validation"
        if test not in roles:
            return None, f"{self.split_column} has no labelled images for the test"
        if not np.isin(roles, (Role.TRAINING, Role.EXTRA)).any():
            return None, f"{self.split_column} has no labelled images for training"
        return test, f"by {self.split_column}: {name} for the test"

    def select(self, indices: np.ndarray) -> FolderLabels:
        """The labels of some images, int [M]; for classes, only those that these images have.

        Raises:
            InputError: They do not have two classes, or have no label.
        """
        labels, names = self.labels[indices], self.names
        labelled = ~is_unlabelled(labels)
        if labels.ndim == 1:
            present, numbers = np.unique(labels[labelled], return_inverse=True)
            labels = np.full(len(labels), -1, np.int64)
            labels[labelled] = numbers
            names = tuple(self.names[number] for number in present)
        if not labelled.any() or (len(names) < 2 and labels.ndim == 1):
            raise InputError(
                f"of {len(labels):,} images {labelled.sum():,} have a label of {self.description}"
                + (f", all {names[0]}" if labels.ndim == 1 and names else "")
                + "; expected two classes; add labels, or leave --labels out"
            )
        reason = self.description
        if self.unmatched_rows:
            noun = "row" if self.unmatched_rows == 1 else "rows"
            reason += f", {self.unmatched_rows:,} {noun} without an image"
        return FolderLabels(labels, names, reason)


def match_labels(file: LabelsFile, names: Sequence[str], folders: ImageFolders) -> MatchedLabels:
    """The labels of images by the rows that name them.

    Args:
        file: The file of labels.
        names: Names of the images.
        folders: The folders of the images.

    Raises:
        InputError: No row names an image, a row names several, or two rows for one image differ.
    """
    lookup = ImageLookup(names, folders)
    labels = np.full((len(names), *file.labels.shape[1:]), -1, np.int64)
    row_of = dict[int, int]()
    unmatched_rows = 0
    for row, called in enumerate(file.files):
        indices = lookup.find(called)
        if len(indices) > 1:
            first, second = (printable(names[index]) for index in indices[:2])
            raise InputError(
                f"--labels: line {file.lines[row]} of {file.name}, {called[:200]!r}, is the name "
                f"of {len(indices)} images, as {first} and {second}; give paths relative to "
                "--data_dir"
            )
        unmatched_rows += not indices
        for index in indices:
            _check_same(file, row_of.setdefault(index, row), row)
            labels[index] = file.labels[row]
    if not row_of:
        raise InputError(
            f"--labels: none of the {len(file.files):,} rows of {file.name} names an image in "
            f"--data_dir={folders}; the first is {(file.files or [''])[0][:200]!r}, expected the "
            f"path or name of an image, such as {printable(names[0]) if names else 'a.jpg'!r}"
        )
    return MatchedLabels(
        labels,
        file.label_names,
        [file.roles[row_of[i]] if i in row_of else None for i in range(len(names))]
        if file.roles
        else [],
        file.split_column,
        file.description,
        unmatched_rows,
    )


def _check_same(file, row, other_row):
    same_labels = np.array_equal(file.labels[row], file.labels[other_row])
    if same_labels and (not file.roles or file.roles[row] == file.roles[other_row]):
        return
    raise InputError(
        f"--labels: lines {file.lines[row]} and {file.lines[other_row]} of {file.name} have "
        f"different labels or splits for one image, {file.files[row][:200]!r}; remove one of them"
    )

"""Labels and split of every file of a folder, of copies too, by their names alone.

Training leaves copies out, and images of validation folders (`split.split_images`); the stages that
look after a folder see all of its files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dim_tf.data import DataRequest
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.labels import label_by_folder
from dim_tf.data.folder.labels_file import read_labels_file
from dim_tf.data.folder.matched_labels import match_labels
from dim_tf.data.folder.split_folders import find_split_layout
from dim_tf.data.folder.split_names import Role


@dataclass(frozen=True)
class FileLabels:
    """Labels of N files, and which are for the test.

    Attributes:
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; -1: a file without a
            label; None: no labels.
        names: Of the classes or attributes.
        reason: Why these, or why none.
        is_test: bool [N], by folders or by the column `split` of a file of labels: those for the
            test, or for validation where none are; None: neither says so.
    """

    labels: np.ndarray | None
    names: tuple[str, ...]
    reason: str
    is_test: np.ndarray | None


def label_files(names: Sequence[str], folders: ImageFolders, request: DataRequest) -> FileLabels:
    """The labels and the split that people gave their files.

    Args:
        names: Of the files, with the name of their folder where there are several.
        folders: That they are in.
        request: Its `labels`, `label_column` and `split`.

    Raises:
        InputError: The folders, or the file of labels, do not have the labels that are asked for.
    """
    layout = find_split_layout(names, folders)
    roles = list(layout.roles) if layout else [Role.TRAINING] * len(names)
    if request.has_labels_file:
        file = read_labels_file(request.labels_path, request.label_column)
        matched = match_labels(file, names, folders)
        roles = matched.assign_roles(roles, request.split)
        labels = matched.select(np.arange(len(names)))
    else:
        relative = [folders.locate(name)[1] for name in names]
        labels = label_by_folder(relative, request.labels, layout)
    return FileLabels(labels.classes, labels.names, labels.reason, _find_test(roles, request.split))


def _find_test(roles: Sequence[Role], split: str) -> np.ndarray | None:
    test = Role.TEST if Role.TEST in roles else Role.VALIDATION
    is_test = np.array([role == test for role in roles])
    has_both = is_test.any() and any(role in (Role.TRAINING, Role.EXTRA) for role in roles)
    return is_test if has_both and split != "hash" else None

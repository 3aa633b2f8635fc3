"""Labels and split of every file in a folder, copies included, by their names alone.

Training leaves out copies, and images in validation folders (`split.split_images`); the stages that
look at a folder afterwards see all of its files.
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
    """The labels of N files, and which of the files are test images.

    Attributes:
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; -1: a file without a
            label; None: no labels.
        names: Names of the classes or attributes.
        reason: Why these labels, or why none.
        is_test: bool [N], by folders or by the column `split` of a file of labels: test images, or
            validation images if there are none; None: neither says which they are.
    """

    labels: np.ndarray | None
    names: tuple[str, ...]
    reason: str
    is_test: np.ndarray | None


def label_files(names: Sequence[str], folders: ImageFolders, request: DataRequest) -> FileLabels:
    """The labels and the split that people gave to their files.

    Args:
        names: Names of the files, which start with the name of their folder if there are several.
        folders: The folders of the files.
        request: Its `labels`, `label_column` and `split`.

    Raises:
        InputError: The folders, or the file of labels, do not have the requested labels.
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

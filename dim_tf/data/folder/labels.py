"""Labels of a folder's images: the names of the folders that they are in, or from a file."""

from dataclasses import dataclass

import numpy as np

from dim_tf.data.folder.report import printable
from dim_tf.data.folder.split_folders import SplitLayout
from dim_tf.data.folder.split_names import Role
from dim_tf.system.errors import InputError

IMAGES_PER_CLASS = 10  # on average; with fewer, folders are taken for albums


@dataclass(frozen=True)
class FolderLabels:
    """Labels of some images.

    Attributes:
        classes: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; -1: an image without
            a label; None: no labels.
        names: Names of the classes or attributes.
        reason: Why these labels, for the line that starts with `data:`.
    """

    classes: np.ndarray | None
    names: tuple[str, ...]
    reason: str

    def count(self) -> dict[str, int]:
        """How many images are in each class, or have each attribute."""
        if self.classes is None:
            return {}
        if self.classes.ndim == 2:
            counts = (self.classes == 1).sum(axis=0)
        else:
            counts = np.bincount(self.classes[self.classes >= 0], minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def describe_untrained_class(self, is_test: np.ndarray) -> str:
        """Says if test images have a class that no training image has; empty if none have.

        Args:
            is_test: bool [N].
        """
        if self.classes is None or self.classes.ndim == 2:
            return ""
        missing = np.setdiff1d(self.classes[is_test], self.classes[~is_test])
        if not len(missing):
            return ""
        return f"of the class {self.names[missing[0]]} there are test images and none for training"


def is_unlabelled(labels: np.ndarray) -> np.ndarray:
    """Which images have no label, bool [N], given labels int64 [N] or [N, A]."""
    return labels.reshape(len(labels), -1)[:, 0] < 0


def label_by_folder(names: list[str], mode: str, layout: SplitLayout | None) -> FolderLabels:
    """Labels by the top-level folders, or by those inside split folders.

    Args:
        names: Names of the images, relative to their folder of images.
        mode: "folders": the first folder is the class; "none"; "auto": folders, if all images are
            directly in one of several folders, which have ten images on average.
        layout: Layout of these images; None: no folder is a split.

    Raises:
        InputError: "folders" is not possible.
    """
    if mode == "none":
        return FolderLabels(None, (), "none, as --labels=none says")
    paths = [name.split("/") for name in (layout.names if layout else names)]
    roles = layout.roles if layout else [Role.TRAINING] * len(names)
    # Folders of extra images that are not classes elsewhere are not classes.
    classes = {p[0] for p, r in zip(paths, roles, strict=True) if r == Role.TRAINING and p[1:]}
    has_label = [
        len(path) > 1 and path[0] in (classes or path)
        if role == Role.EXTRA
        else role != Role.UNLABELLED
        for path, role in zip(paths, roles, strict=True)
    ]
    candidates = [path for path, labelled in zip(paths, has_label, strict=True) if labelled]
    folders = sorted({path[0] for path in candidates if len(path) > 1})
    why_not = _why_folders_are_no_classes(candidates, folders, mode, layout)
    if why_not:
        return FolderLabels(None, (), f"none: {why_not}")
    class_of = {name: number for number, name in enumerate(folders)}
    numbers = [
        class_of[path[0]] if labelled else -1
        for path, labelled in zip(paths, has_label, strict=True)
    ]
    where = ""
    if layout:
        no_labels = Role.UNLABELLED, Role.LEFT_OUT
        splits = [name for name, role in layout.folders.items() if role not in no_labels]
        where = f" in {' and '.join(splits)}"
    return FolderLabels(
        np.array(numbers, np.int64),
        tuple(printable(name) for name in folders),
        f"the {len(folders):,} folders{where}",
    )


def _why_folders_are_no_classes(candidates, folders, mode, layout):
    """Why folders are not classes; empty if they are.

    Args:
        candidates: For each image that may have a label, the parts of its path.
        folders: The first folders of these.
        mode: "folders" or "auto".
        layout: Layout of the images; None: no folder is a split.

    Raises:
        InputError: "folders" is not possible.
    """
    why_not = ""
    if any(len(path) == 1 for path in candidates):
        why_not = "some images are in no folder"
    elif len(folders) < 2:
        why_not = "there are no two folders of images"
    if layout and why_not:
        verb = "are splits" if " and " in layout.listed else "is a split"
        why_not += f" of a class: {layout.listed} {verb}"
    if mode == "folders" and why_not:
        raise InputError(
            f"--labels=folders takes the first folder of each image as its label, but {why_not}; "
            "leave --labels out"
        )
    if mode == "auto" and not why_not:
        if any(len(path) > 2 for path in candidates):
            why_not = "some folders have folders in them"
        elif len(candidates) < IMAGES_PER_CLASS * len(folders):
            why_not = f"the folders have less than {IMAGES_PER_CLASS} images on average"
    return why_not

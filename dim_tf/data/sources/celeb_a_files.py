"""CelebA from the files that its authors distribute, as people have them on disk.

There are three parts: the images, the attributes, and the partition into training, validation and
test images. Each is searched in the locations below, in that order; the first one found is used.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources import tfds_files
from dim_tf.data.sources.file_tree import FileTree
from dim_tf.data.splits import Split
from dim_tf.system.errors import InputError

# Under --data_dir, or under celeba/ in it, which is torchvision's layout.
FOLDERS = ("", "celeba")
IMAGES = (
    "img_align_celeba/img_align_celeba",  # Kaggle's
    "img_align_celeba",
    "Img/img_align_celeba",
    "img_align_celeba.zip",
    "Img/img_align_celeba.zip",
)
ATTRIBUTES = ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt", "list_attr_celeba.csv")
PARTITION = (
    "list_eval_partition.txt",
    "Eval/list_eval_partition.txt",
    "list_eval_partition.csv",
)
HEIGHT, WIDTH = 218, 178
SPLITS = {"train": 0, "validation": 1, "test": 2}
_NAME = re.compile(r"\w+\.jpg")  # it becomes a path: no folders


@dataclass(frozen=True)
class CelebAFiles:
    """CelebA's files, whose lists have been read.

    Attributes:
        images: The folder or archive.
        folder: The folder inside it, with "/" at the end; empty: its root.
        attribute_names: Names in the order of `attributes`.
        attributes: Attributes of each image, int64 [A], 0 or 1.
        partition: The split of each image, as numbered in `SPLITS`.
    """

    images: FileTree
    folder: str
    attribute_names: tuple[str, ...]
    attributes: dict[str, np.ndarray]
    partition: dict[str, int]

    def read_split(self, split: str, frame: ImageFrame) -> Split:
        """A split, in TFDS's order, with attributes sorted by name.

        Raises:
            InputError: An image is missing or broken.
        """
        names = sorted(name for name, number in self.partition.items() if number == SPLITS[split])
        if not names:
            raise InputError(f"CelebA's partition file has no images of {split}")
        names = [names[index] for index in tfds_files.tfds_order(names, split)]
        by_name = sorted(range(len(self.attribute_names)), key=self.attribute_names.__getitem__)
        files = [self.folder + name for name in names]
        return Split(
            self.images.read_images(files, HEIGHT, WIDTH, frame),
            np.stack([self.attributes[name] for name in names])[:, by_name],
        )


def find_files(data_dir: str) -> CelebAFiles | None:
    """CelebA's files under a folder; None if there are none.

    Raises:
        InputError: Some parts are missing, or a list is broken.
    """
    if not data_dir:
        return None
    pieces = {"the images": IMAGES, "the attributes": ATTRIBUTES, "the partition": PARTITION}
    paths = {
        piece: path
        for piece, locations in pieces.items()
        if (path := _first_existing(data_dir, locations))
    }
    if not paths:
        return None
    missing = [
        f"{piece} ({' or '.join(locations)})"
        for piece, locations in pieces.items()
        if piece not in paths
    ]
    if missing:
        raise InputError(f"{data_dir} has files of CelebA, but not {', nor '.join(missing)}")
    images, attributes, partition = paths.values()
    names, values = _read_attributes(attributes)
    split_of = _read_partition(partition)
    unknown = [name for name in split_of if name not in values]
    if unknown:
        raise InputError(
            f"{attributes} has no attributes of {len(unknown)} images that {partition} lists, such "
            f"as {unknown[0]}; download both again"
        )
    tree = FileTree(images)
    folder = "" if images.is_dir() else "img_align_celeba/"
    return CelebAFiles(tree, folder, names, values, split_of)


def _first_existing(data_dir, locations):
    for folder in FOLDERS:
        for location in locations:
            path = Path(data_dir) / folder / location
            if path.exists():
                return path
    return None


def _read_table(path: Path):
    """The words on each line of a list."""
    text = FileTree(path.parent).read_text(path.name)
    if path.suffix == ".csv":
        try:
            return [row for row in csv.reader(text.splitlines(), strict=True) if row]
        except csv.Error as error:
            raise InputError(f"{path} is no table of commas ({error}); get it anew") from error
    return [line.split() for line in text.splitlines() if line.strip()]


def _read_attributes(path):
    rows = _read_table(path)
    if path.suffix == ".csv":  # image_id and the names, then the images
        names, rows = rows[0][1:] if rows else [], rows[1:]
    else:  # the number of images, the names, then the images
        if len(rows) < 2 or rows[0] != [str(len(rows) - 2)]:
            raise InputError(
                f"{path} begins with {' '.join(rows[0]) if rows else 'nothing'!r}; expected the "
                f"number of its images, {max(len(rows) - 2, 0)}; get it anew"
            )
        names, rows = rows[1], rows[2:]
    if not names or len(set(names)) < len(names):
        raise InputError(f"{path} has no names of attributes, or one twice; get it anew")
    values = {}
    for name, *row in rows:
        if len(row) != len(names) or not set(row) <= {"1", "-1"} or name in values:
            raise InputError(
                f"{path}: the line of {name!r} is not one of {len(names)} values 1 or -1, or is "
                "there twice; get it anew"
            )
        values[name] = np.array([value == "1" for value in row], np.int64)
    return tuple(names), values


def _read_partition(path):
    rows = _read_table(path)
    if path.suffix == ".csv":
        rows = rows[1:]
    split_of = {}
    for row in rows:
        if (
            len(row) != 2
            or not _NAME.fullmatch(row[0])
            or row[1] not in ("0", "1", "2")
            or row[0] in split_of
        ):
            raise InputError(
                f"{path} has the line {' '.join(row)[:80]!r}; expected a file NAME.jpg, each once, "
                "and 0, 1 or 2; get it anew"
            )
        split_of[row[0]] = int(row[1])
    return split_of

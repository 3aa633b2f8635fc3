"""Tiny ImageNet (Stanford's course CS231n, 2015): a TFDS builder, and its files read directly."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dim_tf.data import DataRequest
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources import tfds_files
from dim_tf.data.sources.file_tree import FileTree
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"  # size and SHA-256: checksums.tsv
ROOT = "tiny-imagenet-200"
SIDE = 64
CLASSES = 200
MANUAL_DOWNLOAD = (
    f"By hand: get {URL} and give its folder, or the one where you unpacked it, as --data_dir."
)
_TRAINING = re.compile(r"train/(n\d{8})/images/([\w.]+\.JPEG)")
_ANNOTATIONS = "val/val_annotations.txt"


class TinyImageNetFiles:
    """The archive's files: 200 classes of 64x64 JPEGs; the labels of the test images are secret.

    A class's number is the index of its WordNet ID among all of them, sorted.
    """

    def __init__(self, path: Path):
        """Reads the names of classes and files.

        Args:
            path: The archive, or the folder tiny-imagenet-200.

        Raises:
            InputError: Files are missing or not as expected.
        """
        self.tree = FileTree(path)
        self._root = "" if path.is_dir() else f"{ROOT}/"
        wnids = sorted(self._read_lines("wnids.txt"))
        if len(set(wnids)) != CLASSES:
            raise InputError(f"{path}: wnids.txt has {len(set(wnids))} classes; expected {CLASSES}")
        words = dict(line.split("\t", 1) for line in self._read_lines("words.txt") if "\t" in line)
        self.class_names = tuple(
            f"{wnid} {words.get(wnid, '').split(',')[0]}".strip() for wnid in wnids
        )
        self._class_of = {wnid: number for number, wnid in enumerate(wnids)}

    def list_examples(self, split: str) -> list[tuple[str, str, int]]:
        """A split's images: key, file and class number.

        Args:
            split: "train", or "test", which is the archive's folder val.

        Raises:
            InputError: There are none, or one has no known class.
        """
        if split == "train":
            names = (name.removeprefix(self._root) for name in self.tree.names())
            matches = [match.groups() for match in map(_TRAINING.fullmatch, names) if match]
            listed = [(key, f"train/{wnid}/images/{key}", wnid) for wnid, key in matches]
        else:
            lines = [line.split("\t") for line in self._read_lines(_ANNOTATIONS)]
            if any(len(line) < 2 or not re.fullmatch(r"\w+\.JPEG", line[0]) for line in lines):
                raise InputError(
                    f"{self.tree.path}: a line of {_ANNOTATIONS} is not FILE.JPEG, tab, class"
                )
            listed = [(line[0], f"val/images/{line[0]}", line[1]) for line in lines]
        unknown = [wnid for _, _, wnid in listed if wnid not in self._class_of]
        if unknown or not listed:
            raise InputError(
                f"{self.tree.path} has {len(listed)} images of {split}"
                + (f", one of the unknown class {unknown[0]!r}" if unknown else "")
                + f"; expected {ROOT} as it is unpacked"
            )
        return [(key, self._root + file, self._class_of[wnid]) for key, file, wnid in listed]

    def read_split(self, split: str, frame: ImageFrame) -> Split:
        """A split, in TFDS's order.

        Raises:
            InputError: An image is missing or broken.
        """
        examples = self.list_examples(split)
        order = tfds_files.tfds_order([key for key, _, _ in examples], split)
        examples = [examples[index] for index in order]
        files = [file for _, file, _ in examples]
        labels = np.array([number for _, _, number in examples], np.int64)
        return Split(self.tree.read_images(files, SIDE, SIDE, frame), labels)

    def _read_lines(self, name):
        return [
            line for line in self.tree.read_text(self._root + name).splitlines() if line.strip()
        ]


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """Tiny ImageNet: 100,000 training images and the 10,000 validation images, as test."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012 (TFDS wants it so)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="200 classes of ImageNet, images of 64x64 pixels.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://cs231n.stanford.edu/",
        )

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        files = TinyImageNetFiles(Path(dl_manager.download(URL)))
        self.info.features["label"].names = list(files.class_names)
        return {split: self._generate_examples(files, split) for split in ("train", "test")}

    def _generate_examples(self, files, split) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, file, number in files.list_examples(split):
            yield key, {"image": files.tree.read(file), "label": number}


def load(request: DataRequest) -> Splits:
    """Tiny ImageNet's 100,000 training images, with its 10,000 validation images as test images.

    If `data_dir` contains tiny-imagenet-200.zip or the unpacked folder tiny-imagenet-200, they are
    read; else TFDS's copy, which is downloaded if it is missing. All give the same images.

    Raises:
        InputError: Files are missing or broken, or could not be downloaded.
    """
    frame = request.frame
    files = _find_files(request.data_dir)
    if not files:
        return tfds_files.load_labelled("tiny_imagenet", "Tiny ImageNet", request, MANUAL_DOWNLOAD)
    train, test = (files.read_split(split, frame) for split in ("train", "test"))
    return Splits(
        name="tiny_imagenet",
        train=train,
        test=test,
        label_names=files.class_names,
        note=(
            f"Tiny ImageNet from its archive, {len(train)} training and {len(test)} validation "
            f"images, at {frame} pixels."
        ),
    )


def _find_files(data_dir):
    if not data_dir:
        return None
    folder, archive = Path(data_dir), Path(data_dir) / f"{ROOT}.zip"
    for path in (folder / ROOT, folder):
        if (path / "wnids.txt").is_file():
            return TinyImageNetFiles(path)
    return TinyImageNetFiles(archive) if archive.is_file() else None

"""Data sets: `load` gives the training and test images of any source as `Splits`."""

import contextlib
import dataclasses
import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dim_tf.data import group_by, pixel_range
from dim_tf.data.folder import image_folders
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.image_frame import ImageFrame, ImageSize
from dim_tf.data.sources import SOURCES, TFDS_PREFIX, check_name
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits

LABEL_MODES = ("auto", "none", "folders")


DEFAULT_TEST_FRACTION = 0.2


@dataclass(frozen=True)
class DataRequest:
    """Which images of a data set to load, and how.

    Attributes:
        data_dir: where its files are, of a folder of images several with commas between; empty:
            where its library keeps them.
        image_size: pixels a side, or height and width; 0: the source's default.
        download: whether missing files may be downloaded.
        cache_dir: where decoded images of a folder are kept; empty: the user's cache folder.
        cache_gib: the size of that cache at most, in GiB.
        max_unreadable_fraction: the fraction of the files, in [0, 1], that may be unreadable.
        labels: for a folder of images: one of `LABEL_MODES`, or the path of a CSV file.
        split: for a folder of images: "auto", "folders" or "hash".
        pixel_range: for a folder's 16-bit images: "auto", "dtype" or "LOW,HIGH".
        max_pixels: of an image; larger ones are refused, JPEGs decoded at a reduced scale.
        group_by: which images of a folder a split keeps together: one of `group_by.MODES`, or a
            regular expression with a group.
        test_fraction: of a folder's images that are for the test; 0: none, all are trained on.
        label_column: the columns of that CSV file that are labels, with commas between; empty: all.
        fit: how images of another shape are fitted, one of `image_frame.FITS`.
        channels: of a folder's images: "auto" or a number.
        any_size: whether the encoder takes images of any size, so that by default a folder's are
            larger.
    """

    data_dir: str = ""
    image_size: ImageSize = 0
    download: bool = True
    cache_dir: str = ""
    cache_gib: float = 20.0
    max_unreadable_fraction: float = 0.05
    labels: str = "auto"
    split: str = "auto"
    pixel_range: str = "auto"
    max_pixels: int = MAX_PIXELS
    group_by: str = group_by.AUTO
    test_fraction: float = DEFAULT_TEST_FRACTION
    label_column: str = ""
    fit: str = "crop"
    channels: str = "auto"
    any_size: bool = False

    @property
    def frame(self) -> ImageFrame:
        """What each image becomes, once `image_size` is known."""
        return ImageFrame.of(self.image_size, fit=self.fit)

    @property
    def has_labels_file(self) -> bool:
        """Whether `labels` is the path of a file."""
        return self.labels not in LABEL_MODES

    @property
    def labels_path(self) -> Path:
        """The path in `labels`, whose ~ is the user's home."""
        return Path(os.path.expanduser(self.labels))


def check_request(name: str, request: DataRequest) -> None:
    """Checks that a data set has what is requested.

    Args:
        name: of the data set.
        request: which images of it.

    Raises:
        InputError: `pixel_range`, `channels` or `group_by` is invalid, a setting of folders is
            given for a data set that is not one, or `label_column` without a file of labels.
    """
    pixel_range.parse(request.pixel_range)
    group_by.parse(request.group_by)
    if not re.fullmatch(r"auto|[1-9]\d?", request.channels):
        raise InputError(f"--channels={request.channels}; expected auto, or a number from 1 to 99")
    if request.label_column and not request.has_labels_file:
        raise InputError(
            f"--label_column={request.label_column} is for --labels=FILE.csv; give that file"
        )
    if name == "folder":
        return
    for setting in ("pixel_range", "split", "group_by", "test_fraction", "labels", "channels"):
        value = getattr(request, setting)
        if value != DataRequest.__dataclass_fields__[setting].default:
            raise InputError(
                f"--{setting}={value} takes effect with --dataset=folder only, not with {name}; "
                "leave it out"
            )


def folder_name(dataset: str, data_dir: str) -> str:
    """A data set's name, made safe for paths and URLs; a folder of images has its own name.

    Args:
        dataset: its name.
        data_dir: where its files are; empty: where its library keeps them.
    """
    name = dataset
    if name == "folder" and data_dir:
        with contextlib.suppress(ValueError):  # a path with a NUL; `open_folders` refuses it
            name = image_folders.joined_name(data_dir)
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "folder"


def load(name: str, request: DataRequest) -> "Splits":
    """Loads a data set.

    Args:
        name: a key of `sources.SOURCES`, or tfds:NAME[/CONFIG][:VERSION].
        request: which images of it.

    Raises:
        InputError: the name is unknown, the data set has no such settings, or its files are missing
            and cannot be downloaded.
    """
    check_name(name)
    check_request(name, request)
    if name.startswith(TFDS_PREFIX):
        from dim_tf.data.sources import tfds_named

        return tfds_named.load(name.removeprefix(TFDS_PREFIX), request)
    source = SOURCES[name]
    if not request.image_size:
        request = dataclasses.replace(request, image_size=source.image_size)
    module, _, function = source.loader.partition(":")
    return getattr(importlib.import_module(module), function)(request)

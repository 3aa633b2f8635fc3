"""Data sets: `load` returns the training and test images of any source as `Splits`."""

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
        data_dir: Where its files are; for folders of images, one or several separated by commas;
            empty: where its library keeps them.
        image_size: Pixels a side, or height and width; 0: the source's default.
        download: Whether missing files may be downloaded.
        cache_dir: Where decoded images of a folder are kept; empty: the user's cache folder.
        cache_gib: Largest size of that cache, in GiB.
        max_unreadable_fraction: Fraction of the files, in [0, 1], that may be unreadable.
        labels: For a folder of images: one of `LABEL_MODES`, or the path of a CSV file.
        split: For a folder of images: "auto", "folders" or "hash".
        pixel_range: For 16-bit images in a folder: "auto", "dtype" or "LOW,HIGH".
        max_pixels: Images with more pixels are refused; JPEGs are decoded at a reduced scale.
        group_by: Which images of a folder a split keeps together: one of `group_by.MODES`, or a
            regular expression with a group.
        test_fraction: Fraction of a folder's images that are test images; 0: none, all are trained
            on.
        label_column: The columns of the CSV file that are labels, separated by commas; empty: all.
        fit: How images of another shape are fitted, one of `image_frame.FITS`.
        channels: Channels of a folder's images: "auto" or a number.
        any_size: Whether the encoder takes images of any size, so that a folder's default size is
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
        """The path in `labels`, in which ~ is the user's home."""
        return Path(os.path.expanduser(self.labels))


def check_request(name: str, request: DataRequest) -> None:
    """Checks that a data set has what is requested.

    Args:
        name: Name of the data set.
        request: The requested images.

    Raises:
        InputError: `pixel_range`, `channels` or `group_by` is invalid, a setting of folders is
            given for another data set, or `label_column` is given without a file of labels.
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
    """A data set's name in a form that is safe in paths and URLs; a folder of images has its own.

    Args:
        dataset: Its name.
        data_dir: Where its files are; empty: where its library keeps them.
    """
    name = dataset
    if name == "folder" and data_dir:
        with contextlib.suppress(ValueError):  # a path with a NUL; `open_folders` refuses it
            name = image_folders.joined_name(data_dir)
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "folder"


def load(name: str, request: DataRequest) -> "Splits":
    """Loads a data set.

    Args:
        name: A key of `sources.SOURCES`, or tfds:NAME[/CONFIG][:VERSION].
        request: The requested images.

    Raises:
        InputError: The name is unknown, the data set has no such settings, or its files are missing
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

"""Data sources; all return the same `Splits`."""

import contextlib
import dataclasses
import difflib
import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dim_tf.data import pixel_range
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits


@dataclass(frozen=True)
class Request:
    """Which images of a data set are wanted.

    Attributes:
        data_dir: where its files are; empty: where its library keeps them.
        image_size: pixels a side; 0: the source's default.
        download: whether files that are missing may be downloaded.
        cache_dir: where decoded images are kept, of sources that do not fit into memory; empty:
            the user's cache folder.
        cache_gib: how large that may become, in GiB.
        bad_images: the share of the files, in [0, 1], that may be unreadable.
        labels: of a folder of images, "auto", "none" or "folders".
        split: of a folder of images, "auto", "folders" or "hash".
        pixel_range: of a folder's 16-bit images, "auto", "dtype" or "LOW,HIGH".
        max_pixels: of an image; larger ones are refused, JPEGs decoded at a reduced scale.
    """

    data_dir: str = ""
    image_size: int = 0
    download: bool = True
    cache_dir: str = ""
    cache_gib: float = 20.0
    bad_images: float = 0.05
    labels: str = "auto"
    split: str = "auto"
    pixel_range: str = "auto"
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Source:
    """A data source: its module has `load(request) -> Splits`.

    Attributes:
        module: its name.
        image_size: the default, pixels a side; 0: the images say.
        augment: the default, one of `pipeline.AUGMENTATIONS`.
    """

    module: str
    image_size: int
    augment: str = "none"


SOURCES = {
    "digits": Source("dim_tf.data.digits", 28),
    "cifar10": Source("dim_tf.data.cifar10", 32),
    "cifar100": Source("dim_tf.data.cifar100", 32),
    "stl10": Source("dim_tf.data.stl10", 64),
    "tiny_imagenet": Source("dim_tf.data.tiny_imagenet", 64),
    "celeb_a": Source("dim_tf.data.celeb_a", 64),
    "fashion_mnist": Source("dim_tf.data.fashion_mnist", 28),
    "folder": Source("dim_tf.data.folder", 0, "crop_flip"),
}
TFDS = "tfds:"
# As TFDS writes them. Names become folders: nothing else gets through.
_TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w+-][\w+.-]*)?(:\d+\.\d+\.\d+)?")


def check_name(name: str) -> None:
    """Says whether a data set can be one, without looking for it.

    Args:
        name: a key of `SOURCES`, or tfds:NAME[/CONFIG][:VERSION].

    Raises:
        InputError: neither.
    """
    if name.startswith(TFDS):
        if not _TFDS_NAME.fullmatch(name.removeprefix(TFDS)):
            raise InputError(
                f"--dataset={name} is no name of TensorFlow Datasets; expected "
                "tfds:NAME[/CONFIG][:VERSION], such as tfds:svhn_cropped"
            )
    elif name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        raise InputError(
            f"--dataset: unknown data set {name!r}; "
            + (f"did you mean {near[0]}? " if near else "")
            + f"expected one of {', '.join(SOURCES)}, or tfds:NAME"
        )


def check_request(name: str, request: Request) -> None:
    """Says whether a data set can be asked for that.

    Args:
        name: of the data set.
        request: which images of it.

    Raises:
        InputError: `pixel_range` is none, or it or `split` is given and the data set is no folder.
    """
    pixel_range.parse(request.pixel_range)
    if name == "folder":
        return
    for setting in ("pixel_range", "split"):
        value = getattr(request, setting)
        if value != "auto":
            raise InputError(
                f"--{setting}={value} is of --dataset=folder, and {name} has its own; leave it out"
            )


def folder_name(dataset: str, data_dir: str) -> str:
    """A data set's name, of a folder of images its own, as a folder's or an address can be.

    Args:
        dataset: its name.
        data_dir: where its files are; empty: where its library keeps them.
    """
    name = dataset
    if name == "folder" and data_dir:
        with contextlib.suppress(ValueError):  # no path, as one with a NUL; refused with the others
            name = os.path.basename(os.path.realpath(os.path.expanduser(data_dir)))
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "folder"


def image_folder(data_dir: str) -> Path:
    """The folder of --dataset=folder, if there is one that can be read.

    Args:
        data_dir: its path.

    Raises:
        InputError: none is given, there is none, or it cannot be read.
    """
    if not data_dir:
        raise InputError("--dataset=folder needs --data_dir=PATH, the folder of your images")
    folder = Path(os.path.expanduser(data_dir))  # pathlib refuses unknown users
    try:
        with os.scandir(folder):
            return folder
    except NotADirectoryError as error:
        raise InputError(
            f"--data_dir={folder} is a file; give a folder, below which images are looked for"
        ) from error
    except OSError as error:
        raise InputError(
            f"--data_dir={folder} cannot be read ({error.strerror}); give the folder of your images"
        ) from error


def load(name: str, request: Request) -> "Splits":
    """Loads a data set.

    Args:
        name: a key of `SOURCES`, or tfds:NAME[/CONFIG][:VERSION].
        request: which images of it.

    Raises:
        InputError: unknown name, settings that it has not, or the files are missing and cannot be
            had.
    """
    check_name(name)
    check_request(name, request)
    if name.startswith(TFDS):
        from dim_tf.data import tfds_named

        return tfds_named.load(name.removeprefix(TFDS), request)
    source = SOURCES[name]
    if not request.image_size:
        request = dataclasses.replace(request, image_size=source.image_size)
    return importlib.import_module(source.module).load(request)

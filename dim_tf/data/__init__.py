"""Data sources; all return the same `Splits`."""

import dataclasses
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dim_tf.errors import InputError

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
        reports: folder for what the source has to tell of its files, such as those that are
            unreadable; None: nowhere.
    """

    data_dir: str = ""
    image_size: int = 0
    download: bool = True
    cache_dir: str = ""
    cache_gib: float = 20.0
    bad_images: float = 0.05
    labels: str = "auto"
    reports: Path | None = None


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
    "celeb_a": Source("dim_tf.data.celeb_a", 64),
    "folder": Source("dim_tf.data.folder", 0, "crop_flip"),
}


def load(name: str, request: Request) -> "Splits":
    """Loads a data set.

    Args:
        name: a key of `SOURCES`.
        request: which images of it.

    Raises:
        InputError: unknown name, or the files are missing and cannot be had.
    """
    if name not in SOURCES:
        raise InputError(f"unknown data set {name!r}; expected one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    if not request.image_size:
        request = dataclasses.replace(request, image_size=source.image_size)
    return importlib.import_module(source.module).load(request)

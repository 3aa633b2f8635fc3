"""Data sources; all return the same `Splits`."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits


@dataclass(frozen=True)
class Source:
    """A data source: its module has `load(data_dir, image_size, download) -> Splits`."""

    module: str
    image_size: int  # the default


SOURCES = {
    "digits": Source("dim_tf.data.digits", 28),
    "cifar10": Source("dim_tf.data.cifar10", 32),
    "celeb_a": Source("dim_tf.data.celeb_a", 64),
}


def load(name: str, data_dir: str = "", image_size: int = 0, download: bool = True) -> "Splits":
    """Loads a data set into memory.

    Args:
        name: a key of `SOURCES`.
        data_dir: where its files are; empty: where its library keeps them.
        image_size: pixels a side; 0: the source's default.
        download: whether files that are missing may be downloaded.

    Raises:
        InputError: unknown name, or the files are missing and cannot be had.
    """
    if name not in SOURCES:
        raise InputError(f"unknown data set {name!r}; expected one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    module = importlib.import_module(source.module)
    return module.load(data_dir, image_size or source.image_size, download)

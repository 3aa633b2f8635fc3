"""Data sources: the list of their names. Free of TensorFlow.

Each source is a module with `load(request: DataRequest) -> Splits`, imported when it is used.
"""

import difflib
import re
from dataclasses import dataclass

from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class SourceSpec:
    """A data source and its defaults.

    Attributes:
        loader: "module:function", a function from a `DataRequest` to `Splits`.
        image_size: pixels a side; 0: chosen by the images.
        augment: one of `pipeline.AUGMENTATIONS`.
    """

    loader: str
    image_size: int
    augment: str = "none"


SOURCES = {
    "digits": SourceSpec("dim_tf.data.sources.digits:load", 28),
    "cifar10": SourceSpec("dim_tf.data.sources.cifar10:load", 32),
    "cifar100": SourceSpec("dim_tf.data.sources.cifar100:load", 32),
    "stl10": SourceSpec("dim_tf.data.sources.stl10:load", 64),
    "tiny_imagenet": SourceSpec("dim_tf.data.sources.tiny_imagenet:load", 64),
    "celeb_a": SourceSpec("dim_tf.data.sources.celeb_a:load", 64),
    "fashion_mnist": SourceSpec("dim_tf.data.sources.fashion_mnist:load", 28),
    "folder": SourceSpec("dim_tf.data.sources.folder:load", 0, "crop_flip"),
}
TFDS_PREFIX = "tfds:"
# As TFDS writes them. Names become folders: nothing else gets through.
_TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w+-][\w+.-]*)?(:\d+\.\d+\.\d+)?")


def check_name(name: str) -> None:
    """Checks the name of a data set, without looking for its files.

    Args:
        name: a key of `SOURCES`, or tfds:NAME[/CONFIG][:VERSION].

    Raises:
        InputError: it is neither.
    """
    if name.startswith(TFDS_PREFIX):
        if not _TFDS_NAME.fullmatch(name.removeprefix(TFDS_PREFIX)):
            raise InputError(
                f"--dataset={name} is no name of TensorFlow Datasets; expected "
                "tfds:NAME[/CONFIG][:VERSION], such as tfds:svhn_cropped"
            )
    elif name not in SOURCES:
        similar = difflib.get_close_matches(name, SOURCES, n=1)
        raise InputError(
            f"--dataset: unknown data set {name!r}; "
            + (f"did you mean {similar[0]}? " if similar else "")
            + f"expected one of {', '.join(SOURCES)}, or tfds:NAME"
        )

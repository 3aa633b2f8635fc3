"""Data sources, one module each, and the check of their names. Imports no TensorFlow.

Each source is a module with `load(request: DataRequest) -> Splits`, imported on use.
`dim_tf.registry.SOURCES` lists them.
"""

import difflib
import re

from dim_tf.registry import SOURCES
from dim_tf.system.errors import InputError

TFDS_PREFIX = "tfds:"
# As TFDS writes them. Names become folders: nothing else gets through.
_TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w+-][\w+.-]*)?(:\d+\.\d+\.\d+)?")


def check_name(name: str) -> None:
    """Checks the name of a data set, without looking for its files.

    Args:
        name: A key of `SOURCES`, or tfds:NAME[/CONFIG][:VERSION].

    Raises:
        InputError: It is neither.
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

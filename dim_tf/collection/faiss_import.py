"""Faiss, which finds nearest neighbours; imported on use, because it is an extra."""

import importlib
from typing import Any

from dim_tf.system.errors import InputError


def import_faiss() -> Any:
    """The module `faiss`.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise InputError(
            "an index of neighbours needs faiss-cpu; pip install 'dim_tf[search]'"
        ) from error

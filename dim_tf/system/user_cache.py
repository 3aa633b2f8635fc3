"""The user's cache folder, by the XDG base directory specification.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

import os
from pathlib import Path

from dim_tf.system.errors import InputError


def folder(cache_dir: str = "") -> Path:
    """--cache_dir, or else $XDG_CACHE_HOME/dim_tf, or ~/.cache/dim_tf. It need not exist.

    Args:
        cache_dir: The setting; empty: it was not given.

    Raises:
        InputError: It was not given, and the user has no home folder.
    """
    if cache_dir:
        return Path(os.path.expanduser(cache_dir))
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the specification says of a relative path: ignore it
        return Path(base) / "dim_tf"
    try:
        return Path.home() / ".cache" / "dim_tf"
    except RuntimeError as error:
        raise InputError(
            "this user has no home folder, in which decoded images would be kept; give "
            "--cache_dir, or set HOME"
        ) from error

"""The user's cache folder, by the XDG base directory specification.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

import os
from pathlib import Path

from dim_tf.system.errors import InputError


def folder() -> Path:
    """$XDG_CACHE_HOME/dim_tf, or ~/.cache/dim_tf; it need not exist.

    Raises:
        InputError: The user has no home folder.
    """
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

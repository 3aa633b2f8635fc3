"""What a setting is: a field with a default, its help and what it may be."""

import dataclasses
import math
import os
import unicodedata
from typing import Any

from dim_tf.system.errors import InputError, one_line

# Every number has a bound, that of TensorFlow: sizes of 32 bits, float32.
LARGEST = {int: 2**31 - 1, float: 1e30}
BY_TWO_VIEWS = "two views"  # what reads a setting: a model that takes two views of each image
LONGEST_TEXT = 4096  # characters; of a path, what Linux takes


def setting(
    default,
    help,
    *,
    choices=(),
    minimum=None,
    above=None,
    maximum=None,
    is_path=False,
    identity=True,
    read_by=(),
    refused=False,
) -> Any:
    """A field.

    Args:
        default: its default.
        help: its line in --help.
        choices: the allowed values; empty: any.
        minimum: the least allowed number.
        above: a bound that a number must exceed.
        maximum: the largest allowed number; None: that of `LARGEST`.
        is_path: whether it is the path of a file or folder, whose ~ is the user's home.
        identity: whether another value makes another experiment, which a run folder refuses.
        read_by: the values of --model that read it, or `BY_TWO_VIEWS`; empty: all.
        refused: whether the others refuse it; they ignore it else, and training says so.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "is_path": is_path,
        "identity": identity,
        "read_by": read_by,
        "refused": refused,
    }
    return dataclasses.field(default=default, metadata=metadata)


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def checked(field: dataclasses.Field, value: Any) -> Any:
    """The value as the field holds it: a whole number as a float, a path with the user's home.

    Raises:
        InputError: it is not of the field's type, or not allowed.
    """
    kind: Any = field.type
    # Of JSON a number may be text, and of both languages true is a number.
    fitting = (int, float) if kind is float else (kind,)
    if type(value) not in fitting:
        raise InputError(f"--{field.name}={told(value)}; expected {_KINDS[kind]}")
    if kind is float:
        value = _as_float(field, value)
    meta = field.metadata
    if meta["choices"] and value not in meta["choices"]:
        allowed = ", ".join(repr(choice) for choice in meta["choices"])
        raise InputError(f"--{field.name}={told(value)}; expected one of {allowed}")
    if kind in LARGEST:
        _check_number(field, value)
    if kind is str:
        _check_text(field, value)
        if meta["is_path"]:  # a shell leaves the ~ of --run_dir=~/a to us
            value = _with_home(field, value)
    return value


def _with_home(field, value):
    expanded = os.path.expanduser(value)
    if value.split("/")[0] == "~" and expanded == value:  # a folder named ~ is not what is meant
        raise InputError(
            f"--{field.name}={told(value)}: this user has no home folder; set HOME, or give the "
            "whole path"
        )
    return expanded


def told(value: Any) -> str:
    """As a message shows it: in one line, not too long."""
    try:
        return one_line(repr(value), 200)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"


def _as_float(field, value) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"--{field.name}={told(value)}; expected a finite number")
    return number


def _check_number(field, value):
    least, above, most = (field.metadata[bound] for bound in ("minimum", "above", "maximum"))
    most = LARGEST[field.type] if most is None else most
    if least is not None and value < least:
        raise InputError(f"--{field.name}={told(value)}; expected at least {least}")
    if above is not None and value <= above:
        raise InputError(f"--{field.name}={told(value)}; expected more than {above}")
    if value > most:
        raise InputError(f"--{field.name}={told(value)}; expected at most {most}")


def _check_text(field, value):
    if len(value) > LONGEST_TEXT:
        raise InputError(
            f"--{field.name}={told(value)} has {len(value):,} characters; expected at most "
            f"{LONGEST_TEXT:,}"
        )
    # Control characters, halves of a character that stand for bytes that are not UTF-8, line ends.
    strange = [c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    if strange:
        raise InputError(
            f"--{field.name}={told(value)} has the character {strange[0]!r}; expected one line of "
            "text in UTF-8, without control characters"
        )
    if field.metadata["is_path"]:
        check_file_names(field.name, value)


def check_file_names(name: str, path: str) -> None:
    """Checks the length of each part of a setting's path.

    Raises:
        InputError: one is longer than a file's name can be.
    """
    if any(len(os.fsencode(part)) > 255 for part in path.split("/")):
        raise InputError(
            f"--{name}={told(path)} has a name of more than 255 bytes, which no file system takes; "
            "give a shorter one"
        )

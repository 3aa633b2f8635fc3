"""`config_field`: a setting with its default, help and allowed values; `Settings`: a group."""

import dataclasses
import math
import os
import types
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, get_origin

from dim_tf.system.errors import InputError, one_line

# Every number is bounded by what TensorFlow takes: sizes of 32 bits, float32.
LARGEST = {int: 2**31 - 1, float: 1e30}
LONGEST_TEXT = 4096  # characters; of a path, what Linux takes
MOST_NUMBERS = 16  # of a setting that is a list


def config_field(
    default,
    help,
    *,
    details="",
    flag="",
    common=False,
    choices=(),
    minimum=None,
    above=None,
    maximum=None,
    is_path=False,
    hyperparameter=True,
) -> Any:
    """A dataclass field that is also a flag.

    Args:
        default: The value if the setting is not given.
        help: A sentence for --help.
        details: More text, for --helpfull and --help=SECTION.
        flag: The flag's name; empty: the field's name.
        common: Whether --help shows it; --helpfull shows all.
        choices: The allowed values; empty: any.
        minimum: The smallest allowed number.
        above: A bound that a number must exceed.
        maximum: The largest allowed number; None: that of `LARGEST`.
        is_path: Whether it is the path of a file or folder, in which ~ is the user's home.
        hyperparameter: Whether another value makes another experiment, so that a run folder with
            the old value is refused.
    """
    metadata = {
        "help": help,
        "details": details,
        "flag": flag,
        "common": common,
        "choices": choices,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "is_path": is_path,
        "hyperparameter": hyperparameter,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """A group of settings. Each value is checked when the group is created.

    Attributes:
        PREFIX: What the name of each of its flags starts with.
    """

    PREFIX: ClassVar[str] = ""

    def __post_init__(self):
        for name, field in self.flags().items():
            value = checked(f"--{name}", field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Checks that the values of the group fit together.

        Raises:
            InputError: They do not.
        """

    @classmethod
    def flags(cls) -> dict[str, dataclasses.Field]:
        """The fields of the group, by flag name."""
        return {
            cls.PREFIX + (field.metadata["flag"] or field.name): field
            for field in dataclasses.fields(cls)
            if "flag" in field.metadata
        }

    @classmethod
    def default(cls, flag: str) -> Any:
        """The default of that flag."""
        return cls.flags()[flag].default

    def values(self) -> dict[str, Any]:
        """The values of the group, by flag name."""
        return {name: getattr(self, field.name) for name, field in self.flags().items()}


_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "whole numbers with commas between",
    types.UnionType: "a whole number, or height and width, such as 96,160",
}


def kind_of(field: dataclasses.Field) -> type:
    """bool, int, float, str, tuple of a list of whole numbers, or UnionType of an image size."""
    kind: Any = field.type
    return get_origin(kind) or kind


def checked(flag: str, field: dataclasses.Field, value: Any) -> Any:
    """The value as the field holds it: a whole number as float, a path with ~ expanded.

    Args:
        flag: --NAME, for messages.
        field: A `config_field`.
        value: Of any type.

    Raises:
        InputError: The value is not of the field's type, or is not allowed.
    """
    kind = kind_of(field)
    if kind is tuple:
        return _checked_numbers(flag, field, value)
    if kind is types.UnionType:
        return _checked_size(flag, field, value)
    # In JSON a number may be text, and true counts as a number in Python.
    fitting = (int, float) if kind is float else (kind,)
    if type(value) not in fitting:
        raise InputError(f"{flag}={quoted(value)}; expected {_EXPECTED[kind]}")
    if kind is float:
        value = _as_float(flag, value)
    meta = field.metadata
    if meta["choices"] and value not in meta["choices"]:
        allowed = ", ".join(repr(choice) for choice in meta["choices"])
        raise InputError(f"{flag}={quoted(value)}; expected one of {allowed}")
    if kind in LARGEST:
        _check_number(flag, field, kind, value)
    if kind is str:
        _check_text(flag, field, value)
        if meta["is_path"]:  # a shell leaves the ~ of --run_dir=~/a to us
            value = _with_home(flag, value)
    return value


def _checked_numbers(flag, field, value):
    if not isinstance(value, tuple | list) or not all(type(number) is int for number in value):
        raise InputError(f"{flag}={quoted(value)}; expected {_EXPECTED[tuple]}, such as 512,512")
    if len(value) > MOST_NUMBERS:
        raise InputError(f"{flag} has {len(value)} numbers; expected at most {MOST_NUMBERS}")
    for number in value:
        _check_number(flag, field, int, number)
    return tuple(value)


def _checked_size(flag, field, value):
    """A number, or height and width if they differ; text is what the flag was given."""
    numbers = value if isinstance(value, tuple | list) else [value]
    if isinstance(value, str):
        parts = value.split(",")
        numbers = [int(part) if part.isdecimal() and part.isascii() else part for part in parts]
    if len(numbers) not in (1, 2) or not all(type(number) is int for number in numbers):
        raise InputError(f"{flag}={quoted(value)}; expected {_EXPECTED[types.UnionType]}")
    for number in numbers:
        _check_number(flag, field, int, number)
    if len(numbers) == 2 and 0 in numbers:
        raise InputError(f"{flag}={quoted(value)}; expected a height and a width of at least 1")
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _with_home(flag, value):
    expanded = os.path.expanduser(value)
    if value.split("/")[0] == "~" and expanded == value:  # a folder named ~ is not what is meant
        raise InputError(
            f"{flag}={quoted(value)}: this user has no home folder; set HOME, or give the "
            "whole path"
        )
    return expanded


def quoted(value: Any) -> str:
    """The value as a message shows it: on one line, not too long."""
    try:
        return one_line(repr(value), 200)
    except ValueError:  # Python does not print numbers of more than 4,300 digits
        return "a number of thousands of digits"


def _as_float(flag, value) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{flag}={quoted(value)}; expected a finite number")
    return number


def _check_number(flag, field, kind, value):
    least, above, most = (field.metadata[bound] for bound in ("minimum", "above", "maximum"))
    most = LARGEST[kind] if most is None else most
    if least is not None and value < least:
        raise InputError(f"{flag}={quoted(value)}; expected at least {least}")
    if above is not None and value <= above:
        raise InputError(f"{flag}={quoted(value)}; expected more than {above}")
    if value > most:
        raise InputError(f"{flag}={quoted(value)}; expected at most {most}")


def _check_text(flag, field, value):
    if len(value) > LONGEST_TEXT:
        raise InputError(
            f"{flag}={quoted(value)} has {len(value):,} characters; expected at most "
            f"{LONGEST_TEXT:,}"
        )
    # Control characters, line ends, and lone surrogates, which stand for bytes that are not UTF-8.
    strange = [c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    if strange:
        raise InputError(
            f"{flag}={quoted(value)} has the character {strange[0]!r}; expected one line of "
            "text in UTF-8, without control characters"
        )
    if field.metadata["is_path"]:
        check_file_names(flag, value)


def check_file_names(flag: str, path: str) -> None:
    """Checks the length of each part of a path.

    Raises:
        InputError: A part is longer than a file name can be.
    """
    if any(len(os.fsencode(part)) > 255 for part in path.split("/")):
        raise InputError(
            f"{flag}={quoted(path)} has a name of more than 255 bytes, which no file system takes; "
            "give a shorter one"
        )

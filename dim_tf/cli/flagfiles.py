"""Flagfiles: files whose lines are arguments. Bounded in size: anyone may have written them."""

import os
import re
from pathlib import Path

from dim_tf.system.errors import InputError

MAX_BYTES = 2**20
# Each mention of a file counts, so that files that name others twice do not multiply.
MAX_FILES = 100
MAX_DEPTH = 10

# In a wheel, flags/ of the repository is the folder "flagfiles" of the package.
_PACKAGE = Path(__file__).parents[1]
SHIPPED = (_PACKAGE / "flagfiles", _PACKAGE.parent / "flags")
_DIRECTIVES = ("--flagfile", "-flagfile")
_FLAG = re.compile(r"--?[^\s=-][^\s=]*(=|$)")


def expanded(arguments: list[str]) -> list[str]:
    """The arguments, with each --flagfile replaced by the arguments in its file.

    A line is --NAME=VALUE or --NAME, empty, or a comment that starts with # or //. A line
    --flagfile=FILE includes another file. Relative paths start at the working folder; if it has no
    flags/NAME.cfg, the one shipped with this package is read. absl reads the same lines, but here
    errors name the file and the line, and the size is bounded.

    Args:
        arguments: The command line without the program's name.

    Raises:
        InputError: A file cannot be read or is not a flagfile; the message names the file
            and the line.
    """
    return _Reader().of_arguments(arguments)


class _Reader:
    def __init__(self):
        self._files_read = 0
        self._open: list[str] = []

    def of_arguments(self, arguments):
        expanded_arguments: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if argument == "--":  # no flags follow
                expanded_arguments += [argument, *rest]
            elif name in _DIRECTIVES:
                expanded_arguments += self._of_file(value if equals else next(rest, ""))
            else:
                expanded_arguments.append(argument)
        return expanded_arguments

    def _of_file(self, path):
        if not path:
            raise InputError("--flagfile= names no file; give a file: --flagfile=flags/digits.cfg")
        flag = f"--flagfile={path}"
        if path in self._open:
            raise InputError(f"{flag} names itself, by {' and '.join(self._open)}; take one out")
        self._files_read += 1
        if len(self._open) == MAX_DEPTH or self._files_read > MAX_FILES:
            raise InputError(
                f"{flag}: too many flagfiles; expected at most {MAX_FILES}, and {MAX_DEPTH} one in "
                "the other"
            )
        lines = _lines(path, flag)
        self._open.append(path)
        arguments = [self._of_line(f"{path}:{n}", line) for n, line in enumerate(lines, start=1)]
        self._open.pop()
        return [argument for of_line in arguments for argument in of_line]

    def _of_line(self, location, line):
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            return []
        if not _FLAG.match(line):
            raise InputError(
                f"{location}: {line!r} is no flag; expected --NAME=VALUE, or # before a comment"
            )
        name, _, value = line.partition("=")
        return self._of_file(value) if name in _DIRECTIVES else [line]


def _locate(path: str) -> str:
    """The flagfile of that path; flags/NAME that does not exist is the shipped one."""
    expanded_path = os.path.expanduser(path)
    folder, name = os.path.split(os.path.normpath(path))
    if folder == "flags" and not os.path.exists(expanded_path):
        for shipped in SHIPPED:
            if (shipped / name).is_file():
                return str(shipped / name)
    return expanded_path


def _lines(path, flag):
    try:
        with open(_locate(path), "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{flag} is larger than {MAX_BYTES:,} bytes; is it a flagfile?")
        return content.decode("utf-8-sig").splitlines()  # without the mark that Windows puts first
    except UnicodeDecodeError as error:
        raise InputError(f"{flag} is no text in UTF-8 ({error}); is it a flagfile?") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{flag} cannot be read ({reason}); give a flagfile's path") from error

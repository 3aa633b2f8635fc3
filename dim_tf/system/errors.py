"""Errors that a user can mend. Their message is one line: what was given, expected, and to do."""


class InputError(Exception):
    """A wrong flag, missing data, or settings that do not fit together (exit status 2)."""


class RunError(Exception):
    """A run that started and failed (exit status 1)."""


class NonFiniteError(RunError):
    """A loss or a weight is NaN or infinite."""


class MeasureError(RunError):
    """Some measures failed; all others were taken and written."""


def one_line(message: object, max_chars: int = 1000) -> str:
    """A message as one line that a terminal shows but does not obey.

    The message may quote line ends, control characters or a whole file.

    Args:
        message: The text, or the error that contains it.
        max_chars: If the message is longer, its middle is left out.
    """
    text = str(message)
    if len(text) > max_chars:
        half = max_chars // 2
        text = f"{text[:half]} ... {len(text) - 2 * half:,} characters ... {text[-half:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

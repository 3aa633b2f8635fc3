"""Errors that a user can mend. Their message is one line: what was given, expected, and to do."""


class InputError(Exception):
    """A wrong flag, missing data, or settings that do not fit together (exit status 2)."""


class RunError(Exception):
    """A run that began and failed (exit status 1)."""


class NotFinite(RunError):
    """A loss or a weight is NaN or infinite."""


class MeasureError(RunError):
    """Measures failed; all others were taken and written."""


def one_line(told: object, longest: int = 1000) -> str:
    """A message as one line that a terminal shows and does not obey.

    What was given may hold line ends, control characters or a whole file.

    Args:
        told: the message, or the error that holds it.
        longest: characters; of more the middle is left out.
    """
    text = str(told)
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... {len(text) - 2 * half:,} characters ... {text[-half:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

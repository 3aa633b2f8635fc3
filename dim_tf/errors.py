"""Errors that a user can mend. Their message is one line: what was given, expected, and to do."""


class InputError(Exception):
    """A wrong flag, missing data, or settings that do not fit together (exit status 2)."""


class RunError(Exception):
    """A run that began and failed (exit status 1)."""


class NotFinite(RunError):
    """A loss or a weight is NaN or infinite."""


class MeasureError(RunError):
    """Measures failed; all others were taken and written."""

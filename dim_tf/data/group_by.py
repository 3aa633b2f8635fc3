"""The setting `group_by`: which images of a folder stay on one side of the split."""

import re

from dim_tf.system.errors import InputError

AUTO, NONE, FOLDER, NEAR_DUPLICATES = "auto", "none", "folder", "near_duplicates"
MODES = (AUTO, NONE, FOLDER, NEAR_DUPLICATES)


def parse(text: str) -> re.Pattern[str] | None:
    """The pattern of --group_by=REGEX; None: it is one of `MODES`.

    Args:
        text: the setting.

    Raises:
        InputError: it is neither.
    """
    if text in MODES:
        return None
    expected = (
        f"expected {', '.join(MODES)}, or a regular expression whose first group names the group "
        r"of an image by its path, as '(video_\d+)/'"
    )
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"--group_by={text}: {error}; {expected}") from error
    if not pattern.groups:
        raise InputError(f"--group_by={text} has no group in parentheses; {expected}")
    return pattern

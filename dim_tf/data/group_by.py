"""The setting `group_by`: which images of a folder stay on one side of the split."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from dim_tf.system.errors import InputError, RunError

MATCHING_SECONDS = 60  # a million paths take one or two
# In another process, because `re` has no time limit and a thread cannot be ended.
_MATCH = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
matches = map(re.compile(pattern).search, texts)
json.dump([match and (match[1] or "") for match in matches], sys.stdout)
"""
AUTO, NONE, FOLDER, NEAR_DUPLICATES = "auto", "none", "folder", "near_duplicates"
MODES = (AUTO, NONE, FOLDER, NEAR_DUPLICATES)


def parse(text: str) -> re.Pattern[str] | None:
    """The pattern of --group_by=REGEX; None if it is one of `MODES`.

    Args:
        text: The setting.

    Raises:
        InputError: It is neither.
    """
    if text in MODES:
        return None
    expected = (
        f"expected {', '.join(MODES)}, or a regular expression whose first group names the group "
        r"of an image by its path, such as '(video_\d+)/'"
    )
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"--group_by={text}: {error}; {expected}") from error
    if not pattern.groups:
        raise InputError(f"--group_by={text} has no group in parentheses; {expected}")
    return pattern


def first_groups(pattern: str, paths: Sequence[str]) -> list[str | None]:
    """The first group of the pattern in each path.

    Args:
        pattern: A regular expression with a group.
        paths: Paths of the images.

    Returns:
        The text of the group, empty if the group did not take part; None if the pattern does not
        match.

    Raises:
        InputError: Matching takes more than `MATCHING_SECONDS`.
        RunError: The process that matches failed.
    """
    try:
        matching = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _MATCH],
            input=json.dumps([pattern, list(paths)]),
            capture_output=True,
            text=True,
            timeout=MATCHING_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"--group_by={pattern} takes more than {MATCHING_SECONDS} s for {len(paths):,} paths; "
            "repetitions that contain others, such as (a+)+, try every way to divide a path: give "
            "a pattern without them"
        ) from error
    if matching.returncode:
        lines = matching.stderr.strip().splitlines() or [f"exit status {matching.returncode}"]
        raise RunError(f"--group_by={pattern} could not be matched ({lines[-1]})")
    return json.loads(matching.stdout)

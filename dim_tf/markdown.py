"""Markdown from text of other origin, and tables."""

import re
from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Text of one line, escaped: Markdown shows it unchanged, without tags, links or code."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown."""
    rule = "|---" * len(header) + "|"
    return "\n".join([_row(header), rule, *map(_row, rows)])


def _row(cells):
    return f"| {' | '.join(cells)} |"

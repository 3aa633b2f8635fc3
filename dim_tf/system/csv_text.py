"""Tables as the text of CSV files."""

import csv
import io
from collections.abc import Iterable
from typing import Any


def csv_text(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    r"""A header and lines as CSV, with a line feed at the end of each.

    >>> csv_text(("id", "score"), [("a,b.png", 0.5)])
    'id,score\n"a,b.png",0.5\n'

    Args:
        header: Names of the columns.
        lines: Values of each line, in the order of the columns.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return file.getvalue()

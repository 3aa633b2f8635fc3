"""Reads labels of images from a CSV file: a class for each, or several attributes.

docs/DATA.md states the rules.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.data.folder.file_bytes import has_image_suffix
from dim_tf.data.folder.report import printable
from dim_tf.data.folder.split_names import Role, combine_roles, read_name
from dim_tf.system.errors import InputError
from dim_tf.system.files import open_for_reading

MAX_BYTES = 2**28
MAX_ATTRIBUTES = 1000
MAX_LISTED = 10  # columns in a message
# Names of the column of files, the preferred ones first.
_FILE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path"),
    *("image", "image_id", "image_name", "image_path", "img", "img_id", "img_name", "img_path"),
)
_SPLIT_COLUMN = "split"
_UNNAMED = re.compile(r"(unnamed: \d+)?", re.IGNORECASE)  # an index that pandas wrote
# As pandas reads them, but for "None", which may be a class.
_MISSING = frozenset(("", "na", "n/a", "nan", "<na>", "null", "#n/a"))
_POSITIVE = frozenset(("1", "true", "yes", "t", "y"))
# -1 as CelebA writes it.
_NEGATIVE = frozenset(("0", "-1", "false", "no", "f", "n")) | _MISSING
_WHOLE_NUMBER = re.compile(r"([+-]?(?:0|[1-9]\d{0,17}))(\.0*)?")  # 007 is a text


@dataclass(frozen=True)
class LabelsFile:
    """The rows of a file of labels.

    Attributes:
        name: Name of the file.
        files: For each row, the name of its image.
        lines: For each row, its line number.
        labels: int64 [R], class numbers; or int64 [R, A], attributes 0 or 1; -1: none.
        label_names: Names of the classes or attributes.
        roles: For each row, its role by the column `split`; None in rows where that is empty; empty
            if there is no such column.
        description: Description of the columns of labels.
    """

    name: str
    files: list[str]
    lines: list[int]
    labels: np.ndarray
    label_names: tuple[str, ...]
    roles: list[Role | None]
    description: str

    @property
    def split_column(self) -> str:
        """The column of splits, as named in messages."""
        return f"the column {_SPLIT_COLUMN} of {self.name}"


def read_labels_file(path: Path, label_column: str = "") -> LabelsFile:
    """Reads a CSV file with a header line, whose fields are separated by commas, ; or tabs.

    Args:
        path: Path of the file.
        label_column: The columns that are labels, separated by commas; empty: all but those of
            files and splits.

    Raises:
        InputError: The file cannot be read, has no such columns, or they hold something else.
    """
    name = printable(path.name)
    rows = _read_rows(path)
    header, _ = next(rows, ([], 0))
    if len(header) < 2:
        raise InputError(
            f"--labels={path} begins with {' '.join(header)[:80]!r}; expected a header line with "
            "the names of two columns or more, separated by commas, semicolons or tabs"
        )
    table = list(rows)
    if not table:
        raise InputError(f"--labels={path} has a header line alone; expected a row for each image")
    columns = _find_columns(path, header, [row for row, _ in table])
    file_column = _find_file_column(columns)
    if has_image_suffix(file_column):
        raise InputError(
            f"--labels={path} begins with {','.join(header)[:80]!r}, the name of an image; "
            "expected a header line, such as file,label"
        )
    labelling = _choose_columns(path, columns, file_column, label_column)
    split_column = next((c for c in columns if c.lower() == _SPLIT_COLUMN), None)
    if split_column in labelling:
        split_column = None
    cells = {c: [row[columns[c]] for row, _ in table] for c in (file_column, *labelling)}
    lines = [line for _, line in table]
    is_used = [bool(cell) for cell in cells[file_column]]
    if not all(is_used):
        line = lines[is_used.index(False)]
        raise InputError(f"--labels={path}, line {line}: the column {file_column} is empty")
    if len(labelling) == 1:
        labels, names, kind = _read_column(path, labelling[0], cells[labelling[0]])
        description = f"the column {printable(labelling[0])} of {name}, {len(names):,} {kind}"
    else:
        labels, names, kind = _read_attributes(path, labelling, cells, lines)
        description = f"{len(names):,} columns of {name}, {kind}"
    roles = []
    if split_column is not None:
        index = columns[split_column]
        roles = [_role_of(path, split_column, row[index], line) for row, line in table]
    return LabelsFile(name, cells[file_column], lines, labels, names, roles, description)


def _read_rows(path: Path) -> Iterator[tuple[list[str], int]]:
    """The fields of each row, without blanks around them, and the row's line number.

    Raises:
        InputError: The file cannot be read, or a row does not have as many fields as the header.
    """
    text = _read_text(path)
    header = next((line for line in text.splitlines() if line.strip()), "")
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    delimiter = max(",;\t", key=outside_quotes.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width, line, last_line = 0, 0, 0
    try:
        for row in reader:
            line, last_line = last_line + 1, reader.line_num
            fields = [sys.intern(field.strip()) for field in row]  # 40 columns of 1 and -1
            if not any(fields):
                continue
            width = width or len(fields)
            if any(fields[width:]) or len(fields) < width:
                raise InputError(
                    f"--labels={path}, line {line}, has {len(fields)} fields, expected the {width} "
                    "of the header; put fields that contain the separator in double quotes"
                )
            yield fields[:width], line
    except csv.Error as error:
        if str(error).startswith("field larger than field limit"):
            raise InputError(
                f"--labels={path}, line {last_line + 1}, has a field of more than "
                f"{csv.field_size_limit():,} characters; close its double quotes, or leave out its "
                "column"
            ) from error
        raise InputError(
            f"--labels={path}, line {last_line + 1}, is not CSV ({error}); save it as CSV in UTF-8"
        ) from error


def _read_text(path):
    try:
        with open_for_reading(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(
                f"--labels={path} is larger than {MAX_BYTES:,} bytes; leave out columns"
            )
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"--labels={path} cannot be read ({error.strerror}); give a CSV file"
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"--labels={path}, line {line}, is not UTF-8; save it as CSV in UTF-8"
        ) from error


def _find_columns(path, header, rows):
    """The index of each column by name, without unnamed ones that are empty or an index."""
    columns = {}
    for index, name in enumerate(header):
        cells = [row[index] for row in rows]
        if _UNNAMED.fullmatch(name) and all(map(_WHOLE_NUMBER.fullmatch, filter(None, cells))):
            continue
        title = name or f"column {index + 1}"
        if title in columns:
            raise InputError(f"--labels={path} has the column {title} twice; rename one")
        columns[title] = index
    return columns


def _find_file_column(columns):
    normalised = {re.sub(r"[\s-]+", "_", title.lower()): title for title in reversed(columns)}
    known = (normalised[name] for name in _FILE_COLUMNS if name in normalised)
    return next(known, next(iter(columns), ""))


def _choose_columns(path, columns, file_column, label_column):
    """The columns that are labels."""
    rest = [c for c in columns if c != file_column]
    chosen = [c for c in rest if c.lower() != _SPLIT_COLUMN]
    if label_column in rest:  # a name may contain a comma
        chosen = [label_column]
    elif label_column:
        chosen = [c.strip() for c in next(csv.reader([label_column]))]
        unknown = [c for c in chosen if c not in rest]
        if unknown:
            raise InputError(
                f"--label_column={label_column}: {path} has no column of labels {unknown[0]!r}; "
                f"expected one or more of {_listed(rest)}"
            )
    if not chosen:
        raise InputError(f"--labels={path} has no column of labels beside {file_column!r}")
    return list(dict.fromkeys(chosen))


def _listed(columns):
    more = len(columns) - MAX_LISTED
    return ", ".join(columns[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _read_column(path, title, cells):
    """Labels of one column: classes, or several names per cell, separated by | or ;.

    Returns:
        int64 [R] or [R, A], -1: none; the names; and a description of them.
    """
    values = ["" if cell.lower() in _MISSING else cell for cell in cells]
    if any(re.search(r"[|;]", value) for value in values):
        sets = [set(filter(None, map(str.strip, re.split(r"[|;]", v)))) for v in values]
        names = sorted(set().union(*sets))
        _check_attributes(path, len(names))
        number_of = {name: number for number, name in enumerate(names)}
        labels = np.zeros((len(values), len(names)), np.int64)
        for row, row_names in enumerate(sets):
            labels[row, [number_of[name] for name in row_names]] = 1
            if not row_names:
                labels[row] = -1
        return labels, tuple(map(printable, names)), "attributes"
    values, names = _sort_classes(values)
    labelled = sum(map(bool, values))
    if len(names) < 2 or 2 * len(names) > labelled:
        raise InputError(
            f"--labels={path}: the column {title} has {len(names):,} different values in "
            f"{labelled:,} rows; expected two classes or more, with two rows each on average; "
            "--label_column=NAME chooses another column"
        )
    number_of = {name: number for number, name in enumerate(names)}
    labels = np.array([number_of.get(value, -1) for value in values], np.int64)
    return labels, tuple(map(printable, names)), "classes"


def _sort_classes(values: Sequence[str]) -> tuple[list[str], list[str]]:
    """Values and their distinct ones, sorted; 1 and 1.0 are the same if all are numbers."""
    numbers = [_WHOLE_NUMBER.fullmatch(value) for value in values]
    if not all(number for number, value in zip(numbers, values, strict=True) if value):
        return list(values), sorted(set(values) - {""})
    values = [str(int(number[1])) if number else "" for number in numbers]
    return values, sorted(set(values) - {""}, key=int)


def _read_attributes(path, titles, cells, lines):
    """Labels from several columns of 0 and 1, in the form of `_read_column`.

    If each row has exactly one 1, the columns are classes, one per image.
    """
    _check_attributes(path, len(titles))
    labels = np.zeros((len(lines), len(titles)), np.int64)
    is_missing = np.ones(len(lines), bool)
    distinct = set[str]()
    for column, title in enumerate(titles):
        value_of = {cell: re.sub(r"\.0*$", "", cell.lower()) for cell in cells[title]}
        wrong = [c for c, value in value_of.items() if value not in _POSITIVE | _NEGATIVE]
        if wrong:
            raise InputError(
                f"--labels={path}, line {lines[cells[title].index(wrong[0])]}: {wrong[0][:80]!r} "
                f"in the column {title}; several columns are attributes, expected 0 or 1, true or "
                f"false, yes or no in each; choose columns by --label_column=NAME, of "
                f"{_listed(titles)}"
            )
        labels[:, column] = [value_of[cell] in _POSITIVE for cell in cells[title]]
        is_missing &= [value_of[cell] in _MISSING for cell in cells[title]]
        distinct |= set(value_of.values())
    if is_missing.all():
        raise InputError(f"--labels={path} has no label in any row; leave --labels out")
    names = tuple(map(printable, titles))
    if (labels[~is_missing].sum(axis=1) == 1).all():
        classes = labels.argmax(axis=1)
        classes[is_missing] = -1
        return classes, names, "of which each row has one 1: classes"
    labels[is_missing] = -1
    return labels, names, "attributes, -1 as 0" if {"0", "-1"} <= distinct else "attributes"


def _check_attributes(path, count):
    if not 0 < count <= MAX_ATTRIBUTES:
        raise InputError(
            f"--labels={path} has {count:,} attributes; expected 1 to {MAX_ATTRIBUTES:,}; choose "
            "columns by --label_column=NAME"
        )


def _role_of(path, title, cell, line):
    """The role that a split's name means; None if it is empty."""
    if cell.lower() in _MISSING:
        return None
    roles, _ = read_name(cell)
    if not roles:
        raise InputError(
            f"--labels={path}, line {line}: {cell[:80]!r} in the column {title}; expected train, "
            "val or test"
        )
    return combine_roles(roles)

"""The values in docs/CLAIM.md are those of the committed tables that it links to."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
LINK = re.compile(r"\]\((results/[\w./-]+\.md)\)")


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def titled(titles):
    """Each heading "paper" with that of the column whose values it has."""
    return [
        f"{titles[index - 1]}, paper" if title == "paper" else title
        for index, title in enumerate(titles)
    ]


def table_of(lines):
    """A Markdown table: row -> heading -> cell."""
    _, *titles = cells_of(lines[0])
    rows = [cells_of(line) for line in lines[2:]]
    assert all(len(row) == len(titles) + 1 for row in rows)
    return {name: dict(zip(titled(titles), cells, strict=True)) for name, *cells in rows}


def blocks_of(text):
    """The tables of a page, each with the results that the text before it links to last."""
    link, blocks = None, []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0].startswith("| |") or lines[0].startswith("|  |"):
            blocks.append((link, lines))
        elif links := LINK.findall(paragraph):
            link = links[-1]
        elif paragraph.startswith("#"):
            link = None
    return blocks


def deviations(text):
    """The cells of a page that differ from those of the results, as text."""
    wrong = []
    for link, lines in blocks_of(text):
        if link is None:
            continue
        (result,) = [block for _, block in blocks_of((DOCS / link).read_text(encoding="utf-8"))]
        expected = table_of(result)
        for name, cells in table_of(lines).items():
            for title, cell in cells.items():
                if expected.get(name, {}).get(title) != cell:
                    wrong.append(f"{link}: {name}, {title}: {cell}")
    return wrong


@pytest.fixture(scope="module")
def page():
    return (DOCS / "CLAIM.md").read_text(encoding="utf-8")


def test_values_are_those_of_the_results(page):
    assert deviations(page) == []
    assert len([link for link, _ in blocks_of(page) if link]) == 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| DIM(G) | 56.9 |", "| DIM(G) | 57.9 |"),
        ("| DIM(L+G) | 56.0 | 57.55 |", "| DIM(L+G) | 56.0 | 57.56 |"),
        ("| NAT | 0.8751 |", "| NICE | 0.8751 |"),
    ],
)
def test_another_value_or_row_is_found(page, old, new):
    assert old in page
    assert deviations(page.replace(old, new, 1))

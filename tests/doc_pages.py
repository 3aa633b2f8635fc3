"""The pages of the documentation, and the blocks of code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Tables that the program writes; their commands are checked with the pages that show them.
RESULTS = "docs/results/"
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/serving/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
# They name flags and files of what they add, which only test_howto.py has.
PAGES_THAT_ADD = [page for page in PAGES if page.startswith("docs/howto/add-")]
_FENCED = re.compile(
    r"(?P<marker><!-- not run: [^>]+ -->\n)?"
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Its page, from the root of the repository.
        line: Where it begins there.
        language: "": commands; "console": commands after "$ ", and their output; "python"; "json";
            "text": output, or a file.
        code: What it contains.
        is_marked: Whether a comment before it says why it does not run in a test.
    """

    page: str
    line: int
    language: str
    code: str
    is_marked: bool

    def __str__(self):
        return f"{self.page}:{self.line}"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    text = text_of(page)
    return [
        Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["code"],
            match["marker"] is not None,
        )
        for match in _FENCED.finditer(text)
    ]

"""The Python of docs/SEARCH.md runs, as it is and in its order."""

import re
from pathlib import Path

import dim_tf

PAGE = Path(dim_tf.__file__).parents[1] / "docs/SEARCH.md"


def test_the_examples_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "exact, 2,000 rows of 64 numbers"
    assert lines[1] == "photos/11.jpg Location(row=3, column=3) (7, 7)"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", lines[2])
    assert (
        (tmp_path / "results.csv").read_text().startswith("query,rank,id,similarity\nnew/a.jpg,1")
    )
    assert (tmp_path / "search.html").is_file()

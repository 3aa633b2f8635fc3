"""Files outside docs/ that its pages link to become pages of the site; README.md is its home page.

A link in a page is relative to the page's file in the repository, so that it works there too. Here
it becomes a link to the page that the file has on the site, and `mkdocs build --strict` fails where
there is none.
"""

import html
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

HOME = "README.md"
FOLDER = "repository"  # of the site, with the pages of files outside docs/
_LANGUAGES = {".py": "python", ".cfg": "ini"}  # every other file is shown as text
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_CODE = re.compile(r"^(?P<fence> *(?:```+|~~~+))[^\n]*\n.*?^(?P=fence) *$|`[^`\n]+`", re.M | re.S)
_SOURCES: dict[str, str] = {}  # page -> the file of the repository that it shows
_NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of docs."""
    root = Path(config.config_file_path).parent
    pages: dict[str, File] = {}
    _SOURCES.clear()
    waiting = [HOME]
    for file in files.documentation_pages():
        if file.generated_by is None:
            path = f"docs/{file.src_uri}"
            waiting += _links_of(root, path, (root / path).read_text(encoding="utf-8"))
    while waiting:
        path = waiting.pop()
        if page_of(path) not in pages:
            content = _content(root, path)
            pages[page_of(path)] = File.generated(config, page_of(path), content=content)
            _SOURCES[page_of(path)] = path
            waiting += _links_of(root, path, content)
    for file in pages.values():
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page, config: MkDocsConfig, **_) -> str:
    """Called by mkdocs with the text of each page."""
    root = Path(config.config_file_path).parent
    if page.file.src_uri == page_of(HOME):
        page.meta["hide"] = ["navigation"]  # a list of one
    source = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    here = os.path.dirname(page.file.src_uri)

    def relative(path: str, match: re.Match) -> str:
        return os.path.relpath(page_of(path), here or ".") + (match["anchor"] or "")

    return _with_links(root, source, markdown, relative)


def page_of(path: str) -> str:
    """The page of a file or folder of the repository, relative to docs/."""
    if path == HOME:
        return "index.md"
    if path.startswith("docs/") and os.path.splitext(path)[1]:
        return path.removeprefix("docs/")
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _links_of(root: Path, source: str, text: str) -> list[str]:
    """What the text of the file `source` links to and needs a page for: files and folders."""
    paths: list[str] = []

    def collected(path: str, match: re.Match) -> str:
        if page_of(path).startswith((FOLDER, "index.md")):
            paths.append(path)
        return match[0]

    _with_links(root, source, text, collected)
    return paths


def _with_links(root: Path, source: str, text: str, link: Callable[[str, re.Match], str]) -> str:
    """A Markdown text with other links to files of the repository.

    Args:
        root: The repository.
        source: The file that the text is from; links are relative to it.
        text: The file's text. What is in code stays.
        link: A path from the root, and the match of the link to it -> the new link.
    """

    def replaced(match: re.Match) -> str:
        path = os.path.normpath(os.path.join(os.path.dirname(source), match["path"]))
        return link(path, match) if (root / path).exists() else match[0]

    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_LINK.sub(replaced, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(replaced, text[end:])])


def _content(root: Path, path: str) -> str:
    """The text of a page that shows a file or a folder of the repository."""
    file = root / path
    if file.is_dir():
        return f"{_NOT_SEARCHED}# {path}\n\n{_listing(file)}"
    text = file.read_text(encoding="utf-8")
    if path == HOME:
        return text
    if path.endswith(".md"):
        return _NOT_SEARCHED + text
    if path.endswith(".ipynb"):
        return _NOT_SEARCHED + _notebook(json.loads(text))
    language = _LANGUAGES.get(file.suffix, "text")
    return f"{_NOT_SEARCHED}# {path}\n\n````{language}\n{text}\n````\n"


def _listing(folder: Path) -> str:
    """The files of a folder; of flagfiles with the beginning of their comments."""
    lines = []
    for child in sorted(folder.iterdir()):
        if child.name.startswith((".", "_")) and child.name != "__init__.py":
            continue
        has_page = child.suffix in _LANGUAGES or child.suffix == ".md"
        name = f"[{child.name}]({folder.name}/{child.name})" if has_page else f"`{child.name}`"
        comment = f": {_summary(child)}" if child.suffix == ".cfg" else ""
        lines.append(f"- {name}{comment}")
    return "\n".join(lines) + "\n"


def _summary(flagfile: Path) -> str:
    """The first paragraph of a flagfile's comment."""
    lines = []
    for line in flagfile.read_text(encoding="utf-8").splitlines():
        if not line.removeprefix("#").strip():
            break
        lines.append(html.escape(line.removeprefix("#").strip(), quote=False))
    return " ".join(lines)


def _notebook(notebook: dict) -> str:
    """The cells of a notebook, which is kept without outputs."""
    cells = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        cells.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join(cells) + "\n"

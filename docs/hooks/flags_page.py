"""reference/flags.md: every flag by section, made from the settings that the program reads."""

import dataclasses
import html

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dim_tf import registry
from dim_tf.cli import help as cli_help

PATH = "reference/flags.md"
_HEAD = """# Flags

This page is made from the code when the site is built. `python -m dim_tf.main --help` prints the
flags that most runs need, here marked with ★, `--help=SECTION` those of a section or a model,
`--helpfull` all. In Python each flag is a setting of the same name
([Python API](../API.md#settings)).
"""
_MODELS = """## model {name}

Flags of `--model={name}` alone.
"""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of docs."""
    files.append(File.generated(config, PATH, content=markdown()))
    return files


def markdown() -> str:
    """The page: a table a section."""
    parts = [_HEAD]
    for name, fields in cli_help.flags_by_section().items():
        if name in registry.MODELS and not fields:
            continue  # a model without settings of its own
        heading = _MODELS.format(name=name) if name in registry.MODELS else f"## {name}\n"
        parts.append(f"{heading}\n{_table(fields)}\n")
    return "\n".join(parts)


def _table(fields: dict[str, dataclasses.Field]) -> str:
    lines = ["| flag | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        flag = cli_help.flag_text(name, field, is_full=True)
        star = " ★" if field.metadata["common"] else ""
        default = f"`{flag.default}`" if flag.default else ""
        lines.append(f"| `--{flag.name}`{star} | {default} | {_cell(flag.sentence)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Plain text in a cell of a Markdown table."""
    escaped = html.escape(text, quote=False)
    for character in "\\`*_|[]":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped

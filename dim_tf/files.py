"""Writing files so that nothing is lost."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all: to a temporary name beside it, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

"""Which versions of an exported encoder are there: the folders that TensorFlow Serving takes."""

from pathlib import Path


def published(folder: Path) -> list[int]:
    """The versions in exported/<name>, in their order.

    Args:
        folder: exported/<name>; one that is not there has none.
    """
    return sorted(int(child.name) for child in folder.glob("*") if child.name.isdecimal())

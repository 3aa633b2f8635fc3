"""The versions of an exported encoder: numbered folders, as TensorFlow Serving expects."""

from pathlib import Path


def published_versions(folder: Path) -> list[int]:
    """The version numbers in exported/<name>, ascending.

    Args:
        folder: exported/<name>; it need not exist.
    """
    return sorted(int(child.name) for child in folder.glob("*") if child.name.isdecimal())

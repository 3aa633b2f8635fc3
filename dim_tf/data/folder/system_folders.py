"""Folders that operating systems, NAS and tools create among people's files: they hold no data."""

import re

# Synology, QNAP, Linux and Jupyter distinguish upper and lower case.
_NAMES = frozenset(
    ("@eaDir", "#recycle", "#snapshot", "@tmp", "@sharebin", "@Recycle", "@Recently-Snapshot")
    + (".@__thumb", "lost+found", ".thumbnails", ".snapshot", ".zfs", ".git", ".hg", ".svn")
    + (".ipynb_checkpoints", "__pycache__")
)
# Names on Windows and macOS, which do not.
_CASELESS_NAMES = frozenset(
    ("$recycle.bin", "recycler", "recycled", "system volume information", "__macosx", ".trashes")
    + (".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100")
    + (".appledouble", "network trash folder", "temporary items")
)
_NUMBERED = re.compile(r"\.Trash-\d+|(?i:found\.\d{3})")  # freedesktop's, CHKDSK's


def is_system_folder(name: str) -> bool:
    """Whether a folder was made by an operating system, a NAS or a tool.

    >>> [is_system_folder(name) for name in ("@eaDir", "$Recycle.Bin", "FOUND.000", "recycling")]
    [True, True, True, False]

    Args:
        name: Name of the folder, without its parent folders.
    """
    return name in _NAMES or name.lower() in _CASELESS_NAMES or bool(_NUMBERED.fullmatch(name))

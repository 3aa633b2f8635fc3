"""Folders that operating systems, NAS and tools make among people's files: no data."""

import re

# As their makers write them; Synology, QNAP, Linux and Jupyter tell cases apart.
_NAMES = frozenset(
    ("@eaDir", "#recycle", "#snapshot", "@tmp", "@sharebin", "@Recycle", "@Recently-Snapshot")
    + (".@__thumb", "lost+found", ".thumbnails", ".snapshot", ".zfs", ".git", ".hg", ".svn")
    + (".ipynb_checkpoints", "__pycache__")
)
# Windows' and macOS', which do not.
_NAMES_OF_ANY_CASE = frozenset(
    ("$recycle.bin", "recycler", "recycled", "system volume information", "__macosx", ".trashes")
    + (".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100")
    + (".appledouble", "network trash folder", "temporary items")
)
_NUMBERED = re.compile(r"\.Trash-\d+|(?i:found\.\d{3})")  # freedesktop's, CHKDSK's


def is_one(name: str) -> bool:
    """Whether a folder is a system's.

    >>> [is_one(name) for name in ("@eaDir", "$Recycle.Bin", "FOUND.000", "recycling")]
    [True, True, True, False]

    Args:
        name: of the folder, without those above it.
    """
    return name in _NAMES or name.lower() in _NAMES_OF_ANY_CASE or bool(_NUMBERED.fullmatch(name))

"""Folders that are called train, test and the like: which images they make training and test.

docs/DATA.md tells the rules.
"""

import enum
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

FEW = 10  # top folders; among more, one that is called as a split is may be a class


class Role(enum.IntEnum):
    """What the images of a folder are for. In the order in which copies of an image are kept."""

    TEST = 0
    TRAINING = 1
    EXTRA = 2  # more training images, often without labels
    UNLABELLED = 3
    VALIDATION = 4


_ROLES = {
    Role.TRAINING: ("train", "training", "trainval"),
    Role.VALIDATION: ("val", "valid", "validation", "dev", "eval", "evaluation"),
    Role.TEST: ("test", "testing"),
    Role.EXTRA: ("extra",),
    Role.UNLABELLED: ("unlabeled", "unlabelled"),
}
ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
# What may stand beside these words, or behind them without a sign between.
_NEUTRAL = frozenset(
    ("set", "split", "data", "dataset", "image", "images", "img", "imgs", "picture", "pictures")
    + ("photo", "photos", "jpg", "jpeg", "jpegs", "png", "full", "all", "small", "large", "new")
    + ("final", "part", "folder", "dir", "a", "b", "x", "y")
)
_GLUED = re.compile(f"({'|'.join(ROLE_OF)})(sets?|images|imgs|data)")
# Split names that are also classes: a vehicle, and beside invalid. How many folders there are to be
# for one of them alone to be a class.
_CLASSES = {"train": 3, "valid": 2}


@dataclass(frozen=True)
class Layout:
    """Images in folders that are splits.

    Attributes:
        roles: of each image.
        names: of each image, without the folder that is its split, and those that all share.
        folders: of the splits, as they are called -> their role; in the order of their names.
    """

    roles: list[Role]
    names: list[str]
    folders: dict[str, Role]

    @property
    def listed(self) -> str:
        """The folders' names, for a message."""
        return " and ".join(self.folders)


def find(names: Sequence[str]) -> Layout | None:
    """The folders among some files' that are splits; None: there are none.

    They are the top folders, below those that all files share; or each of these has them, as in
    cats/train and cats/test.

    Args:
        names: of the files, with "/".
    """
    parts = [name.split("/") for name in names]
    shared = 0
    while parts and all(len(p) > shared + 1 for p in parts) and len({p[shared] for p in parts}) < 2:
        if _roles([parts[0][shared]]):
            break  # all that there is, is called train
        shared += 1
    for depth in (shared, shared + 1):
        at = [p[depth] if len(p) > depth + 1 else "" for p in parts]
        folders = _roles(sorted(set(at) - {""}))
        # Below the top, where all of them are: else it is a class that is called so.
        if folders and (depth == shared or set(at) <= set(folders)):
            return Layout(
                [folders.get(folder, Role.TRAINING) for folder in at],
                [
                    "/".join(p[shared:depth] + p[depth + (folder in folders) :])
                    for p, folder in zip(parts, at, strict=True)
                ],
                folders,
            )
    return None


def _roles(folders: list[str]) -> dict[str, Role]:
    """Those of some folders beside each other that are splits; empty: none is."""
    named = {}
    for folder in folders:
        roles, rest = _read(folder)
        if roles:
            named[folder] = roles, rest
    rests = Counter(rest for _, rest in named.values())
    splits = {
        folder: _one_role(roles)
        for folder, (roles, rest) in named.items()
        # Words that mean something else only where another split has them too.
        if rests[rest] > 1 or all(word in _NEUTRAL for word in rest)
    }
    if len(folders) > FEW and len(set(splits.values())) < 2:
        return {}
    alone = next(iter(splits)).lower() if len(splits) == 1 else ""
    return {} if len(folders) >= _CLASSES.get(alone, len(folders) + 1) else splits


def _one_role(roles):
    for role in (Role.TRAINING, Role.TEST, Role.VALIDATION, Role.UNLABELLED):
        if role in roles:
            return role
    return Role.EXTRA


def _read(folder: str) -> tuple[set[Role], tuple[str, ...]]:
    """The splits that a folder's name has the words of, and its other words.

    >>> _read("train2017"), _read("DIV2K_valid_HR"), _read("latest")[0]
    (({<Role.TRAINING: 1>}, ()), ({<Role.VALIDATION: 4>}, ('div', 'k', 'hr')), set())
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    roles, rest = set[Role](), list[str]()
    for word in re.findall(r"[^\W\d_]+", spaced.lower()):
        glued = _GLUED.fullmatch(word)
        role = ROLE_OF.get(glued[1] if glued else word)
        if role is None:
            rest.append(word)
        else:
            roles.add(role)
    return roles, tuple(rest)

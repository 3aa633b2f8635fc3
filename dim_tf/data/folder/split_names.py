"""Folder names that make a split: train, test and the like, and the words that go with them.

docs/DATA.md states the rules.
"""

import enum
import functools
import re
from collections import Counter
from collections.abc import Iterable

MAX_TOP_FOLDERS = 10  # among more of them, one that is named like a split may be a class


class Role(enum.IntEnum):
    """What the images of a folder are for, in the order in which copies of an image are kept."""

    TEST = 0
    TRAINING = 1
    EXTRA = 2  # more training images, often without labels
    UNLABELLED = 3
    VALIDATION = 4
    LEFT_OUT = 5  # masks, predictions, and ambiguous folders
    UNMEASURED = 6  # for the test or validation, without a label or split in the file of labels


_ROLES = {
    Role.TRAINING: ("train", "training", "trainval", "trn"),
    Role.VALIDATION: ("val", "valid", "validation", "validate", "validating", "dev", "devel")
    + ("eval", "evaluation", "evaluate", "evaluating"),
    Role.TEST: ("test", "testing", "tests", "tst", "holdout", "heldout"),
    Role.EXTRA: ("extra",),
    Role.UNLABELLED: ("unlabeled", "unlabelled"),
}
ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
# Words that may also name classes, so they count only beside splits.
MASKS = frozenset(
    ("mask", "masks", "gt", "groundtruth", "annotation", "annotations", "label", "labels")
)
_PREDICTIONS = frozenset(
    ("pred", "preds", "predict", "prediction", "predictions", "inference", "submission")
)
_RETRIEVAL = frozenset(
    ("query", "gallery")
)  # queries and the images that are searched, beside train
AUXILIARY = MASKS | _PREDICTIONS | _RETRIEVAL
# Words that may be next to those of a split, or follow them without a separator.
IMAGES = frozenset(
    ("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos")
    + ("jpg", "jpeg", "jpegs", "png")
)
NEUTRAL = IMAGES | frozenset(
    ("set", "split", "data", "dataset", "full", "all", "small", "large", "new", "final", "part")
    + ("folder", "dir", "a", "b", "x", "y")
)
_COMPOUND = re.compile(f"({'|'.join(ROLE_OF)})(sets?|images|imgs|data|dir|folder)")
_TWO_WORDS = re.compile(r"(hold|held|ground)[\W_]+(out|truth)")
# Names of splits that are also classes (a vehicle; the opposite of invalid), and the number of
# folders from which on a single one of them is a class.
_ALSO_CLASSES = {"train": 3, "valid": 2}


def split_roles(folders: list[str]) -> dict[str, Role]:
    """The roles of the splits among sibling folders.

    Args:
        folders: Their names.

    Returns:
        Name -> role, for those that are splits by themselves; empty if none is.
    """
    words = {folder: read_name(folder) for folder in folders}
    named = {folder: read for folder, read in words.items() if read[0]}
    rest_counts = Counter(rest for _, rest in named.values())
    # Such as cats beside test_cats.
    plain_rests = {rest for roles, rest in words.values() if not roles}
    splits = {
        folder: combine_roles(roles)
        for folder, (roles, rest) in named.items()
        # Words that also mean something else count only if another split has them too.
        if rest_counts[rest] > 1
        or all(word in NEUTRAL for word in rest)
        or (rest in plain_rests and combine_roles(roles) in (Role.TEST, Role.VALIDATION))
    }
    without_auxiliary = {
        folder: combine_roles(roles)
        for folder, (roles, rest) in named.items()
        if not AUXILIARY.intersection(rest)
    }
    has_retrieval = {word for _, rest in words.values() for word in rest} >= _RETRIEVAL
    few = len(folders) <= MAX_TOP_FOLDERS or 2 * len(named) > len(folders)
    if has_both(splits.values()) or (few and has_both(without_auxiliary.values())):
        # Whatever else their names say, test images must not be trained on.
        splits = {folder: combine_roles(roles) for folder, (roles, _) in named.items()}
        if has_both(without_auxiliary.values()):
            splits |= _auxiliary_roles(words)
    elif few and has_retrieval and Role.TRAINING in splits.values():
        splits |= _auxiliary_roles(words)
    elif Role.TEST in splits.values():
        splits |= {folder: role for folder, role in without_auxiliary.items() if role == Role.TEST}
    if not has_both(splits.values()):
        splits = {folder: role for folder, role in splits.items() if role != Role.LEFT_OUT}
    if len(folders) > MAX_TOP_FOLDERS and len(set(splits.values())) < 2:
        return {}
    alone = next(iter(splits)).lower() if len(splits) == 1 else ""
    return {} if len(folders) >= _ALSO_CLASSES.get(alone, len(folders) + 1) else splits


def _auxiliary_roles(words):
    """Roles of folders of masks, predictions and retrieval, which count only beside splits."""
    roles = {}
    for folder, (_, rest) in words.items():
        if (MASKS | _PREDICTIONS).intersection(rest):
            roles[folder] = Role.LEFT_OUT
        elif _RETRIEVAL.intersection(rest):
            roles[folder] = Role.TEST
    return roles


def combine_roles(roles: set[Role]) -> Role:
    """The role of a split whose name contains the words of these roles."""
    if {Role.TRAINING, Role.TEST} <= roles:
        return Role.LEFT_OUT  # ambiguous
    if roles == {Role.TRAINING, Role.VALIDATION}:
        return Role.TRAINING
    for role in (Role.TEST, Role.VALIDATION, Role.UNLABELLED, Role.EXTRA):
        if role in roles:
            return role
    return Role.TRAINING


def read_name(folder: str) -> tuple[set[Role], tuple[str, ...]]:
    """The roles whose words are in a folder's name, and the name's other words.

    >>> read_name("train2017"), read_name("DIV2K_valid_HR"), read_name("latest")[0]
    (({<Role.TRAINING: 1>}, ()), ({<Role.VALIDATION: 4>}, ('div', 'k', 'hr')), set())
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    roles, rest = set[Role](), list[str]()
    for word in re.findall(r"[^\W\d_]+", _TWO_WORDS.sub(r"\1\2", spaced.lower())):
        compound = _COMPOUND.fullmatch(word)
        role = ROLE_OF.get(compound[1] if compound else word)
        if role is None:
            rest.append(word)
        else:
            roles.add(role)
    return roles, tuple(rest)


def has_both(roles: Iterable[Role]) -> bool:
    """Whether there are roles both for training and for the test."""
    distinct = set(roles)
    return Role.TRAINING in distinct and bool(distinct & {Role.TEST, Role.VALIDATION})


@functools.cache
def is_test_name(folder: str) -> bool:
    """Whether a folder is named as one for the test or validation, with no other words."""
    roles, rest = read_name(folder)
    return bool(roles & {Role.TEST, Role.VALIDATION}) and set(rest) <= NEUTRAL

"""Folders that are called train, test and the like: which images they make training and test.

docs/DATA.md tells the rules.
"""

import enum
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

FEW = 10  # top folders; among more, one that is called as a split is may be a class


class Role(enum.IntEnum):
    """What the images of a folder are for. In the order in which copies of an image are kept."""

    TEST = 0
    TRAINING = 1
    EXTRA = 2  # more training images, often without labels
    UNLABELLED = 3
    VALIDATION = 4
    LEFT_OUT = 5  # masks, predictions, and what cannot be told


_ROLES = {
    Role.TRAINING: ("train", "training", "trainval", "trn"),
    Role.VALIDATION: ("val", "valid", "validation", "validate", "validating", "dev", "devel")
    + ("eval", "evaluation", "evaluate", "evaluating"),
    Role.TEST: ("test", "testing", "tests", "tst", "holdout", "heldout"),
    Role.EXTRA: ("extra",),
    Role.UNLABELLED: ("unlabeled", "unlabelled"),
}
ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
# Words that may as well be of classes, so that they count only beside splits.
_MASKS = frozenset(
    ("mask", "masks", "gt", "groundtruth", "annotation", "annotations", "label", "labels")
)
_PREDICTED = frozenset(
    ("pred", "preds", "predict", "prediction", "predictions", "inference", "submission")
)
_RETRIEVAL = frozenset(("query", "gallery"))  # what is searched with and in, beside train
_BESIDE = _MASKS | _PREDICTED | _RETRIEVAL
# What may stand beside these words, or behind them without a sign between.
_IMAGES = frozenset(
    ("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos")
    + ("jpg", "jpeg", "jpegs", "png")
)
_NEUTRAL = _IMAGES | frozenset(
    ("set", "split", "data", "dataset", "full", "all", "small", "large", "new", "final", "part")
    + ("folder", "dir", "a", "b", "x", "y")
)
_GLUED = re.compile(f"({'|'.join(ROLE_OF)})(sets?|images|imgs|data|dir|folder)")
_IN_TWO = re.compile(r"(hold|held|ground)[\W_]+(out|truth)")
# Split names that are also classes: a vehicle, and beside invalid. How many folders there are to be
# for one of them alone to be a class.
_CLASSES = {"train": 3, "valid": 2}


@dataclass(frozen=True)
class Layout:
    """Images in folders that are splits.

    Attributes:
        roles: of each image.
        names: of each image, without the folder that is its split, and those that all share.
        folders: of the splits and of those left out, as they are called -> their role; in the order
            of their names.
        beside: the folders beside those for training and the test that are neither, and are trained
            on without being classes.
    """

    roles: list[Role]
    names: list[str]
    folders: dict[str, Role]
    beside: tuple[str, ...] = ()

    @property
    def listed(self) -> str:
        """The splits' names, for a message."""
        return " and ".join(n for n, role in self.folders.items() if role != Role.LEFT_OUT)

    @property
    def left_out(self) -> list[str]:
        """The folders that are neither for training nor for the test, as masks."""
        return [name for name, role in self.folders.items() if role == Role.LEFT_OUT]

    def of(self, places: Iterable[int]) -> "Layout":
        """The layout of some of the images."""
        rows = list(places)
        return replace(
            self, roles=[self.roles[i] for i in rows], names=[self.names[i] for i in rows]
        )


def find(names: Sequence[str]) -> Layout | None:
    """The folders among some files' that are splits; None: there are none.

    They are the top folders, below those that all files share; or each of these has them, as in
    cats/train and cats/test. Where those for training and for the test are both there, it is
    enough that half of them have both.

    Args:
        names: of the files, with "/".
    """
    parts = [name.split("/") for name in names]
    shared, named = _shared(parts)
    for depth in (shared, shared + 1):
        folders = _both(parts, shared, depth)
        if folders:
            return _whole_layout(parts, shared, depth, folders)
    for depth in (named, named + 1):
        at = [p[depth] if len(p) > depth + 1 else "" for p in parts]
        folders = _roles(sorted(set(at) - {""}))
        # Below the top, where all of them are: else it is a class that is called so.
        if folders and (depth == named or set(at) <= set(folders)):
            cut = [depth + (folder in folders) for folder in at]
            repeated = _repeated(parts, depth, folders)
            return Layout(
                [folders.get(folder, Role.TRAINING) for folder in at],
                [
                    "/".join(p[named:depth] + p[c + (folder in repeated) :])
                    for p, folder, c in zip(parts, at, cut, strict=True)
                ],
                folders,
            )
    return None


def doubtful(names: Sequence[str], layout: Layout | None) -> list[str]:
    """The folders that have a split's word in their name and are not taken for splits.

    Args:
        names: of the files.
        layout: of them. Where it has no folders for both training and the test, predictions and
            masks are listed too.
    """
    folders = {folder for name in names for folder in name.split("/")[:-1]}
    if layout:
        folders -= {folder for path in layout.folders for folder in path.split("/")}
    beside = _BESIDE if layout and not _is_both(layout.folders.values()) else frozenset[str]()
    reads = {folder: _read(folder) for folder in folders}
    return sorted(
        folder for folder, (roles, rest) in reads.items() if roles or beside.intersection(rest)
    )


def _shared(parts):
    """How many folders all files share, and how many of them before one called as a split is."""
    shared, named = 0, None
    while parts and all(len(p) > shared + 1 for p in parts) and len({p[shared] for p in parts}) < 2:
        if named is None and _roles([parts[0][shared]]):
            named = shared  # all that there is, is called train
        shared += 1
    return shared, shared if named is None else named


def _both(parts, shared, depth):
    """The splits at a depth, where those for training and for the test are there; or empty."""
    children = defaultdict[tuple[str, ...], set[str]](set)
    for p in parts:
        if len(p) > depth:
            children[tuple(p[shared:depth])].add(p[depth] if len(p) > depth + 1 else "")
    if depth == shared:
        folders = _roles(sorted(children[()] - {""}))
        return folders if _is_both(folders.values()) else {}
    everything = set().union(*children.values())
    folders = _roles(sorted(everything - {""}))
    if everything <= set(folders) and _is_both(folders.values()):
        return folders
    each = [_roles(sorted(some - {""})) for some in children.values()]
    split = [roles for roles in each if _is_both(roles.values())]
    if 2 * len(split) < len({p[shared] for p in parts if len(p) > shared + 1}):
        return {}
    return dict(sorted((name, role) for roles in split for name, role in roles.items()))


def _is_both(roles: Iterable[Role]) -> bool:
    kinds = set(roles)
    return Role.TRAINING in kinds and bool(kinds & {Role.TEST, Role.VALIDATION})


def _whole_layout(parts, shared, depth, folders):
    """The layout where there are folders for training and for the test: others are no classes."""
    folders = folders | _tests_without_classes(parts, depth, folders)
    unused = _tests_within_training(parts, depth, folders)
    repeated = _repeated(parts, depth, folders, unused)
    masks, images = _masks(parts, depth, folders, repeated)
    unused |= masks
    class_of = _classes_of_names(parts, depth, folders) if depth == shared else {}
    tops = {p[shared] for p in parts if len(p) > depth + 1 and p[depth] in folders}
    top_masks = _top_masks(tops) if depth > shared else set[str]()
    tops -= top_masks
    start = depth if len(tops) == 1 else shared  # the only one that has splits is no class
    roles, names, beside, called = [], [], set[str](), dict(folders)
    for p in parts:
        folder = p[depth] if len(p) > depth + 1 else ""
        role = folders.get(folder)
        if p[shared] in top_masks:
            role = called[p[shared]] = Role.LEFT_OUT
            names.append("/".join(p[shared:]))
        elif role is not None:
            first = depth + 1 + (folder in repeated)
            below = tuple(p[depth:-1])
            for within in (below[:2], below[:3]):
                if within in unused:
                    role = called["/".join(within)] = Role.LEFT_OUT
            first += len(p) > first + 1 and (folder, p[first]) in images
            names.append("/".join(p[start:depth] + class_of.get(folder, []) + p[first:]))
        else:
            role, where = _beside(p, shared, depth)
            if role == Role.EXTRA:
                beside.add(where)
            else:
                called[where] = role
            names.append("/".join(p[shared:depth] + p[depth + bool(folder) :]))
        roles.append(role)
    return Layout(roles, names, dict(sorted(called.items())), tuple(sorted(beside)))


def _beside(part, shared, depth):
    """The role of an image that is in none of the splits, and its folder.

    One that has a split's name further up or down is not trained on where that is of the test.
    """
    folders = part[shared:-1]
    for folder in folders:
        if _is_test(folder):
            return Role.LEFT_OUT, "/".join(folders[: folders.index(folder) + 1])
    return Role.EXTRA, "/".join(folders[: depth - shared + 1]) or "images in no folder"


def _children(parts, depth, folders, below=()):
    """Of each split the folders in it, "" for images directly in it.

    Args:
        parts: of the files' names.
        depth: of the splits.
        folders: the splits.
        below: splits of which to look one folder further down.
    """
    children = defaultdict[str, set[str]](set)
    for p in parts:
        if len(p) > depth + 1 and p[depth] in folders:
            first = depth + 1 + (p[depth] in below)
            children[p[depth]].add(p[first] if len(p) > first + 1 else "")
    return children


def _tests_without_classes(parts, depth, folders):
    """Folders for the test that have no classes where others have; they could not be measured on.

    As Fruits-360's test-multiple_fruits.
    """
    children = _children(parts, depth, folders)
    in_classes = {name for name, below in children.items() if "" not in below}
    kinds = {folders[name] for name in in_classes}
    if not {Role.TRAINING, Role.TEST} <= kinds:
        return {}
    flat = {name for name, below in children.items() if below == {""}}
    return {name: Role.LEFT_OUT for name in flat if folders[name] == Role.TEST}


def _tests_within_training(parts, depth, folders):
    """Folders within those for training that are called as those of the test, and are no class."""
    children = _children(parts, depth, folders)
    tests = (Role.TEST, Role.VALIDATION)
    # One alone repeats the split's name.
    of_tests = [below for name, below in children.items() if folders[name] in tests]
    classes = set().union(*(below for below in of_tests if len(below) > 1))
    return {
        (name, child)
        for name, below in children.items()
        if folders[name] == Role.TRAINING
        for child in below - classes
        if _is_test(child)
    }


@functools.cache
def _is_test(folder):
    roles, rest = _read(folder)
    return bool(roles & {Role.TEST, Role.VALIDATION}) and set(rest) <= _NEUTRAL


def _repeated(parts, depth, folders, unused=()):
    """Of splits the folder below that repeats their name, as in seg_train/seg_train."""
    repeated = {}
    for folder, below in _children(parts, depth, folders).items():
        used = [name for name in below if (folder, name) not in unused]
        if len(used) != 1 or not _read(used[0])[0]:
            continue
        roles, rest = _read(used[0])
        same = roles == _read(folder)[0] and set(rest) <= _NEUTRAL
        if same or used[0].lower() == folder.lower():
            repeated[folder] = used[0]
    return repeated


def _top_masks(tops):
    """Folders of masks that have splits, beside those of images: images/train and masks/train."""
    masks = {top for top in tops if _MASKS.intersection(_read(top)[1])}
    images = tops - masks
    return masks if images and all(_IMAGES.intersection(_read(top)[1]) for top in images) else set()


def _masks(parts, depth, folders, repeated):
    """Masks within splits, beside folders of images: train/images and train/masks.

    Returns:
        Those of masks, as tuples of their names from the split on; and those of images, where
        there is one of them, as (split, folder).
    """
    masks, of_images = set[tuple[str, ...]](), set[tuple[str, str]]()
    for folder, names in _children(parts, depth, folders, repeated).items():
        some = {name for name in names if _MASKS.intersection(_read(name)[1])}
        images = names - some
        if not some or not images or not all(_of_images(name) for name in images):
            continue
        path = (folder, repeated[folder]) if folder in repeated else (folder,)
        masks.update((*path, name) for name in some)
        if len(images) == 1:
            of_images.update((folder, name) for name in images)
    return masks, of_images


def _of_images(name):
    roles, rest = _read(name)
    return not roles and bool(_IMAGES.intersection(rest)) and set(rest) <= _NEUTRAL


def _classes_of_names(parts, depth, folders):
    """The classes in the names of splits that have no folders: train_cat, train_dog, test_cat."""
    used = {n: r for n, r in folders.items() if r not in (Role.LEFT_OUT, Role.UNLABELLED)}
    if any(len(p) > depth + 2 and p[depth] in used for p in parts):
        return {}
    class_of = {
        name: [" ".join(word for word in _read(name)[1] if word not in _NEUTRAL)] for name in used
    }
    training = {class_of[name][0] for name, role in used.items() if role == Role.TRAINING}
    rest = {class_of[name][0] for name in used}
    return class_of if len(training) > 1 and "" not in rest and rest <= training else {}


def _roles(folders: list[str]) -> dict[str, Role]:
    """Those of some folders beside each other that are splits; empty: none is."""
    words = {folder: _read(folder) for folder in folders}
    named = {folder: read for folder, read in words.items() if read[0]}
    rests = Counter(rest for _, rest in named.values())
    # As test_cats beside cats.
    alike = {rest for roles, rest in words.values() if not roles}
    splits = {
        folder: _one_role(roles)
        for folder, (roles, rest) in named.items()
        # Words that mean something else only where another split has them too.
        if rests[rest] > 1
        or all(word in _NEUTRAL for word in rest)
        or (rest in alike and _one_role(roles) in (Role.TEST, Role.VALIDATION))
    }
    either = {
        folder: _one_role(roles)
        for folder, (roles, rest) in named.items()
        if not _BESIDE.intersection(rest)
    }
    retrieval = {word for _, rest in words.values() for word in rest} >= _RETRIEVAL
    few = len(folders) <= FEW or 2 * len(named) > len(folders)
    if _is_both(splits.values()) or (few and _is_both(either.values())):
        # Whatever else their names say: those of the test are not to be trained on.
        splits = {folder: _one_role(roles) for folder, (roles, _) in named.items()}
        if _is_both(either.values()):
            splits |= _beside_splits(words)
    elif few and retrieval and Role.TRAINING in splits.values():
        splits |= _beside_splits(words)
    elif Role.TEST in splits.values():
        splits |= {folder: role for folder, role in either.items() if role == Role.TEST}
    if not _is_both(splits.values()):
        splits = {folder: role for folder, role in splits.items() if role != Role.LEFT_OUT}
    if len(folders) > FEW and len(set(splits.values())) < 2:
        return {}
    alone = next(iter(splits)).lower() if len(splits) == 1 else ""
    return {} if len(folders) >= _CLASSES.get(alone, len(folders) + 1) else splits


def _beside_splits(words):
    """Folders of masks and predictions, and those of retrieval, which are splits beside others."""
    roles = {}
    for folder, (_, rest) in words.items():
        if (_MASKS | _PREDICTED).intersection(rest):
            roles[folder] = Role.LEFT_OUT
        elif _RETRIEVAL.intersection(rest):
            roles[folder] = Role.TEST
    return roles


def _one_role(roles):
    if {Role.TRAINING, Role.TEST} <= roles:
        return Role.LEFT_OUT  # who knows
    if roles == {Role.TRAINING, Role.VALIDATION}:
        return Role.TRAINING
    for role in (Role.TEST, Role.VALIDATION, Role.UNLABELLED, Role.EXTRA):
        if role in roles:
            return role
    return Role.TRAINING


def _read(folder: str) -> tuple[set[Role], tuple[str, ...]]:
    """The splits that a folder's name has the words of, and its other words.

    >>> _read("train2017"), _read("DIV2K_valid_HR"), _read("latest")[0]
    (({<Role.TRAINING: 1>}, ()), ({<Role.VALIDATION: 4>}, ('div', 'k', 'hr')), set())
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    roles, rest = set[Role](), list[str]()
    for word in re.findall(r"[^\W\d_]+", _IN_TWO.sub(r"\1\2", spaced.lower())):
        glued = _GLUED.fullmatch(word)
        role = ROLE_OF.get(glued[1] if glued else word)
        if role is None:
            rest.append(word)
        else:
            roles.add(role)
    return roles, tuple(rest)

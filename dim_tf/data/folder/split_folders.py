"""Finds the folders that split images into training and test, and the images' roles by them.

docs/DATA.md states the rules.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.split_names import (
    AUXILIARY,
    IMAGES,
    MASKS,
    NEUTRAL,
    Role,
    has_both,
    is_test_name,
    read_name,
    split_roles,
)


@dataclass(frozen=True)
class SplitLayout:
    """Images in folders that are splits.

    Attributes:
        roles: The role of each image.
        names: The name of each image, without the folder that is its split and the folders that all
            share.
        folders: The names of splits and of folders that are left out -> their role, sorted by name.
        extra_folders: Folders beside those for training and the test that are neither; they are
            trained on but are not classes.
    """

    roles: list[Role]
    names: list[str]
    folders: dict[str, Role]
    extra_folders: tuple[str, ...] = ()

    @property
    def listed(self) -> str:
        """The names of the splits, for messages."""
        return " and ".join(n for n, role in self.folders.items() if role != Role.LEFT_OUT)

    @property
    def left_out(self) -> list[str]:
        """The folders neither for training nor for the test, such as masks."""
        return [name for name, role in self.folders.items() if role == Role.LEFT_OUT]

    def select(self, indices: Iterable[int]) -> "SplitLayout":
        """The layout of some of the images."""
        chosen = list(indices)
        return replace(
            self, roles=[self.roles[i] for i in chosen], names=[self.names[i] for i in chosen]
        )


def find_split_folders(names: Sequence[str]) -> SplitLayout | None:
    """The split folders among the folders of some files; None if there are none.

    They are the top folders, below those that all files share; or each top folder has them, as in
    cats/train and cats/test. If some folders are for training and some for the test, it is enough
    that half of the top folders have both.

    Args:
        names: Names of the files, with "/".
    """
    paths = [name.split("/") for name in names]
    shared, named = _common_depth(paths)
    for depth in (shared, shared + 1):
        folders = _complete_split(paths, shared, depth)
        if folders:
            return _complete_layout(paths, shared, depth, folders)
    for depth in (named, named + 1):
        folder_at = [p[depth] if len(p) > depth + 1 else "" for p in paths]
        folders = split_roles(sorted(set(folder_at) - {""}))
        # Below the top only if all of them are splits; otherwise it is a class with that name.
        if folders and (depth == named or set(folder_at) <= set(folders)):
            cut = [depth + (folder in folders) for folder in folder_at]
            repeated = _repeated_names(paths, depth, folders)
            return SplitLayout(
                [folders.get(folder, Role.TRAINING) for folder in folder_at],
                [
                    "/".join(p[named:depth] + p[c + (folder in repeated) :])
                    for p, folder, c in zip(paths, folder_at, cut, strict=True)
                ],
                folders,
            )
    return None


def find_split_layout(names: Sequence[str], folders: ImageFolders) -> SplitLayout | None:
    """`find_split_folders` for one folder of images, or for several.

    With several, each is searched separately, unless they themselves are named train and test.

    Args:
        names: Names of the files.
        folders: The folders of the files.
    """
    if len(folders.paths) == 1 or has_both(split_roles(list(folders.names)).values()):
        return find_split_folders(names)
    members = [list[int]() for _ in folders.names]
    below = [list[str]() for _ in folders.names]
    for index, name in enumerate(names):
        folder_index, relative_name = folders.locate(name)
        members[folder_index].append(index)
        below[folder_index].append(relative_name)
    layouts = [find_split_folders(relative) for relative in below]
    splits = [layout for layout in layouts if layout]
    if not splits:
        return None
    has_test = has_both(role for layout in splits for role in layout.folders.values())
    roles, stripped = [Role.TRAINING] * len(names), [""] * len(names)
    role_of, extra = dict[str, Role](), list[str]()
    for folder, indices, relative, layout in zip(
        folders.names, members, below, layouts, strict=True
    ):
        if layout is None:  # as a folder beside those of the splits
            role = Role.EXTRA if has_test else Role.TRAINING
            layout = SplitLayout([role] * len(indices), relative, {})
            extra += [folder] if has_test else []
        role_of |= {f"{folder}/{name}": role for name, role in layout.folders.items()}
        extra += [f"{folder}/{name}" for name in layout.extra_folders]
        for index, role, name in zip(indices, layout.roles, layout.names, strict=True):
            roles[index], stripped[index] = role, name
    return SplitLayout(roles, stripped, dict(sorted(role_of.items())), tuple(sorted(extra)))


def ambiguous_folders(names: Sequence[str], layout: SplitLayout | None) -> list[str]:
    """The folders that have a split's word in their name but are not taken for splits.

    Args:
        names: Names of the files.
        layout: Their layout. If it does not have folders for both training and the test,
            predictions and masks are listed too.
    """
    folders = {folder for name in names for folder in name.split("/")[:-1]}
    if layout:
        folders -= {folder for path in layout.folders for folder in path.split("/")}
    auxiliary = AUXILIARY if layout and not has_both(layout.folders.values()) else frozenset[str]()
    words = {folder: read_name(folder) for folder in folders}
    return sorted(
        folder for folder, (roles, rest) in words.items() if roles or auxiliary.intersection(rest)
    )


def _common_depth(paths):
    """How many folders all files share, and how many of these precede one named like a split."""
    shared, named = 0, None
    while paths and all(len(p) > shared + 1 for p in paths) and len({p[shared] for p in paths}) < 2:
        if named is None and split_roles([paths[0][shared]]):
            named = shared  # the only folder is called train
        shared += 1
    return shared, shared if named is None else named


def _complete_split(paths, shared, depth):
    """The splits at a depth, if there are some for training and for the test; else empty."""
    children = defaultdict[tuple[str, ...], set[str]](set)
    for p in paths:
        if len(p) > depth:
            children[tuple(p[shared:depth])].add(p[depth] if len(p) > depth + 1 else "")
    if depth == shared:
        folders = split_roles(sorted(children[()] - {""}))
        return folders if has_both(folders.values()) else {}
    everything = set().union(*children.values())
    folders = split_roles(sorted(everything - {""}))
    if everything <= set(folders) and has_both(folders.values()):
        return folders
    by_parent = [split_roles(sorted(below - {""})) for below in children.values()]
    complete = [roles for roles in by_parent if has_both(roles.values())]
    if 2 * len(complete) < len({p[shared] for p in paths if len(p) > shared + 1}):
        return {}
    return dict(sorted((name, role) for roles in complete for name, role in roles.items()))


def _complete_layout(paths, shared, depth, folders):
    """The layout if there are folders for training and for the test: others are not classes."""
    folders = folders | _tests_without_classes(paths, depth, folders)
    unused = _tests_within_training(paths, depth, folders)
    repeated = _repeated_names(paths, depth, folders, unused)
    masks, image_folders = _mask_folders(paths, depth, folders, repeated)
    unused |= masks
    class_of = _classes_of_names(paths, depth, folders) if depth == shared else {}
    tops = {p[shared] for p in paths if len(p) > depth + 1 and p[depth] in folders}
    top_masks = _mask_tops(tops) if depth > shared else set[str]()
    tops -= top_masks
    start = depth if len(tops) == 1 else shared  # a single folder that has splits is no class
    roles, names, extra, role_of = [], [], set[str](), dict(folders)
    for p in paths:
        folder = p[depth] if len(p) > depth + 1 else ""
        role = folders.get(folder)
        if p[shared] in top_masks:
            role = role_of[p[shared]] = Role.LEFT_OUT
            names.append("/".join(p[shared:]))
        elif role is not None:
            first = depth + 1 + (folder in repeated)
            below = tuple(p[depth:-1])
            for within in (below[:2], below[:3]):
                if within in unused:
                    role = role_of["/".join(within)] = Role.LEFT_OUT
            first += len(p) > first + 1 and (folder, p[first]) in image_folders
            names.append("/".join(p[start:depth] + class_of.get(folder, []) + p[first:]))
        else:
            role, where = _role_outside_splits(p, shared, depth)
            if role == Role.EXTRA:
                extra.add(where)
            else:
                role_of[where] = role
            names.append("/".join(p[shared:depth] + p[depth + bool(folder) :]))
        roles.append(role)
    return SplitLayout(roles, names, dict(sorted(role_of.items())), tuple(sorted(extra)))


def _role_outside_splits(path, shared, depth):
    """The role of an image that is in none of the splits, and its folder.

    The image is not trained on if a folder above or below is named as one for the test.
    """
    folders = path[shared:-1]
    for folder in folders:
        if is_test_name(folder):
            return Role.LEFT_OUT, "/".join(folders[: folders.index(folder) + 1])
    return Role.EXTRA, "/".join(folders[: depth - shared + 1]) or "images in no folder"


def _subfolders(paths, depth, folders, below=()):
    """The folders inside each split, "" for images directly in it.

    Args:
        paths: Paths of the files' names.
        depth: Depth of the splits.
        folders: The splits.
        below: Splits for which the folders one level further down are taken.
    """
    children = defaultdict[str, set[str]](set)
    for p in paths:
        if len(p) > depth + 1 and p[depth] in folders:
            first = depth + 1 + (p[depth] in below)
            children[p[depth]].add(p[first] if len(p) > first + 1 else "")
    return children


def _tests_without_classes(paths, depth, folders):
    """Folders for the test without classes, where others have some; they cannot be measured on.

    An example is Fruits-360's test-multiple_fruits.
    """
    children = _subfolders(paths, depth, folders)
    in_classes = {name for name, below in children.items() if "" not in below}
    roles = {folders[name] for name in in_classes}
    if not {Role.TRAINING, Role.TEST} <= roles:
        return {}
    flat = {name for name, below in children.items() if below == {""}}
    return {name: Role.LEFT_OUT for name in flat if folders[name] == Role.TEST}


def _tests_within_training(paths, depth, folders):
    """Folders inside those for training that are named as for the test, and are not a class."""
    children = _subfolders(paths, depth, folders)
    tests = (Role.TEST, Role.VALIDATION)
    # A single one repeats the name of the split.
    test_children = [below for name, below in children.items() if folders[name] in tests]
    classes = set().union(*(below for below in test_children if len(below) > 1))
    return {
        (name, child)
        for name, below in children.items()
        if folders[name] == Role.TRAINING
        for child in below - classes
        if is_test_name(child)
    }


def _repeated_names(paths, depth, folders, unused=()):
    """Split -> the folder inside it that repeats its name, as in seg_train/seg_train."""
    repeated = {}
    for folder, below in _subfolders(paths, depth, folders).items():
        used = [name for name in below if (folder, name) not in unused]
        if len(used) != 1 or not read_name(used[0])[0]:
            continue
        roles, rest = read_name(used[0])
        same = roles == read_name(folder)[0] and set(rest) <= NEUTRAL
        if same or used[0].lower() == folder.lower():
            repeated[folder] = used[0]
    return repeated


def _mask_tops(tops):
    """Folders of masks that have splits, beside those of images: images/train and masks/train."""
    masks = {top for top in tops if MASKS.intersection(read_name(top)[1])}
    images = tops - masks
    beside_images = images and all(IMAGES.intersection(read_name(top)[1]) for top in images)
    return masks if beside_images else set()


def _mask_folders(paths, depth, folders, repeated):
    """Masks inside splits, beside folders of images: train/images and train/masks.

    Returns:
        The folders of masks, as tuples of names from the split on; and the folder of images of each
        split that has one, as (split, folder).
    """
    masks, image_folders = set[tuple[str, ...]](), set[tuple[str, str]]()
    for folder, names in _subfolders(paths, depth, folders, repeated).items():
        mask_names = {name for name in names if MASKS.intersection(read_name(name)[1])}
        images = names - mask_names
        if not mask_names or not images or not all(_is_image_folder(name) for name in images):
            continue
        path = (folder, repeated[folder]) if folder in repeated else (folder,)
        masks.update((*path, name) for name in mask_names)
        if len(images) == 1:
            image_folders.update((folder, name) for name in images)
    return masks, image_folders


def _is_image_folder(name):
    roles, rest = read_name(name)
    return not roles and bool(IMAGES.intersection(rest)) and set(rest) <= NEUTRAL


def _classes_of_names(paths, depth, folders):
    """Split -> the class in its name, for splits without folders: train_cat, test_cat."""
    used = {n: r for n, r in folders.items() if r not in (Role.LEFT_OUT, Role.UNLABELLED)}
    if any(len(p) > depth + 2 and p[depth] in used for p in paths):
        return {}
    class_of = {
        name: [" ".join(word for word in read_name(name)[1] if word not in NEUTRAL)]
        for name in used
    }
    training = {class_of[name][0] for name, role in used.items() if role == Role.TRAINING}
    rest = {class_of[name][0] for name in used}
    return class_of if len(training) > 1 and "" not in rest and rest <= training else {}

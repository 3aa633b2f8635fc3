"""Anyone's images: all image files below a folder, with labels or without.

docs/DATA.md tells the rules.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.console import say
from dim_tf.data import (
    Request,
    contrast,
    folder_report,
    image_files,
    image_folder,
    manifest,
    pixel_range,
    split_folders,
)
from dim_tf.data.decoded_cache import DecodedCache
from dim_tf.data.folder_images import Files, FolderImages
from dim_tf.data.folder_report import FolderReport
from dim_tf.data.image_faults import Fault
from dim_tf.data.manifest import Manifest
from dim_tf.data.split_folders import Layout, Role
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError
from dim_tf.files import replace_text

TEST_SHARE = 0.1
LEAST_TEST, MOST_TEST = 10, 10_000
LEAST_TRAINING = 10  # where folders say which they are
LEAST_IMAGES = 20
SIZES = (32, 64)  # the default, by the images: those of the encoders
ENLARGED = 0.75  # images whose short side is less than this share of a size get a smaller one
IMAGES_A_CLASS = 10  # on average, or folders are taken for albums
SHOWN = 5  # folders in a message
FLAT = 0.5  # a larger share of images that show almost nothing is an error


@dataclass(frozen=True)
class _Division:
    """Which images are for what, by their folders or by the hash of their pixels.

    Attributes:
        test: the role whose images are the test images; None: the hash decides.
        why: for the `data:` line.
    """

    test: Role | None
    why: str

    def priority(self, roles: np.ndarray) -> np.ndarray:
        """Of copies of an image the one with the least number stays.

        A test image stays one: its copies are not trained on. One that may have a label comes
        before one that has none.
        """
        if self.test is None:
            return np.isin(roles, (Role.EXTRA, Role.UNLABELLED)) + 2 * (roles == Role.LEFT_OUT)
        return np.where(roles == self.test, Role.TEST, roles).astype(np.int64)

    def left_out(self, roles: np.ndarray) -> np.ndarray:
        """Which images are neither for training nor for the test: those to choose settings by,
        masks and predictions.
        """
        validation = (roles == Role.VALIDATION) & (self.test == Role.TEST)
        return validation | (roles == Role.LEFT_OUT)


@dataclass(frozen=True)
class _Divided:
    """A folder's images: those of the test first, then those with a label, then the others.

    Attributes:
        rows: int64 [N], in the manifest.
        tests: how many are test images.
        labels: int64 [N], -1: none; or None.
        label_names: of the classes.
        unlabelled: how many of those for training have no label, of a folder that has labels.
        repeated: row of each file with the pixels of another -> that one's row.
        report: of all this, for data.json.
        listed: the folders that are splits, for a message.
        by_folders: whether these say which images are for the test.
    """

    rows: np.ndarray
    tests: int
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    unlabelled: int
    repeated: dict[int, int]
    report: dict[str, Any]
    listed: str
    by_folders: bool


def load(request: Request) -> Splits:
    """The images below a folder.

    Args:
        request: its `data_dir` is the folder.

    Raises:
        InputError: there is no such folder, or too few images in it, or too many of its files are
            unreadable or show nothing, or there is no room for the decoded images; or its folders
            are not those that `split` or `labels` needs, or it has no images for `pixel_range`.
    """
    range_wanted = pixel_range.parse(request.pixel_range)
    folder = image_folder(request.data_dir)
    cache = Path(os.path.expanduser(request.cache_dir)) if request.cache_dir else default_cache()
    files = _scanned(folder, cache, request.max_pixels)
    divided = _divided(request, files)
    images = files.rows(divided.rows)
    of_16_bits = images.bits == 16
    auto = contrast.range_of(images.lows[of_16_bits], images.highs[of_16_bits])
    chosen = range_wanted or auto
    flat = contrast.flat(images.bits, images.lows, images.highs, chosen)
    size = request.image_size or default_size(images.extents)
    described = {
        **divided.report,
        "image_size": size,
        "images_of_16_bits": int(of_16_bits.sum()),
        "pixel_range": [chosen.low, chosen.high] if of_16_bits.any() else None,
        "flat": int(flat.sum()),
        **folder_report.described(files, divided.repeated),
    }
    lines = (
        *folder_report.bad_lines(files, divided.repeated),
        *folder_report.flat_lines([images.names[row] for row in np.flatnonzero(flat)]),
    )
    _check(request, folder, cache, described, lines)
    _check_divided(folder, divided)
    if request.pixel_range not in (pixel_range.AUTO, pixel_range.DTYPE) and not of_16_bits.any():
        raise InputError(
            f"--pixel_range={request.pixel_range} is of 16-bit images, and {folder} has none; "
            "leave it out"
        )
    if flat.sum() > FLAT * len(images):
        listed = _listed(folder, cache, lines)
        of_flat = auto if (flat & of_16_bits).any() else None
        raise _shows_nothing(folder, described, listed, of_flat)
    source = Files(folder, images.names, images.digests, size, chosen, request.max_pixels)
    keys = source.cache_keys(images.bits, images.extents)
    cached = DecodedCache(cache / "images", request.cache_gib).open(keys, size, source.decoded)
    if len(cached) < len(images):
        say(
            f"data: {len(cached):,} of {len(images):,} decoded images fit into --cache_gib="
            f"{request.cache_gib:g}; the others are decoded each time"
        )
    return _splits(
        divided,
        FolderImages(cached, source),
        note=_note(folder, described),
        report=FolderReport(
            folder,
            described,
            lines,
            _sorted(images.pixel_digests),
            images.pixel_digests[: divided.tests],
        ),
        pixel_range=chosen,
    )


def _splits(divided: _Divided, images: FolderImages, **settings) -> Splits:
    def split(first, last, labels):
        return Split(images.part(first, last), None if labels is None else labels[first:last])

    tests, count = divided.tests, len(images)
    labelled = count - divided.unlabelled  # the others come last
    return Splits(
        name="folder",
        train=split(tests, count, None if divided.unlabelled else divided.labels),
        test=split(0, tests, divided.labels),
        label_names=divided.label_names,
        labelled=split(tests, labelled, divided.labels) if divided.unlabelled else None,
        **settings,
    )


def _divided(request: Request, found: Manifest) -> _Divided:
    """Tells training and test images apart, and labels them.

    Raises:
        InputError: the folders are not those that `split` or `labels` needs.
    """
    good = np.flatnonzero(found.faults == Fault.NONE)
    layout = split_folders.find([found.names[row] for row in good])
    roles = np.full(len(found), Role.TRAINING)
    if layout:
        roles[good] = layout.roles
    doubtful = split_folders.doubtful([found.names[row] for row in good], layout)
    division = _division(request.split, layout, doubtful)
    rows, repeated = distinct(found, division.priority(roles))
    left_out = division.left_out(roles[rows])
    kinds = roles[rows[left_out]]
    rows = rows[~left_out]
    of_rows = layout.of(np.searchsorted(good, rows).tolist()) if layout else None
    labels, names, why = labelled([found.names[row] for row in rows], request.labels, of_rows)
    unknown = _unknown_classes(labels, names, roles[rows], division)
    if unknown and request.labels == "folders":
        raise InputError(f"--labels=folders: {unknown}; give --split=hash, or leave --labels out")
    if unknown:
        labels, names, why = None, (), f"none: {unknown}"
    order, tests, unlabelled = _ordered(found.pixel_digests[rows], roles[rows], labels, division)
    labels = None if labels is None else labels[order]
    folders = layout.folders if layout else {}
    report = {
        "images": len(rows),
        "training_images": len(rows) - tests,
        "test_images": tests,
        "split": division.why,
        "split_by": "folders" if division.test is not None else "hash",
        "split_folders": {
            folder_report.printable(name): role.name.lower() for name, role in folders.items()
        },
        "validation_images_left_out": int((kinds == Role.VALIDATION).sum()),
        "images_of_other_folders_left_out": int((kinds == Role.LEFT_OUT).sum()),
        "folders_left_out": [
            folder_report.printable(name) for name in (layout.left_out if layout else ())
        ],
        "test_images_left_out_of_training": _leaking(division, roles, repeated),
        "labels": why,
        "unlabelled_training_images": unlabelled,
        "classes": {} if labels is None else _class_counts(labels, names),
    }
    return _Divided(
        rows[order],
        tests,
        labels,
        names,
        unlabelled,
        repeated,
        report,
        layout.listed if layout else "",
        division.test is not None,
    )


def _division(wanted: str, layout: Layout | None, doubtful: list[str]) -> _Division:
    """How training and test images are told apart.

    Args:
        wanted: "folders", "hash" or "auto".
        layout: of the images; None: no folder is a split.
        doubtful: folders that are not taken for one, although their names have a split's word.

    Raises:
        InputError: by folders, and there are not those of both.
    """
    by_hash = "by the hash of each image's pixels"
    if wanted == "hash":
        return _Division(None, by_hash)
    why_not = "no folder is called train, test or the like"
    not_taken = f"not taken for splits: {_some(doubtful)}"
    if doubtful:
        why_not = not_taken
    if layout:
        roles = set(layout.roles)
        test = Role.TEST if Role.TEST in roles else Role.VALIDATION
        why_not = f"of {layout.listed} none is "
        if test not in roles:
            why_not += "for the test"
        elif not roles - {Role.TEST, Role.VALIDATION}:
            why_not += "for training"
        else:
            of_test = [name for name, role in layout.folders.items() if role == test]
            why = f"by the folders: {' and '.join(of_test)} for the test"
            if layout.beside:
                why += f"; for training also {_some(layout.beside)}, beside them"
            return _Division(test, f"{why}; {not_taken}" if doubtful else why)
        why_not += f", {not_taken}" if doubtful else ""
    if wanted == "folders":
        raise InputError(
            f"--split=folders takes the folders' own training and test images, but {why_not}; "
            "leave --split out, or rename the folders to train and test"
        )
    return _Division(None, f"{by_hash} ({why_not})" if layout or doubtful else by_hash)


def _some(folders):
    shown = " and ".join(folder_report.printable(name) for name in folders[:SHOWN])
    return shown + (f" and {len(folders) - SHOWN:,} more" if len(folders) > SHOWN else "")


def _ordered(digests, roles, labels, division):
    """Puts test images first, then those for training with a label, then those without.

    Args:
        digests: uint8 [N, D], ascending.
        roles: [N], of `Role`.
        labels: int64 [N], -1: none; or None.
        division: how they are told apart.

    Returns:
        Row numbers, int [N]; how many are test images; how many of the others have no label.
    """
    unlabelled = np.zeros(len(digests), bool) if labels is None else labels < 0
    if division.test is None:
        # The hash may make any image one of the test that has what the others have.
        able = np.flatnonzero(~unlabelled & ~np.isin(roles, (Role.EXTRA, Role.UNLABELLED)))
        if labels is None and len(able) < LEAST_IMAGES:
            able = np.arange(len(digests))
        test = np.zeros(len(digests), bool)
        test[able[: test_images(digests[able])]] = True
    else:
        test = roles == division.test
    order = np.argsort(np.where(test, 0, np.where(unlabelled, 2, 1)), kind="stable")
    return order, int(test.sum()), int((unlabelled & ~test).sum())


def _unknown_classes(labels, names, roles, division):
    """Says if the test folders have classes that those of training have not; empty: none."""
    if labels is None or division.test is None:
        return ""
    of_test = roles == division.test
    unknown = sorted(set(labels[of_test].tolist()) - set(labels[~of_test].tolist()))
    if not unknown:
        return ""
    return f"of the class {names[unknown[0]]} there are test images and none for training"


def _leaking(division, roles, repeated):
    """How many files of training folders are left out since a test folder has the same image."""
    if division.test is None:
        return 0
    return sum(
        bool(roles[first] == division.test != roles[copy]) and not division.left_out(roles[copy])
        for copy, first in repeated.items()
    )


def _sorted(digests):
    numbers = np.ascontiguousarray(digests).view(">u8")
    return digests[np.lexsort((numbers[:, 1], numbers[:, 0]))]


def default_cache() -> Path:
    """The user's, after the XDG base directory specification.

    Raises:
        InputError: the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the specification says of a relative path: ignore it
        return Path(base) / "dim_tf"
    try:
        return Path.home() / ".cache" / "dim_tf"
    except RuntimeError as error:
        raise InputError(
            "this user has no home folder, in which decoded images would be kept; give "
            "--cache_dir, or set HOME"
        ) from error


def distinct(
    found: Manifest, priority: np.ndarray | None = None
) -> tuple[np.ndarray, dict[int, int]]:
    """The images to learn from, in the order of the digests of their pixels.

    Args:
        found: the files.
        priority: int [N]: of files with the same pixels one with the least stays; None: all the
            same.

    Returns:
        Their rows, of files with the same pixels and priority the first by name; and the row of
        each file that is left out for it -> the row of that first.
    """
    good = np.flatnonzero(found.faults == Fault.NONE)
    numbers = found.pixel_digests[good].view(">u8")  # [N, 2]
    first = np.zeros(len(good)) if priority is None else priority[good]
    # Stable: names stay in order.
    ordered = good[np.lexsort((first, numbers[:, 1], numbers[:, 0]))]
    digests = found.pixel_digests[ordered]
    is_first = np.ones(len(ordered), bool)
    is_first[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    rows = ordered[is_first]
    first_of = rows[np.cumsum(is_first) - 1] if len(rows) else rows
    return rows, dict(zip(ordered[~is_first].tolist(), first_of[~is_first].tolist(), strict=True))


def test_images(digests: np.ndarray) -> int:
    """How many of the images, in the order of their digests, are test images.

    So an image's digest decides, and not its name, its place or a seed. More files can make a test
    image one of training, where there are very many or very few; never the other way.

    Args:
        digests: uint8 [N, D], ascending.
    """
    first = digests[:, 0].astype(np.int64) * 256 + digests[:, 1]
    share = int((first < TEST_SHARE * 2**16).sum())
    return min(max(share, LEAST_TEST), MOST_TEST, len(digests))


def default_size(extents: np.ndarray) -> int:
    """Pixels a side, the largest of `SIZES` to which most images are shrunk.

    Args:
        extents: int [N, 2].
    """
    short = np.median(extents.min(axis=1)) if len(extents) else 0
    return max((size for size in SIZES if short >= ENLARGED * size), default=SIZES[0])


def labelled(
    names: list[str], wanted: str, layout: Layout | None = None
) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """Labels by the folders at the top, or in those that are splits.

    Args:
        names: of the images.
        wanted: "folders": those they are; "none"; "auto": folders, if all images are directly in
            one of several, which have ten images on average.
        layout: of these images; None: it is found by their names.

    Returns:
        int64 [N], -1: an image of a folder without labels, as unlabeled; or None; the label names;
        and why.

    Raises:
        InputError: "folders" is not possible.
    """
    if wanted == "none":
        return None, (), "none, as --labels=none says"
    layout = layout or split_folders.find(names)
    parts = [name.split("/") for name in (layout.names if layout else names)]
    roles = layout.roles if layout else [Role.TRAINING] * len(names)
    # Folders of extra images that are no classes elsewhere are no classes.
    classes = {p[0] for p, r in zip(parts, roles, strict=True) if r == Role.TRAINING and p[1:]}
    has_label = [
        len(part) > 1 and part[0] in (classes or part)
        if role == Role.EXTRA
        else role != Role.UNLABELLED
        for part, role in zip(parts, roles, strict=True)
    ]
    candidates = [part for part, labelled in zip(parts, has_label, strict=True) if labelled]
    folders = sorted({part[0] for part in candidates if len(part) > 1})
    why_not = ""
    if any(len(part) == 1 for part in candidates):
        why_not = "some images are in no folder"
    elif len(folders) < 2:
        why_not = "there are no two folders of images"
    if layout and why_not:
        are = "are splits" if " and " in layout.listed else "is a split"
        why_not += f" of a class: {layout.listed} {are}"
    if wanted == "folders" and why_not:
        raise InputError(
            f"--labels=folders takes the first folder of each image as its label, but {why_not}; "
            "leave --labels out"
        )
    if wanted == "auto" and not why_not:
        if any(len(part) > 2 for part in candidates):
            why_not = "some folders have folders in them"
        elif len(candidates) < IMAGES_A_CLASS * len(folders):
            why_not = f"the folders have less than {IMAGES_A_CLASS} images on average"
    if why_not:
        return None, (), f"none: {why_not}"
    number = {name: label for label, name in enumerate(folders)}
    labels = np.array(
        [
            number[part[0]] if labelled else -1
            for part, labelled in zip(parts, has_label, strict=True)
        ],
        np.int64,
    )
    shown = tuple(folder_report.printable(name) for name in folders)
    where = ""
    if layout:
        no_labels = Role.UNLABELLED, Role.LEFT_OUT
        splits = [name for name, role in layout.folders.items() if role not in no_labels]
        where = f" in {' and '.join(splits)}"
    return labels, shown, f"the {len(folders):,} folders{where}"


def _scanned(folder, cache, max_pixels):
    try:
        return manifest.scan(folder, cache / "manifests", (cache,), max_pixels)
    except OSError as error:
        raise _not_kept(folder, cache, error) from error


def _not_kept(folder, cache, error):
    return InputError(
        f"what is found in {folder} cannot be kept in {cache} ({error.strerror or error}); "
        "give another --cache_dir"
    )


def _class_counts(labels, names):
    counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _check(request, folder, cache, report, lines):
    """Raises InputError where too many files are bad, or too few are left; lists the bad ones."""
    bad = sum(report["unreadable"].values())
    refused = bad > request.bad_images * report["image_files"] or report["images"] < LEAST_IMAGES
    listed = ""
    if bad and refused:
        listed = _listed(folder, cache, lines)
    if bad > request.bad_images * report["image_files"]:
        raise InputError(
            f"{bad:,} of {report['image_files']:,} image files in {folder} cannot be read, more "
            f"than --max_unreadable_fraction={request.bad_images:g} of them (most often: "
            f"{max(report['unreadable'], key=report['unreadable'].get)}); {listed}: mend or remove "
            "them, or give a larger --max_unreadable_fraction"
        )
    if report["images"] < LEAST_IMAGES:
        others = ", ".join(f"{n:,} {suffix}" for suffix, n in report["other_files"].items())
        raise InputError(
            f"{folder} has {report['images']} different images; at least {LEAST_IMAGES} are "
            f"needed, of {', '.join(image_files.FORMATS)}"
            + (f" (there are also {others})" if others else "")
            + (f"; {bad} cannot be read, {listed}" if bad else "")
        )


def _listed(folder, cache, lines):
    """Where the files that are left out are listed, for an error: not in the run folder, which may
    be another run's.
    """
    path = cache / folder_report.BAD_IMAGES
    try:
        cache.mkdir(parents=True, exist_ok=True)
        replace_text(path, "".join(lines))
    except OSError as error:
        raise _not_kept(folder, cache, error) from error
    return f"they are listed in {path}"


def _check_divided(folder, divided):
    """Raises InputError where too few images are left for the test, or to train or probe on."""
    counts = {"test": (divided.tests, LEAST_TEST)}
    counts["training"] = len(divided.rows) - divided.tests, LEAST_TRAINING
    for kind, (count, least) in counts.items():
        if divided.by_folders and count < least:
            raise InputError(
                f"{folder} has {count} different {kind} images in {divided.listed}, expected at "
                f"least {least}; add some, or give --split=hash, which takes test images from all"
            )
    if divided.labels is None:
        return
    count = int((divided.labels[divided.tests :] >= 0).sum())
    if count < LEAST_TRAINING:
        raise InputError(
            f"{folder} has {count} images for training that have a label, expected at least "
            f"{LEAST_TRAINING}; give --labels=none"
        )


def _shows_nothing(folder, report, listed, auto):
    """The error where most images are flat; `auto`: the range of 16-bit ones, None: it is 8."""
    remedy = "remove them, or stretch their contrast"
    if auto:
        low, high = report["pixel_range"]
        remedy = (
            f"of 16-bit images the values {low} to {high} become black to white: give "
            f"--pixel_range=LOW,HIGH by what they show (auto: {auto.low},{auto.high}), or remove "
            "them"
        )
    return InputError(
        f"{report['flat']:,} of {report['images']:,} images in {folder} have almost no contrast, "
        f"fewer than {contrast.LEVELS} of 255 levels; {listed}; {remedy}"
    )


def _note(folder, report):
    systems = report["system_folders"]
    counts = {
        "unreadable": sum(report["unreadable"].values()),
        "tiny": report["tiny"],
        "repeated": report["duplicates"],
        "for validation": report["validation_images_left_out"],
    }
    left_out = [f"{n:,} {kind}" for kind, n in counts.items() if n]
    if report["images_of_other_folders_left_out"]:
        left_out.append(
            f"{report['images_of_other_folders_left_out']:,} in {_some(report['folders_left_out'])}"
        )
    if systems:
        each = ", ".join(f"{name} {n:,}" for name, n in systems.items())
        left_out.append(f"system folders ({each})")
    size = report["image_size"]
    # Its name alone: the note goes into exported models, which are given away.
    name = folder_report.printable(folder.resolve().name)
    sentences = [
        f"{report['images']:,} images of the folder {name}, the centred square of each resized to "
        f"{size}x{size} pixels",
        f"{report['training_images']:,} for training and {report['test_images']:,} for the test, "
        f"{report['split']}",
    ]
    leaking = report["test_images_left_out_of_training"]
    if leaking:
        sentences.append(f"{leaking:,} test images left out of training, where they were too")
    if report["images_of_16_bits"]:
        low, high = report["pixel_range"]
        sentences.append(
            f"{report['images_of_16_bits']:,} of 16 bits, of which the values {low} to {high} "
            "become black to white"
        )
    if report["flat"]:
        sentences.append(f"{report['flat']:,} with almost no contrast")
    sentences.append(f"labels: {report['labels']}")
    if report["unlabelled_training_images"]:
        sentences.append(f"{report['unlabelled_training_images']:,} for training have none")
    if left_out:
        sentences.append(f"left out: {', '.join(left_out)}")
    return "; ".join(sentences) + "."

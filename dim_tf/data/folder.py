"""Anyone's images: all image files below a folder, with labels or without.

docs/DATA.md tells the rules.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.data import Request, folder_report, image_files, image_folder, manifest
from dim_tf.data.decoded_cache import DecodedCache
from dim_tf.data.folder_report import FolderReport
from dim_tf.data.image_files import Fault, UndecodableError
from dim_tf.data.manifest import Manifest
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError, RunError
from dim_tf.files import replace_text

TEST_SHARE = 0.1
LEAST_TEST, MOST_TEST = 10, 10_000
LEAST_IMAGES = 20
SIZES = (32, 64)  # the default, by the images: those of the encoders
ENLARGED = 0.75  # images whose short side is less than this share of a size get a smaller one
IMAGES_A_CLASS = 10  # on average, or folders are taken for albums
SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


@dataclass(frozen=True)
class FolderImages:
    """Images of which the first are in a cache; the others are decoded each time.

    Attributes:
        cached: uint8 [K, S, S, 3], of the first K files.
        folder: of the files.
        names: of all N files, K ≤ N.
    """

    cached: np.ndarray
    folder: Path
    names: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names), *self.cached.shape[1:])

    def __len__(self):
        return len(self.names)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        inside = rows < len(self.cached)
        if inside.all():
            return self.cached[rows]
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        images[inside] = self.cached[rows[inside]]
        names = [self.names[row] for row in rows[~inside]]
        images[~inside] = decoded(self.folder, names, self.shape[1])
        return images

    def part(self, first: int, last: int) -> "FolderImages":
        """Those from number `first` on, before `last`."""
        return FolderImages(self.cached[first:last], self.folder, self.names[first:last])


def decoded(folder: Path, names: list[str], size: int) -> np.ndarray:
    """Decodes files, several at a time.

    Args:
        folder: of the files.
        names: of the files, relative.
        size: pixels a side.

    Returns:
        uint8 [N, size, size, 3].

    Raises:
        RunError: a file is not what it was when it was looked at.
    """

    def one(name):
        try:
            return image_files.decode_to_size(folder / name, size)
        except (UndecodableError, OSError) as error:
            why = error if isinstance(error, UndecodableError) else error.strerror
            raise RunError(
                f"{folder_report.printable(name)} in {folder} has changed while it was in use "
                f"({why}); run again, and the files that changed are looked at again"
            ) from error

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return np.stack(list(workers.map(one, names)))


def load(request: Request) -> Splits:
    """The images below a folder.

    Args:
        request: its `data_dir` is the folder.

    Raises:
        InputError: there is no such folder, or too few images in it, or too many of its files are
            unreadable, or there is no room for the decoded images.
    """
    folder = image_folder(request.data_dir)
    cache = Path(os.path.expanduser(request.cache_dir)) if request.cache_dir else default_cache()
    found = _scanned(folder, cache)
    rows, repeated = distinct(found)
    names, digests = [found.names[row] for row in rows], found.digests[rows]
    labels, label_names, why = labelled(names, request.labels)
    size = request.image_size or default_size(found.extents[rows])
    tests = test_images(digests)
    told = {
        "images": len(names),
        "training_images": len(names) - tests,
        "test_images": tests,
        "image_size": size,
        "labels": why,
        "classes": {} if labels is None else _class_counts(labels, label_names),
        **folder_report.described(found, repeated),
    }
    bad = tuple(folder_report.bad_lines(found, repeated))
    _check(request, folder, cache, told, bad)

    def decode(wanted):
        return decoded(folder, [names[row] for row in wanted], size)

    cached = DecodedCache(cache / "images", request.cache_gib).open(digests, size, decode)
    if len(cached) < len(names):
        print(
            f"data: {len(cached):,} of {len(names):,} decoded images fit into --cache_gib="
            f"{request.cache_gib:g}; the others are decoded each time",
            flush=True,
        )
    images = FolderImages(cached, folder, names)

    def split(first, last):
        return Split(images.part(first, last), None if labels is None else labels[first:last])

    return Splits(
        name="folder",
        train=split(tests, len(names)),
        test=split(0, tests),
        label_names=label_names,
        note=_note(folder, told),
        report=FolderReport(folder, told, bad, digests),
    )


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


def distinct(found: Manifest) -> tuple[np.ndarray, dict[int, int]]:
    """The images to learn from, in the order of their digests.

    Returns:
        Their rows, of files with the same content the first by name; and the row of each file that
        is left out for it -> the row of that first.
    """
    good = np.flatnonzero(found.faults == Fault.NONE)
    numbers = found.digests[good].view(">u8")  # [N, 2]
    ordered = good[np.lexsort((numbers[:, 1], numbers[:, 0]))]  # stable: names stay in order
    digests = found.digests[ordered]
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


def labelled(names: list[str], wanted: str) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """Labels by the folders at the top.

    Args:
        names: of the images.
        wanted: "folders": those they are; "none"; "auto": folders, if all images are directly in
            one of several, which have ten images on average and are not called as splits are.

    Returns:
        int64 [N] or None, the label names, and why.

    Raises:
        InputError: "folders" is not possible.
    """
    if wanted == "none":
        return None, (), "none, as --labels=none says"
    parts = [name.split("/") for name in names]
    folders = sorted({part[0] for part in parts if len(part) > 1})
    flat = any(len(part) == 1 for part in parts)
    why_not = ""
    if flat:
        why_not = "some images are in no folder"
    elif len(folders) < 2:
        why_not = "there are no two folders of images"
    if wanted == "folders" and why_not:
        raise InputError(
            f"--labels=folders takes the first folder of each image as its label, but {why_not}; "
            "leave --labels out"
        )
    if wanted == "auto" and not why_not:
        if any(len(part) > 2 for part in parts):
            why_not = "some folders have folders in them"
        elif {name.lower() for name in folders} <= SPLIT_NAMES:
            why_not = f"the folders are called {' and '.join(folders)}"
        elif len(names) < IMAGES_A_CLASS * len(folders):
            why_not = f"the folders have less than {IMAGES_A_CLASS} images on average"
    if why_not:
        return None, (), f"none: {why_not}"
    number = {name: label for label, name in enumerate(folders)}
    labels = np.array([number[part[0]] for part in parts], np.int64)
    shown = tuple(folder_report.printable(name) for name in folders)
    return labels, shown, f"the {len(folders):,} folders"


def _scanned(folder, cache):
    try:
        return manifest.scan(folder, cache / "manifests", (cache,))
    except OSError as error:
        raise _not_kept(folder, cache, error) from error


def _not_kept(folder, cache, error):
    return InputError(
        f"what is found in {folder} cannot be kept in {cache} ({error.strerror or error}); "
        "give another --cache_dir"
    )


def _class_counts(labels, names):
    counts = np.bincount(labels, minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _check(request, folder, cache, told, lines):
    """Raises InputError where too many files are bad, or too few are left; lists the bad ones."""
    bad = sum(told["unreadable"].values())
    refused = bad > request.bad_images * told["image_files"] or told["images"] < LEAST_IMAGES
    listed = ""
    if bad and refused:
        # Not in the run folder, which may be another run's.
        path = cache / folder_report.BAD_IMAGES
        try:
            cache.mkdir(parents=True, exist_ok=True)
            replace_text(path, "".join(lines))
        except OSError as error:
            raise _not_kept(folder, cache, error) from error
        listed = f"they are listed in {path}"
    if bad > request.bad_images * told["image_files"]:
        raise InputError(
            f"{bad:,} of {told['image_files']:,} image files in {folder} cannot be read, more than "
            f"--bad_images={request.bad_images:g} of them; {listed}: mend or remove "
            "them, or give a larger --bad_images"
        )
    if told["images"] < LEAST_IMAGES:
        others = ", ".join(f"{n:,} {suffix}" for suffix, n in told["other_files"].items())
        raise InputError(
            f"{folder} has {told['images']} different images; at least {LEAST_IMAGES} are needed, "
            f"of {', '.join(image_files.FORMATS)}"
            + (f" (there are also {others})" if others else "")
            + (f"; {bad} cannot be read, {listed}" if bad else "")
        )


def _note(folder, told):
    left_out = {
        "unreadable": sum(told["unreadable"].values()),
        "tiny": told["tiny"],
        "repeated": told["duplicates"],
    }
    some = ", ".join(f"{n:,} {kind}" for kind, n in left_out.items() if n)
    size = told["image_size"]
    # Its name alone: the note goes into exported models, which are given away.
    name = folder_report.printable(folder.resolve().name)
    return (
        f"{told['images']:,} images of the folder {name}, the centred square of each resized to "
        f"{size}x{size} pixels; {told['training_images']:,} for training and "
        f"{told['test_images']:,} for the test, by the hash of each file; labels: {told['labels']}"
        + (f"; left out: {some}." if some else ".")
    )

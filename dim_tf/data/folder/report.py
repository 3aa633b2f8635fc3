"""What a run's folder records about its images: data.json, bad_images.txt, trained_images.npy."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dim_tf.data import npy
from dim_tf.data.folder.file_bytes import DIGEST_BYTES
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.manifest import Manifest
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_headers import FORMATS
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_replace, atomic_write_text, read_text
from dim_tf.system.json_files import parse_json_object

SUMMARY_FILE, BAD_IMAGES_FILE = "data.json", "bad_images.txt"
TRAINED_IMAGES_FILE = "trained_images.npy"  # digests of all images that a run has trained on
MAX_TRAINED_BYTES = 2**30  # of that file: 64 million images
SPLIT_OF = "pixels"  # whose hash chooses test images; of files, before version 2 of manifests
SAMPLE_SIZE = 100  # images by which the next run recognizes the folder
MAX_LISTED = 5  # folders in a message


@dataclass(frozen=True)
class FolderReport:
    """A report of a folder's images, as `splits.DataReport` defines it.

    Attributes:
        folders: Folders of the images.
        summary: Content of data.json.
        lines: Lines of bad_images.txt.
        digests: uint8 [N, D], of the images' pixels, ascending.
        test_digests: uint8 [M, D], digests of those images that are for the test.
    """

    folders: ImageFolders
    summary: dict[str, Any]
    lines: tuple[str, ...]
    digests: np.ndarray
    test_digests: np.ndarray

    def check(self, folder: Path) -> None:
        """Compares the images with those of the run in a folder; if they share some, it continues.

        Raises:
            InputError: None of the images are those that the run started with, the run has trained
                on images that are for the test now, or its images were decoded in another range.
        """
        if not (folder / "checkpoints").exists():
            return
        previous = _read_summary(folder)
        self._check_split(folder, previous)
        self._check_range(folder, previous)
        self._check_channels(folder, previous)
        self._check_values(folder, previous)
        self._check_trained(folder)
        if previous.get("fingerprint", self._fingerprint) == self._fingerprint:
            return
        sample = previous.get("sample", [])
        if isinstance(sample, list) and sample:
            own = {digest.tobytes().hex() for digest in self.digests}
            if own.isdisjoint(map(str, sample)):
                raise InputError(
                    f"{folder} holds a run on other images: of {len(sample)} of them none is in "
                    f"--data_dir={self.folders}; give another --name or --run_dir, or that run's "
                    "--data_dir, or --noresume to start anew there"
                )
        say(
            f"data: the images are not those that the run in {folder} began with; it goes on with "
            "these"
        )

    def _check_split(self, folder, previous):
        if not previous:
            return
        if previous.get("split_of") != SPLIT_OF:
            raise InputError(
                f"{folder} holds a run of an earlier version, which chose other test images: some "
                "that it trained on would now be measured on; give another --name or --run_dir, or "
                "--noresume to start anew there"
            )
        before, now = previous.get("split_by"), self.summary["split_by"]
        if before == now:
            return
        if before == "none":
            raise InputError(
                f"{folder} holds a run that was trained on all images (--test_fraction=0), of "
                "which some are for the test now; give --test_fraction=0, or another --name or "
                "--run_dir, or --noresume to start anew there"
            )
        why = f"chosen by {before}, and not by {now}: some that it trained on would be measured on"
        if now == "none":
            why = f"chosen by {before}, and --test_fraction=0 would train on them"
        remedy = "leave --test_fraction out" if now == "none" else f"give --split={before}"
        raise InputError(
            f"{folder} holds a run whose test images were {why}; {remedy}, or "
            "another --name or --run_dir, or --noresume to start anew there"
        )

    def _check_trained(self, folder):
        """Finds images that were moved between folders, if the folders are the split."""
        moved = int(np.isin(_as_keys(self.test_digests), _read_trained(folder)).sum())
        if moved:
            raise InputError(
                f"{folder} holds a run that was trained on {moved:,} of the "
                f"{len(self.test_digests):,} images that are for the test now; move them back, "
                "give that run's --group_by and --test_fraction, or another --name or --run_dir, "
                "or --noresume to start anew there"
            )

    def _check_range(self, folder, previous):
        before, now = previous.get("pixel_range"), self.summary["pixel_range"]
        if before and now and before != now:
            low, high = before if isinstance(before, list) and len(before) == 2 else ("LOW", "HIGH")
            raise InputError(
                f"{folder} holds a run whose 16-bit images were decoded by --pixel_range={low},"
                f"{high}, and now it is {now[0]},{now[1]}; give --pixel_range={low},{high}, or "
                "another --name or --run_dir, or --noresume to start anew there"
            )

    def _check_channels(self, folder, previous):
        # An earlier version converted all images to RGB.
        before, now = previous.get("channels", 3), self.summary["channels"]
        if previous and before != now:
            raise InputError(
                f"{folder} holds a run on images of {before} channels, and now they have {now}; "
                f"give --channels={before}, or another --name or --run_dir, or --noresume to start "
                "anew there"
            )

    def _check_values(self, folder, previous):
        before, now = (x.get("value_ranges") for x in (previous, self.summary))
        if before and before != now:
            raise InputError(
                f"{folder} holds a run whose arrays were scaled by other training images: what was "
                "0 to 1 there is not now; give another --name or --run_dir, or --noresume to start "
                "anew there"
            )

    def write(self, folder: Path) -> None:
        """Writes data.json and bad_images.txt, each whole or not at all.

        Raises:
            OSError: They cannot be written.
        """
        # The first by digest: a random choice, whose images remain a sample when more are added.
        sample = [digest.tobytes().hex() for digest in self.digests[:SAMPLE_SIZE]]
        summary = {
            **self.summary,
            "split_of": SPLIT_OF,
            "fingerprint": self._fingerprint,
            "sample": sample,
        }
        atomic_write_text(folder / BAD_IMAGES_FILE, "".join(self.lines))
        atomic_write_text(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")

    def record_training_images(self, folder: Path) -> None:
        """Adds the training images to those that the run has trained on.

        Raises:
            OSError: They cannot be written.
        """
        training = np.setdiff1d(_as_keys(self.digests), _as_keys(self.test_digests))
        keys = np.union1d(_read_trained(folder), training)
        digests = np.frombuffer(keys.tobytes(), np.uint8).reshape(len(keys), -1)
        with (
            atomic_replace(folder / TRAINED_IMAGES_FILE) as temporary,
            open(temporary, "wb") as file,
        ):
            np.save(file, digests, allow_pickle=False)

    @property
    def _fingerprint(self):
        return hashlib.sha256(self.digests.tobytes()).hexdigest()[:32]


def count_files(manifest: Manifest, duplicates: dict[int, int]) -> dict[str, Any]:
    """Counts of a folder's files, for data.json.

    Args:
        manifest: The files.
        duplicates: Index of each file with the same pixels as another -> index of that one.
    """
    counts = Counter(manifest.faults.tolist())
    usable = manifest.faults == Fault.NONE
    other_suffixes = Counter(
        PurePosixPath(manifest.names[index]).suffix.lower() or "without a suffix"
        for index in np.flatnonzero(manifest.faults == Fault.OTHER)
    )
    formats = np.bincount(manifest.formats[usable], minlength=len(FORMATS))
    return {
        "image_files": int(sum(counts.values()) - counts[Fault.OTHER]),
        "unreadable": {
            fault.description: counts[fault] for fault in Fault if fault.is_bad and counts[fault]
        },
        "tiny": counts[Fault.TINY],
        "duplicates": len(duplicates),
        "formats": {name: int(n) for name, n in zip(FORMATS, formats, strict=True) if n},
        "pixels": {
            side: _range_of(manifest.image_sizes[usable, column])
            for column, side in enumerate(("width", "height"))
        },
        "other_files": dict(other_suffixes.most_common(20)),
        "system_folders": manifest.system_folders,
    }


def _range_of(numbers):
    if not len(numbers):
        return {}
    return {
        "min": int(numbers.min()),
        "median": int(np.median(numbers)),
        "max": int(numbers.max()),
    }


def bad_image_lines(manifest: Manifest, duplicates: dict[int, int]) -> Iterable[str]:
    """A line for each file that is left out: its name, a tab, and why."""
    is_listed = (manifest.faults != Fault.NONE) & (manifest.faults != Fault.OTHER)
    for index in np.flatnonzero(is_listed):
        fault = Fault(manifest.faults[index])
        yield f"{printable(manifest.names[index])}\t{fault.description}\n"
    for copy, kept in sorted(duplicates.items()):
        yield f"{printable(manifest.names[copy])}\tsame as {printable(manifest.names[kept])}\n"


def low_contrast_lines(names: Iterable[str]) -> Iterable[str]:
    """A line for each image that is kept although it shows almost nothing."""
    for name in names:
        yield f"{printable(name)}\tkept, with almost no contrast\n"


def printable(name: str) -> str:
    """A file's name on one line, in UTF-8."""
    escaped = name.replace("\\", "\\\\").translate({9: "\\t", 10: "\\n", 13: "\\r"})
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def list_some(folders: Sequence[str]) -> str:
    """The names of the first `MAX_LISTED` folders, and how many more there are."""
    shown = " and ".join(printable(name) for name in folders[:MAX_LISTED])
    rest = len(folders) - MAX_LISTED
    return shown + (f" and {rest:,} more" if rest > 0 else "")


def describe(folders: ImageFolders, frame: ImageFrame, summary: dict[str, Any]) -> str:
    """One sentence on a folder's images, for `Splits.note`.

    Args:
        folders: Folders of the images.
        frame: What each image becomes.
        summary: Content of data.json.
    """
    counts = {
        "unreadable": sum(summary["unreadable"].values()),
        "tiny": summary["tiny"],
        "repeated": summary["duplicates"],
        "for validation": summary["validation_images_left_out"],
    }
    left_out = [f"{n:,} {reason}" for reason, n in counts.items() if n]
    if summary["images_of_other_folders_left_out"]:
        count = summary["images_of_other_folders_left_out"]
        left_out.append(f"{count:,} in {list_some(summary['folders_left_out'])}")
    if summary["unmeasured_images_left_out"]:
        count = summary["unmeasured_images_left_out"]
        left_out.append(f"{count:,} for the test without a label or split")
    if summary["system_folders"]:
        each = ", ".join(f"{name} {n:,}" for name, n in summary["system_folders"].items())
        left_out.append(f"system folders ({each})")
    # Only their names: the note goes into exported models, which are given away.
    noun = "folder" if len(folders.names) == 1 else "folders"
    clauses = [
        f"{summary['images']:,} {_kind(frame, summary)} of the {noun} {list_some(folders.names)}, "
        f"{frame.description}",
        f"{summary['training_images']:,} for training and {summary['test_images']:,} for the test, "
        f"{summary['split']}",
    ]
    if not summary["test_images"]:
        clauses[-1] = f"all for training, none for the test, {summary['split']}"
    clauses += _describe_groups(summary)
    leaking = summary["test_images_left_out_of_training"]
    if leaking:
        clauses.append(f"{leaking:,} test images left out of training, where they were too")
    if summary["images_of_16_bits"]:
        low, high = summary["pixel_range"]
        clauses.append(
            f"{summary['images_of_16_bits']:,} of 16 bits, of which the values {low} to {high} "
            "become black to white"
        )
    if "value_ranges" in summary:
        ranges = summary["value_ranges"]
        shown = [f"{low:g} to {high:g}" for low, high in zip(*ranges.values(), strict=True)]
        clauses.append(f"their values scaled to [0, 1] from {', '.join(shown)}")
    if summary["low_contrast"]:
        clauses.append(f"{summary['low_contrast']:,} with almost no contrast")
    clauses.append(f"labels: {summary['labels']}")
    if summary["only_test_class"] is not None:
        clauses.append(
            f"all test images are of the class {printable(summary['only_test_class'])}, so that no "
            "accuracy says anything"
        )
    if summary["unlabelled_training_images"]:
        clauses.append(f"{summary['unlabelled_training_images']:,} for training have none")
    if left_out:
        clauses.append(f"left out: {', '.join(left_out)}")
    return "; ".join(clauses) + "."


def _kind(frame, summary):
    if "value_ranges" in summary:
        channels = "one channel" if frame.channels == 1 else f"{frame.channels} channels"
        return f"arrays of {channels}"
    return "grey images" if frame.channels == 1 else "images"


def _describe_groups(summary):
    """Clauses on the groups that the split keeps together, and on near duplicates beyond them."""
    largest = summary["largest_group"]
    if largest and summary["split_by"] == "hash":
        groups = "group" if summary["groups"] == 1 else "groups"
        yield (
            f"{summary['groups']:,} {groups} {summary['groups_kind']} kept together, the largest "
            f"of {largest['images']:,} images"
        )
        if largest["images"] > summary["images"] / 2:
            yield (
                "that group, of more than half of the images, is for training; --group_by=none "
                "splits single images"
            )
        pairs = summary["separated_pairs_of_single_images"]
        if pairs:
            yield f"a split of single images would have separated {pairs:,} pairs of one group"
    if summary["ungrouped_by_pattern"]:
        yield f"{summary['ungrouped_by_pattern']:,} paths that --group_by does not match"
    near = summary["test_images_near_training"]
    if near:
        verb = "images have" if near > 1 else "image has"
        yield f"{near:,} test {verb} a near duplicate among the training images"


def _read_summary(folder):
    """What a run recorded about its images; nothing, with a message, if its file is damaged."""
    path = folder / SUMMARY_FILE
    try:
        return parse_json_object(read_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        say(f"data: {path} is damaged; the images are not compared with those of the run")
        return {}


def _as_keys(digests):
    """uint8 [N, D] -> bytes [N], which NumPy compares as a whole."""
    return np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}").ravel()


def _read_trained(folder):
    """What `record_training_images` wrote; nothing, with a message, if the file is damaged."""
    path = folder / TRAINED_IMAGES_FILE
    try:
        digests = npy.read_array(npy.read_bytes(path, MAX_TRAINED_BYTES))
        if digests.dtype != np.uint8 or digests.shape[1:] != (DIGEST_BYTES,):
            raise ValueError("other values")
        return _as_keys(digests)
    except FileNotFoundError:  # the run has not started
        pass
    except (OSError, ValueError):
        say(f"data: {path} is damaged; nothing tells whether test images were trained on")
    return _as_keys(np.zeros((0, DIGEST_BYTES), np.uint8))

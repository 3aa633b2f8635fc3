"""What a source of image files tells of them, in the run folder: data.json and bad_images.txt."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dim_tf.data import npy
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_files import DIGEST_BYTES, FORMATS
from dim_tf.data.manifest import Manifest
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_replace, atomic_write_text, read_text
from dim_tf.system.json_files import parse_json_object

REPORT, BAD_IMAGES = "data.json", "bad_images.txt"
TRAINED = "trained_images.npy"  # digests of all images that a run has had for training
MOST_BYTES = 2**30  # of that: 64 million images
SPLIT_OF = "pixels"  # whose hash chooses the test images; of files, before version 2 of manifests
SAMPLE = 100  # images by which the next run tells whether the folder is the same


@dataclass(frozen=True)
class FolderReport:
    """A report of a folder's images, as `splits.Report` has it.

    Attributes:
        folder: of the images.
        told: for data.json.
        lines: for bad_images.txt.
        digests: uint8 [N, D], of the images' pixels, ascending.
        test_digests: uint8 [M, D], of those of them that are for the test.
    """

    folder: Path
    told: dict[str, Any]
    lines: tuple[str, ...]
    digests: np.ndarray
    test_digests: np.ndarray

    def check(self, folder: Path) -> None:
        """Says if the images are not those of the run; of some in common, the run goes on.

        Raises:
            InputError: it has none of those that the run was begun with, or others of them for the
                test, or it is decoded in another range.
        """
        if not (folder / "checkpoints").exists():
            return
        before = _before(folder)
        self._check_split(folder, before)
        self._check_range(folder, before)
        self._check_trained(folder)
        if before.get("fingerprint", self._fingerprint) == self._fingerprint:
            return
        sample = before.get("sample", [])
        if isinstance(sample, list) and sample:
            mine = {digest.tobytes().hex() for digest in self.digests}
            if mine.isdisjoint(map(str, sample)):
                raise InputError(
                    f"{folder} holds a run on other images: of {len(sample)} of them none is in "
                    f"--data_dir={self.folder}; give another --name or --run_dir, or that run's "
                    "--data_dir, or --noresume to start anew there"
                )
        say(
            f"data: the images are not those that the run in {folder} began with; it goes on with "
            "these"
        )

    def _check_split(self, folder, before):
        if not before:
            return
        if before.get("split_of") != SPLIT_OF:
            raise InputError(
                f"{folder} holds a run of an earlier version, which chose other test images: some "
                "that it trained on would now be measured on; give another --name or --run_dir, or "
                "--noresume to start anew there"
            )
        if before.get("split_by") != self.told["split_by"]:
            raise InputError(
                f"{folder} holds a run whose test images were chosen by {before.get('split_by')}, "
                f"and not by {self.told['split_by']}: some that it trained on would be measured "
                f"on; give --split={before.get('split_by')}, or another --name or --run_dir, or "
                "--noresume to start anew there"
            )

    def _check_trained(self, folder):
        """Images that were moved between folders, when these are the split."""
        moved = int(np.isin(_names(self.test_digests), _trained(folder)).sum())
        if moved:
            raise InputError(
                f"{folder} holds a run that was trained on {moved:,} of the "
                f"{len(self.test_digests):,} images that are for the test now; move them back, or "
                "give another --name or --run_dir, or --noresume to start anew there"
            )

    def _check_range(self, folder, before):
        of_run, now = before.get("pixel_range"), self.told["pixel_range"]
        if of_run and now and of_run != now:
            low, high = of_run if isinstance(of_run, list) and len(of_run) == 2 else ("LOW", "HIGH")
            raise InputError(
                f"{folder} holds a run whose 16-bit images were decoded by --pixel_range={low},"
                f"{high}, and now it is {now[0]},{now[1]}; give --pixel_range={low},{high}, or "
                "another --name or --run_dir, or --noresume to start anew there"
            )

    def write(self, folder: Path) -> None:
        """Writes data.json and bad_images.txt, each whole or not at all.

        Raises:
            OSError: they cannot be written.
        """
        # The first by digest: a random choice, which stays one of the images when more come.
        sample = [digest.tobytes().hex() for digest in self.digests[:SAMPLE]]
        told = {
            **self.told,
            "split_of": SPLIT_OF,
            "fingerprint": self._fingerprint,
            "sample": sample,
        }
        atomic_write_text(folder / BAD_IMAGES, "".join(self.lines))
        atomic_write_text(folder / REPORT, json.dumps(told, indent=2) + "\n")

    def note_training(self, folder: Path) -> None:
        """Adds the images for training to those that the run has had.

        Raises:
            OSError: they cannot be written.
        """
        training = np.setdiff1d(_names(self.digests), _names(self.test_digests))
        names = np.union1d(_trained(folder), training)
        rows = np.frombuffer(names.tobytes(), np.uint8).reshape(len(names), -1)
        with atomic_replace(folder / TRAINED) as temporary, open(temporary, "wb") as file:
            np.save(file, rows, allow_pickle=False)

    @property
    def _fingerprint(self):
        return hashlib.sha256(self.digests.tobytes()).hexdigest()[:32]


def described(found: Manifest, repeated: dict[int, int]) -> dict[str, Any]:
    """Counts of a folder's files.

    Args:
        found: its files.
        repeated: row of each file with the pixels of another -> that one's row.
    """
    kinds = Counter(found.faults.tolist())
    good = found.faults == Fault.NONE
    others = Counter(
        PurePosixPath(found.names[row]).suffix.lower() or "without a suffix"
        for row in np.flatnonzero(found.faults == Fault.OTHER)
    )
    formats = np.bincount(found.formats[good], minlength=len(FORMATS))
    return {
        "image_files": int(sum(kinds.values()) - kinds[Fault.OTHER]),
        "unreadable": {
            fault.told: kinds[fault] for fault in Fault if fault.is_bad and kinds[fault]
        },
        "tiny": kinds[Fault.TINY],
        "duplicates": len(repeated),
        "formats": {name: int(n) for name, n in zip(FORMATS, formats, strict=True) if n},
        "pixels": {
            side: _spread(found.extents[good, column])
            for column, side in enumerate(("width", "height"))
        },
        "other_files": dict(others.most_common(20)),
        "system_folders": found.system_folders,
    }


def _spread(numbers):
    if not len(numbers):
        return {}
    return {
        "least": int(numbers.min()),
        "median": int(np.median(numbers)),
        "most": int(numbers.max()),
    }


def bad_lines(found: Manifest, repeated: dict[int, int]) -> Iterable[str]:
    """A line for each file that is left out: its name, a tab, and why."""
    for row in np.flatnonzero((found.faults != Fault.NONE) & (found.faults != Fault.OTHER)):
        yield f"{printable(found.names[row])}\t{Fault(found.faults[row]).told}\n"
    for left_out, first in sorted(repeated.items()):
        yield f"{printable(found.names[left_out])}\tsame as {printable(found.names[first])}\n"


def flat_lines(names: Iterable[str]) -> Iterable[str]:
    """A line for each image that is kept although it shows almost nothing."""
    for name in names:
        yield f"{printable(name)}\tkept, with almost no contrast\n"


def printable(name: str) -> str:
    """A file's name on one line, in UTF-8."""
    told = name.replace("\\", "\\\\").translate({9: "\\t", 10: "\\n", 13: "\\r"})
    return told.encode("utf-8", "backslashreplace").decode("utf-8")


def _before(folder):
    """What a run has told of its images; nothing, which is said, where its file is damaged."""
    path = folder / REPORT
    try:
        return parse_json_object(read_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        say(f"data: {path} is damaged; the images are not compared with those of the run")
        return {}


def _names(digests):
    """uint8 [N, D] -> bytes [N], which NumPy compares as a whole."""
    return np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}").ravel()


def _trained(folder):
    """What `note_training` wrote; nothing, which is said, where its file is damaged."""
    path = folder / TRAINED
    try:
        digests = npy.array(npy.octets(path, MOST_BYTES))
        if digests.dtype != np.uint8 or digests.shape[1:] != (DIGEST_BYTES,):
            raise ValueError("other values")
        return _names(digests)
    except FileNotFoundError:  # of a run that has not begun
        pass
    except (OSError, ValueError):
        say(f"data: {path} is damaged; nothing tells whether test images were trained on")
    return _names(np.zeros((0, DIGEST_BYTES), np.uint8))

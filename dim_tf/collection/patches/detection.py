"""Anomaly detection in a collection: from local maps of normal images to alarms.

detector = fit_detector(normal_maps, settings)
alarms = detector.detect(maps)
path.write_text(alarms_csv(ids, alarms))
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dim_tf.collection.patches import anomaly
from dim_tf.collection.patches.anomaly import MemoryBank
from dim_tf.collection.patches.threshold import Threshold, choose_threshold, images_for
from dim_tf.data.validation_split import draw_groups
from dim_tf.evaluation.map_blocks import LocalMapArray, check_maps
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.system.csv_text import csv_text
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class Alarms:
    """A detector's results for N images.

    Attributes:
        scores: float32 [N].
        p_values: float64 [N]: probability that a normal image scores as high
            (`Threshold.p_values`).
        is_anomalous: bool [N], whether the score exceeds the threshold.
        patch_scores: float32 [N, H, W].
        locations: int64 [N, 2], row and column of the location that is farthest from the bank.
    """

    scores: np.ndarray
    p_values: np.ndarray
    is_anomalous: np.ndarray
    patch_scores: np.ndarray
    locations: np.ndarray


@dataclass(frozen=True)
class Detector:
    """A memory bank with its threshold.

    Attributes:
        bank: The bank of normal images.
        threshold: The threshold, chosen on other normal images.
        calibration_groups: Number of groups of those images; none of them is in the bank.
    """

    bank: MemoryBank
    threshold: Threshold
    calibration_groups: int

    def detect(self, maps: LocalMapArray) -> Alarms:
        """Scores images.

        Memory: 4 H W + 29 bytes per image, a copy of the bank, and blocks of the maps.

        Args:
            maps: Floats [N, H, W, D], from the encoder of the normal images; read in blocks.

        Raises:
            InputError: The maps do not fit the bank, or a number is not finite.
        """
        scores, patches = anomaly.score(self.bank, maps)
        farthest = patches.reshape(len(patches), -1).argmax(axis=1)
        return Alarms(
            scores,
            self.threshold.p_values(scores),
            scores > self.threshold.value,
            patches,
            np.stack(np.unravel_index(farthest, patches.shape[1:]), axis=1),
        )

    def summary(self) -> dict[str, object]:
        """A summary for JSON and for people."""
        return {
            "bank": len(self.bank.patches),
            "candidates": self.bank.num_candidates,
            "neighbourhood": self.bank.neighbourhood,
            "radius": self.bank.radius,
            "threshold": self.threshold.value,
            "false_alarms": self.threshold.false_alarm_rate,
            "false_alarms_ci95": list(self.threshold.interval),
            "calibration_images": len(self.threshold.normal_scores),
            "calibration_groups": self.calibration_groups,
        }


def check_image_count(images: int, settings: AnomalySettings) -> int:
    """Checks that there are enough normal images; returns how many choose the threshold.

    Args:
        images: Number of normal images.
        settings: Settings of the bank and the threshold.

    Raises:
        InputError: There are too few images for the rate of false alarms.
    """
    count = round(settings.calibration * images)
    needed = images_for(settings.false_alarms)
    if needed <= count < images:
        return count
    least = max(int((needed - 0.5) / settings.calibration), 2)
    while not needed <= round(settings.calibration * least) < least:
        least += 1
    higher_rate = ""
    if 0 < count < min(needed, images):
        higher_rate = (
            f", or --anomaly_false_alarms={math.ceil(1000 / (count + 1)) / 1000:g} or more"
        )
    raise InputError(
        f"{images:,} normal images, of which {count:,} (--anomaly_calibration="
        f"{settings.calibration:g}) were to choose the threshold, which takes at least "
        f"{needed:,} for --anomaly_false_alarms={settings.false_alarms:g}; give at least "
        f"{least:,} normal images{higher_rate}"
    )


def draw_calibration(groups: np.ndarray, settings: AnomalySettings, seed: int = 0) -> np.ndarray:
    """Which normal images choose the threshold, bool [N]; groups stay whole.

    Args:
        groups: int [N], which images stay together.
        settings: Settings of the bank and the threshold.
        seed: Seed of the draw.

    Raises:
        InputError: There are too few images for the rate of false alarms, or too few in groups
            that are small enough to be drawn.
    """
    count = check_image_count(len(groups), settings)
    is_drawn = draw_groups(groups, count, seed)
    drawn, needed = int(is_drawn.sum()), images_for(settings.false_alarms)
    if drawn < needed:
        sizes = np.unique(groups, return_counts=True)[1]
        raise InputError(
            f"{len(groups):,} normal images are {len(sizes):,} groups that stay together, the "
            f"largest of {sizes.max():,}, so that {drawn:,} images instead of {count:,} can choose "
            f"the threshold, which takes at least {needed:,} for "
            f"--anomaly_false_alarms={settings.false_alarms:g}; give more normal images, a higher "
            "--anomaly_false_alarms, or another --group_by"
        )
    return is_drawn


def fit_detector(
    maps: LocalMapArray,
    settings: AnomalySettings,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Detector:
    """Learns what is normal: some of the images fill the bank, the others choose the threshold.

    An image whose near copy is in the bank scores too low, and the threshold would be too low as
    well: therefore groups stay on one side. The interval of the rate treats the images as
    independent draws; it is wider if those that choose the threshold are near copies of each other.

    Args:
        maps: Floats [N, H, W, D], local maps of normal images; read in blocks of images.
        settings: Settings of the bank and the threshold.
        groups: int [N], which images stay together, such as the near copies that
            `data.folder.file_groups` finds; None: each image is a group.
        seed: Seed of the bank and of which images choose the threshold.

    Raises:
        InputError: There are too few images for the rate of false alarms, too few in groups that
            are small enough to choose the threshold, or no map.
    """
    check_maps(maps)
    if groups is None:
        groups = np.arange(len(maps))
    is_drawn = draw_calibration(groups, settings, seed)
    calibration, filling = np.flatnonzero(is_drawn), np.flatnonzero(~is_drawn)
    bank = anomaly.build_bank(
        _Rows(maps, filling),
        neighbourhood=settings.neighbourhood,
        fraction=settings.bank,
        max_patches=settings.patches,
        seed=seed,
    )
    scores = anomaly.score(bank, _Rows(maps, calibration)).images
    threshold = choose_threshold(scores, settings.false_alarms)
    return Detector(bank, threshold, len(np.unique(groups[calibration])))


class _Rows:
    """Some rows of an array, without copying all of them."""

    def __init__(self, maps, rows):
        self._maps, self._rows = maps, rows
        self.shape = (len(rows), *maps.shape[1:])

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        return self._maps[self._rows[rows]]


def alarms_csv(ids: Sequence[str], alarms: Alarms) -> str:
    """The text of a CSV file with a line for each image, the most anomalous first.

    Columns: id, score, p_value, is_anomalous (1 or 0), and row and column of the farthest location,
        from 0.

    Args:
        ids: Ids of the images.
        alarms: Alarms of the same images.
    """
    header = ("id", "score", "p_value", "is_anomalous", "row", "column")
    lines = [
        (
            ids[n],
            f"{alarms.scores[n]:.4f}",
            f"{alarms.p_values[n]:.4f}",
            int(alarms.is_anomalous[n]),
            *alarms.locations[n],
        )
        for n in np.argsort(-alarms.scores, kind="stable")
    ]
    return csv_text(header, lines)

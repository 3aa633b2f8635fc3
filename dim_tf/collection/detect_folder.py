"""Anomalies in a folder of images, by the local maps of normal ones; their files and page."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.collection.embedded_folder import MappedImages
from dim_tf.collection.patches import anomaly_metrics
from dim_tf.collection.patches.anomaly_metrics import AnomalyMetrics, DefectTypeMetrics
from dim_tf.collection.patches.anomaly_page import render_anomaly_page
from dim_tf.collection.patches.detection import Alarms, Detector, alarms_csv, fit_detector
from dim_tf.collection.patches.heat_maps import upsample
from dim_tf.collection.patches.known_defects import find_known_defects, read_masks
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.image_frame import ImageFrame
from dim_tf.settings.anomaly import NORMAL_NAMES, AnomalySettings
from dim_tf.system.csv_text import csv_text
from dim_tf.system.result_files import write_result_files

CSV_FILE, PAGE_FILE, SUMMARY_FILE = "anomalies.csv", "anomalies.html", "anomalies.json"
TYPES_FILE = "defect_types.csv"


@dataclass(frozen=True)
class Anomalies:
    """How far the images of a folder are from normal ones.

    Attributes:
        ids: Paths of N images relative to the folder, with "/". With several folders they start
            with the folder's name.
        alarms: Scores, p-values, alarms and heat maps of the same images.
        detector: The detector that gave them.
        metrics: Metrics against known defects; None: nothing is known about the images.
        not_measured: Why there are no metrics, or none of pixels; empty if there are all of them.
        measured_images: Number of images on which the metrics were measured.
        masked_images: Number of these on which the metrics of pixels were measured.
        types: The metrics of each type of defect; empty if there are no metrics.
        path: Folder of the exported detector; None before it is exported.
    """

    ids: list[str]
    alarms: Alarms
    detector: Detector
    metrics: AnomalyMetrics | None
    not_measured: str = ""
    measured_images: int = 0
    masked_images: int = 0
    types: tuple[DefectTypeMetrics, ...] = ()
    path: Path | None = None

    def summary(self) -> dict[str, Any]:
        """The content of anomalies.json."""
        return {
            "images": len(self.ids),
            "anomalous": int(self.alarms.is_anomalous.sum()),
            "detector": self.detector.summary(),
            "metrics": None if self.metrics is None else self.measured(),
            "not_measured": self.not_measured,
            "exported": "" if self.path is None else str(self.path),
        }

    def measured(self) -> dict[str, Any]:
        """The metrics and what they were measured on, for JSON and people; may be empty."""
        if self.metrics is None:
            return {}
        values = dataclasses.asdict(self.metrics)
        return {
            "images": self.measured_images,
            "image_auroc": values["image_auroc"],
            "image_auroc_ci95": list(values["image_interval"]),
            "masked_images": self.masked_images,
            "pixel_auroc": values["pixel_auroc"],
            "false_alarms": values["false_alarms"],
            "detected": values["detected"],
            "types": [
                {
                    "type": entry.name,
                    "images": entry.images,
                    "image_auroc": entry.image_auroc,
                    "image_auroc_ci95": list(entry.image_interval),
                    "detected": entry.detected,
                }
                for entry in self.types
            ],
        }

    def lines(self) -> list[str]:
        """The results as lines for the command line."""
        threshold = self.detector.threshold
        lines = [
            f"{int(self.alarms.is_anomalous.sum()):,} of {len(self.ids):,} images score above "
            f"{threshold.value:.4g}, {threshold.describe()}"
        ]
        if self.metrics is not None:
            low, high = self.metrics.image_interval
            lines.append(
                f"image AUROC {self.metrics.image_auroc:.3f} ({low:.3f} to {high:.3f}), "
                f"{self.metrics.detected:.1%} of the defects and {self.metrics.false_alarms:.1%} "
                f"of the normal images above the threshold, of {self.measured_images:,} images "
                "whose folders tell"
            )
            lines += [
                f"{entry.name}: image AUROC {entry.image_auroc:.3f} ({entry.image_interval[0]:.3f} "
                f"to {entry.image_interval[1]:.3f}), {entry.detected:.1%} of {entry.images:,} "
                "images above the threshold"
                for entry in self.types
            ]
            if self.metrics.pixel_auroc is not None:
                lines.append(
                    f"pixel AUROC {self.metrics.pixel_auroc:.3f}, of {self.masked_images:,} images"
                )
        if self.not_measured:
            lines.append(self.not_measured)
        return lines


def detect_folder(
    normal: MappedImages,
    scored: MappedImages,
    folders: ImageFolders,
    frame: ImageFrame,
    settings: AnomalySettings,
    max_pixels: int,
    groups: np.ndarray | None = None,
) -> Anomalies:
    """Learns what is normal, scores other images, and compares with what their folders say.

    Memory: that of `fit_detector` and `Detector.detect`, and 5 h w bytes per image with a known
        mask, h and w of the encoder.

    Args:
        normal: Normal images.
        scored: Images to score, by the same encoder.
        folders: The folders of the images to score.
        frame: What the encoder makes of an image.
        settings: Settings of the bank and the threshold.
        max_pixels: Largest number of pixels of a mask.
        groups: int [N], which normal images stay together (`fit_detector`); None: no groups.

    Raises:
        InputError: There are too few normal images, or a mask cannot be read.
    """
    detector = fit_detector(normal.maps, settings, groups=groups)
    alarms = detector.detect(scored.maps)
    anomalies = Anomalies(scored.maps.ids, alarms, detector, None)
    known = find_known_defects(anomalies.ids, folders)
    if known is None:
        return dataclasses.replace(
            anomalies,
            not_measured=f"no AUROC: {folders} has no folder named {', '.join(NORMAL_NAMES[:-1])} "
            f"or {NORMAL_NAMES[-1]}, so it is unknown which folders hold defects",
        )
    if not known.is_anomalous.any():
        return dataclasses.replace(
            anomalies, not_measured=f"no AUROC: no image of {folders} is in a folder of defects"
        )
    metrics = anomaly_metrics.measure(
        alarms.scores[known.rows], known.is_anomalous, detector.threshold.value
    )
    anomalies = dataclasses.replace(
        anomalies,
        metrics=metrics,
        measured_images=len(known.rows),
        types=anomaly_metrics.measure_types(
            alarms.scores[known.rows], known.kinds, known.is_anomalous, detector.threshold.value
        ),
    )
    rows, masks = read_masks(known, anomalies.ids, scored.path_of, frame, max_pixels)
    if not masks.any():
        return dataclasses.replace(
            anomalies, not_measured="no AUROC of pixels: there are no masks of defects"
        )
    heat_maps = upsample(alarms.patch_scores[rows], (frame.height, frame.width))
    return dataclasses.replace(
        anomalies,
        metrics=dataclasses.replace(
            metrics, pixel_auroc=anomaly_metrics.pixel_auroc(heat_maps, masks)
        ),
        masked_images=len(rows),
    )


def write_anomalies(folder: Path, anomalies: Anomalies, scored: MappedImages, title: str) -> Path:
    """Writes anomalies.csv, .json and .html, by `write_result_files`.

    If defects are known, also writes defect_types.csv.

    Args:
        folder: An existing folder for the files.
        anomalies: The results of the images.
        scored: The images.
        title: Title of the page.

    Returns:
        The path of the page.

    Raises:
        RunError: A file cannot be written.
    """
    measured = anomalies.measured() | {"not_measured": anomalies.not_measured}
    measured.pop("types", None)  # which have a table of their own
    page = render_anomaly_page(
        title,
        anomalies.ids,
        anomalies.alarms,
        anomalies.detector,
        scored.read_image,
        measured={name: value for name, value in measured.items() if value not in (None, "")},
        types=anomalies.types,
    )
    texts = {CSV_FILE: alarms_csv(anomalies.ids, anomalies.alarms), PAGE_FILE: page}
    if anomalies.types:
        texts[TYPES_FILE] = _types_csv(anomalies.types)
    write_result_files(folder, texts, SUMMARY_FILE, anomalies.summary(), [TYPES_FILE])
    return folder / PAGE_FILE


def _types_csv(types: tuple[DefectTypeMetrics, ...]) -> str:
    header = ("type", "images", "image_auroc", "interval_low", "interval_high", "detected")
    lines = (
        (
            entry.name,
            entry.images,
            f"{entry.image_auroc:.4f}",
            *(f"{bound:.4f}" for bound in entry.image_interval),
            f"{entry.detected:.4f}",
        )
        for entry in types
    )
    return csv_text(header, lines)

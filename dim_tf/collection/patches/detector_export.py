"""A detector in the form that `dim_tf.export.anomaly` exports with its encoder; its publication."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.collection.patches import anomaly
from dim_tf.collection.patches.detection import Detector
from dim_tf.collection.patches.heat_maps import upsampling_weights
from dim_tf.collection.patches.nearest import nearest
from dim_tf.export import anomaly as anomaly_export
from dim_tf.export import detector_card, encoded_input, publish, serving, verify
from dim_tf.export.local_maps import LOCAL, LocalMaps
from dim_tf.export.whole_version import CARD


@dataclass(frozen=True)
class DetectorInfo:
    """What a detector's card and metadata.json say about it, in addition to the encoder's.

    Attributes:
        normal_data: One sentence on the normal images.
        measured: Values against known defects, by name; empty: no defects were known.
        license: License of the weights and the bank; empty: that of the encoder's card.
        note: One sentence for the card; empty: that of the encoder's card.
    """

    normal_data: str = ""
    measured: Mapping[str, Any] | None = None
    license: str = ""
    note: str = ""


def publish_detector(
    detector: Detector,
    encoder_path: Path,
    folder: Path,
    pixels: np.ndarray,
    info: DetectorInfo,
    keep_versions: int = 0,
) -> tuple[Path, float]:
    """Writes the next version of an exported detector, as `publish.publish` does for an encoder.

    Args:
        detector: A detector on local maps of the encoder.
        encoder_path: One version of an export.
        folder: exported/<name>.
        pixels: As for `export_detector`.
        info: Entries of the card.
        keep_versions: Number of newest versions that are kept; 0: all.

    Returns:
        The folder of the version, and the largest difference from the detector.

    Raises:
        InputError: The folder cannot be written, or the encoder has no local maps.
        RunError: The written detector gives other scores, the disk is full, or an old version could
            not be removed after the new one was published.
    """

    def write(staging: Path) -> float:
        local_maps = LocalMaps(encoder_path)
        options = local_maps.options
        about = {
            "name": folder.name,
            "image_size": local_maps.frame.size,
            "channels": local_maps.frame.channels,
            "fit": local_maps.frame.fit,
            "max_pixels": options.max_pixels,
            "pixel_range": [options.pixel_range.low, options.pixel_range.high],
            "anomaly": {
                **detector.summary(),
                "encoder": f"{encoder_path.parent.name}/{encoder_path.name}",
                "normal_data": info.normal_data,
                "measured": dict(info.measured or {}),
            },
        }
        about |= {"license": info.license} if info.license else {}
        about |= {"note": info.note} if info.note else {}
        metadata, difference = _write(detector, local_maps, staging, pixels, about)
        are_arrays = options.scaling is not None
        serving.write_warmup(staging, folder.name, pixels[: publish.WARMUP_IMAGES], are_arrays)
        text = detector_card.render(metadata, len(pixels))
        (staging / CARD).write_text(text, encoding="utf-8")
        verify.write_sums(staging)
        return difference

    return publish.publish_version(folder, write, keep_versions)


def export_detector(
    detector: Detector, encoder_path: Path, path: Path, pixels: np.ndarray
) -> float:
    """Writes a SavedModel of a detector and its encoder, and compares it with the detector.

    Args:
        detector: A detector on local maps of the encoder.
        encoder_path: One version of an export.
        path: Path of the SavedModel that is written.
        pixels: float32 [N, H, W, C], some images in the form that the encoder takes; multiples of
            1/255 unless the data are arrays.

    Returns:
        The largest difference, relative to the largest score.

    Raises:
        InputError: There is no export with local maps, or the bank is for other maps.
        RunError: The written detector gives other scores.
    """
    return _write(detector, LocalMaps(encoder_path), path, pixels, {})[1]


def _write(detector, local_maps, path, pixels, about) -> tuple[dict[str, Any], float]:
    """Writes and checks the SavedModel; returns its metadata.json content, and the difference."""
    # Not in half precision, because the exported detector computes in float32.
    endpoints = local_maps.model.signatures["endpoints"]
    maps = endpoints(images=tf.constant(pixels))[LOCAL].numpy()
    scores = anomaly.score(detector.bank, maps)
    bank = detector.bank.patches
    rows, columns = upsampling_weights(maps.shape[1:3], pixels.shape[1:3])
    model = anomaly_export.AnomalyModel(
        bank,
        nearest(bank, bank, min(anomaly.SUPPORT, len(bank)))[1],
        detector.bank.neighbourhood,
        detector.threshold.value,
        detector.threshold.normal_scores,
        rows,
        columns,
    )
    metadata = anomaly_export.save(local_maps, path, model, about)
    files = encoded_input.files_of(pixels, local_maps.options.scaling is not None)
    difference = anomaly_export.check(path, pixels, files, scores.images, scores.patches)
    return metadata, difference

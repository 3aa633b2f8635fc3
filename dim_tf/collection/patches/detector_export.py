"""A detector as `dim_tf.export.anomaly` exports it with its encoder."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf.collection.patches import anomaly
from dim_tf.collection.patches.detection import Detector
from dim_tf.collection.patches.heat_maps import upsampling_weights
from dim_tf.collection.patches.nearest import nearest
from dim_tf.export import anomaly as anomaly_export
from dim_tf.export import encoded_input
from dim_tf.export.local_maps import LOCAL, LocalMaps


def export_detector(
    detector: Detector, encoder_path: Path, path: Path, pixels: np.ndarray
) -> float:
    """Writes a SavedModel of a detector and its encoder, and compares it with the detector.

    Args:
        detector: Of local maps of the encoder.
        encoder_path: One version of an export.
        path: Of the SavedModel that is written.
        pixels: float32 [N, H, W, C], some images as the encoder takes them; if they are no arrays,
            multiples of 1/255.

    Returns:
        The largest difference, relative to the largest score.

    Raises:
        InputError: There is no export with local maps, or the bank is of other maps.
        RunError: What was written gives other scores.
    """
    local_maps = LocalMaps(encoder_path)
    # Not in half precision: the exported detector computes in float32.
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
    anomaly_export.save(local_maps, path, model)
    files = encoded_input.files_of(pixels, local_maps.options.scaling is not None)
    return anomaly_export.check(path, pixels, files, scores.images, scores.patches)

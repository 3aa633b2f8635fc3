"""What the exports of a data set share: its pixels, and the options that depend on them."""

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment
from dim_tf.export.feature import Feature
from dim_tf.export.publish import ExportOptions

CHECKED_IMAGES = 32  # on which an exported model must agree with the one it was made from
CALIBRATION_IMAGES = 256  # from which the ranges of int8 are taken


def export_options(experiment: Experiment, splits: Splits, feature: Feature) -> ExportOptions:
    """The options that an encoder and a classifier of the same images share.

    Args:
        experiment: The settings.
        splits: The images, whose training images calibrate int8.
        feature: The feature that the exported encoder gives.
    """
    return ExportOptions(
        feature=feature,
        calibration=pixels_of(splits.train.images[:CALIBRATION_IMAGES], splits),
        max_pixels=experiment.data.max_pixels,
        pixel_range=splits.pixel_range,
        fit=experiment.data.fit,
        channels=splits.input_channels,
        scaling=splits.scaling,
        tflite=experiment.export.tflite_names,
        keep_versions=experiment.export.keep_versions,
    )


def pixels_of(images: np.ndarray, splits: Splits) -> np.ndarray:
    """Images of the data set as its exported models take them, float32 [N, H, W, C].

    Args:
        images: Images of `splits`, [N, H, W, C], uint8, or float32 in [0, 1].
        splits: The data set, which has the channels and the scaling of the models.
    """
    unit = image_ops.to_unit(tf.constant(images))
    pixels = image_ops.with_channels(unit, splits.input_channels).numpy()
    return splits.scaling.from_unit(pixels) if splits.scaling else pixels

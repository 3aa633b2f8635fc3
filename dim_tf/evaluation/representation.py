"""The features of a data set's images: what every measure is built from."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation.excerpt import Excerpt, Part
from dim_tf.evaluation.saved_encoder import SavedEncoder

ENDPOINTS = ("conv", "fc", "global")
BATCH = 256


@dataclass(frozen=True)
class Representation:
    """Features of the training and the test images, by endpoint, with their labels.

    Attributes:
        train: float32 [N, F] of each endpoint.
        test: likewise, of the test images.
        splits: the images and labels.
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    splits: Excerpt

    @property
    def described(self) -> str:
        """Its endpoints with their sizes, and which of an encoder's are missing."""
        sizes = [f"{name} {features.shape[1]:,}" for name, features in self.train.items()]
        missing = [name for name in ENDPOINTS if name not in self.train]
        told = "flattened: " + ", ".join(sizes)
        return told + (f"; missing in this encoder: {', '.join(missing)}" if missing else "")


def of_encoder(encoder: keras.Model, splits: Excerpt) -> Representation:
    """The encoder's flattened endpoints conv, fc and global, those that it has."""
    channels = encoder.image_shape[-1]

    @tf.function(reduce_retracing=True)
    def endpoints(pixels):
        x = image_ops.encoder_input(image_ops.to_unit(pixels), channels)
        found = encoder(x, training=False)
        return {name: _flat(found[name]) for name in ENDPOINTS if name in found}

    return _of_function(endpoints, splits)


def of_saved(encoder: SavedEncoder, splits: Excerpt) -> Representation:
    """The flattened endpoints conv, fc and global, those that it gives.

    Images are resized, bilinear with antialiasing, to the size that it takes.
    """
    height, width, channels = encoder.image_shape
    size = [height or splits.image_shape[0], width or splits.image_shape[1]]

    @tf.function(reduce_retracing=True)
    def endpoints(pixels):
        x = image_ops.with_channels(image_ops.to_unit(pixels), channels)
        if size != list(splits.image_shape[:2]):
            x = tf.image.resize(x, size, antialias=True)
        found = encoder.endpoints(x)
        return {name: _flat(found[name]) for name in ENDPOINTS if name in found}

    return _of_function(endpoints, splits)


def of_pixels(splits: Excerpt) -> Representation:
    """The raw pixels in [-1, 1], flattened, as the endpoint "pixels"."""
    channels = splits.image_shape[-1]

    def endpoints(pixels):
        return {"pixels": _flat(image_ops.encoder_input(image_ops.to_unit(pixels), channels))}

    return _of_function(endpoints, splits)


def _flat(x):
    return tf.reshape(tf.cast(x, tf.float32), [tf.shape(x)[0], -1])


def _of_function(endpoints: Callable, splits: Excerpt) -> Representation:
    def features(part: Part):
        kept: dict[str, np.ndarray] = {}
        for first in range(0, len(part), BATCH):
            batch = endpoints(tf.constant(part.images[first : first + BATCH]))
            for name, x in batch.items():
                if name not in kept:
                    kept[name] = np.empty((len(part), x.shape[1]), np.float32)
                kept[name][first : first + BATCH] = x.numpy()
        return kept

    return Representation(features(splits.train), features(splits.test), splits)

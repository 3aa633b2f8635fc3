"""The features of a data set's images: what every measure is built from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation.excerpt import Excerpt, Part
from dim_tf.evaluation.pooling import description, pooled
from dim_tf.evaluation.saved_encoder import SavedEncoder
from dim_tf.registry import MAX_FEATURES

ENDPOINTS = ("conv", "fc", "global")
BATCH = 256


@dataclass(frozen=True)
class Representation:
    """Features of the training and the test images, by endpoint, with their labels.

    Attributes:
        train: float32 [N, F] of each endpoint.
        test: likewise, of the test images.
        splits: the images and labels.
        pooled: by endpoint, how it was averaged over its locations, as "7x7x2048 pooled to
            2x2x2048"; of those that were.
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    splits: Excerpt
    pooled: dict[str, str] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """Its endpoints with their sizes, and which of an encoder's are missing."""
        sizes = [
            f"{name} {features.shape[1]:,}"
            + (f" ({self.pooled[name]})" if name in self.pooled else "")
            for name, features in self.train.items()
        ]
        missing = [name for name in ENDPOINTS if name not in self.train]
        told = "flattened: " + ", ".join(sizes)
        return told + (f"; missing in this encoder: {', '.join(missing)}" if missing else "")


def of_encoder(
    encoder: keras.Model, splits: Excerpt, max_features: int = MAX_FEATURES
) -> Representation:
    """The encoder's flattened endpoints conv, fc and global, those that it has.

    Args:
        encoder: whose.
        splits: the images.
        max_features: numbers of an endpoint; of more, it is averaged over its locations.

    Raises:
        InputError: an endpoint has too many numbers and cannot be averaged.
    """
    channels = encoder.image_shape[-1]

    @tf.function
    def endpoints(pixels):
        x = image_ops.encoder_input(image_ops.to_unit(pixels), channels)
        found = encoder(x, training=False)
        return {name: found[name] for name in ENDPOINTS if name in found}

    # Traced here, once: TensorFlow warns of the traces of several encoders' calls.
    images = splits.test.images
    traced = endpoints.get_concrete_function(tf.TensorSpec([None, *images.shape[1:]], images.dtype))
    return _of_function(traced, splits, max_features)


def of_saved(
    encoder: SavedEncoder, splits: Excerpt, max_features: int = MAX_FEATURES
) -> Representation:
    """The flattened endpoints conv, fc and global, those that it gives.

    Images are resized, bilinear with antialiasing, to the size that it takes.

    Args:
        encoder: whose.
        splits: the images.
        max_features: as for `of_encoder`.

    Raises:
        InputError: as `of_encoder`.
    """
    height, width, channels = encoder.image_shape
    size = [height or splits.image_shape[0], width or splits.image_shape[1]]

    @tf.function(reduce_retracing=True)
    def endpoints(pixels):
        x = image_ops.with_channels(image_ops.to_unit(pixels), channels)
        if size != list(splits.image_shape[:2]):
            x = tf.image.resize(x, size, antialias=True)
        found = encoder.endpoints(x)
        return {name: found[name] for name in ENDPOINTS if name in found}

    return _of_function(endpoints, splits, max_features)


def of_pixels(splits: Excerpt, max_features: int = MAX_FEATURES) -> Representation:
    """The raw pixels in [-1, 1], flattened, as the endpoint "pixels".

    Args:
        splits: the images.
        max_features: as for `of_encoder`.
    """
    channels = splits.image_shape[-1]

    def endpoints(pixels):
        return {"pixels": image_ops.encoder_input(image_ops.to_unit(pixels), channels)}

    return _of_function(endpoints, splits, max_features)


def _of_function(endpoints: Callable, splits: Excerpt, max_features: int) -> Representation:
    how: dict[str, str] = {}

    def features(part: Part):
        kept: dict[str, np.ndarray] = {}
        for first in range(0, len(part), BATCH):
            # Only one batch's maps are ever in memory: all of a ResNet50's would take 20 GB.
            batch = endpoints(tf.constant(part.images[first : first + BATCH]))
            for name, x in batch.items():
                rows = tf.reshape(pooled(x, max_features, name), [len(x), -1])
                if name not in kept:
                    kept[name] = np.empty((len(part), rows.shape[1]), np.float32)
                    how[name] = description(x.shape[1:], max_features, name)
                kept[name][first : first + BATCH] = rows.numpy()
        return kept

    train, test = features(splits.train), features(splits.test)
    return Representation(train, test, splits, {name: told for name, told in how.items() if told})

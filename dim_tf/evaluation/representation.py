"""The features of a data set's images, from which every measure is built."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation.array_storage import ArrayWriter
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.saved_encoder import SavedEncoder
from dim_tf.export import feature
from dim_tf.export.feature import LOCAL_POOLED
from dim_tf.export.pooling import describe_pooling, flatten_to_limit
from dim_tf.registry import MAX_FEATURES
from dim_tf.system.errors import InputError, RunError

ENDPOINTS = ("conv", "fc", "global")  # that are always measured
_ENCODED = (*ENDPOINTS, LOCAL_POOLED)  # and what may be chosen as the encoder's feature
BATCH_SIZE = 256
# Total pixels of the images that are encoded at once: larger images come in smaller batches. At
# MobileNetV2's largest layer, 256 images of 224 pixels take 1.2 GB.
BATCH_PIXELS = 256 * 64 * 64


@dataclass(frozen=True)
class Representation:
    """Features of the training and the test images, by endpoint.

    Attributes:
        train: float32 [N, F] of each endpoint; in a file that must not be changed, if the storage
            of `data` has no space in memory.
        test: The same for the test images.
        data: The images and labels.
        pooling: How an endpoint was averaged over its locations, such as "7x7x2048 pooled to
            2x2x2048"; only for endpoints that were.
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    data: EvaluationData
    pooling: dict[str, str] = field(default_factory=dict)

    def only(self, names: Collection[str]) -> "Representation":
        """The features of those of these endpoints that exist; not copied."""
        return Representation(
            {name: features for name, features in self.train.items() if name in names},
            {name: features for name, features in self.test.items() if name in names},
            self.data,
            {name: text for name, text in self.pooling.items() if name in names},
        )

    @property
    def endpoint_summary(self) -> str:
        """The endpoints with their sizes, and the endpoints that the encoder lacks."""
        sizes = [
            f"{name} {features.shape[1]:,}"
            + (f" ({self.pooling[name]})" if name in self.pooling else "")
            for name, features in self.train.items()
        ]
        missing = [name for name in ENDPOINTS if name not in self.train]
        summary = "flattened: " + ", ".join(sizes)
        return summary + (f"; missing in this encoder: {', '.join(missing)}" if missing else "")


def from_encoder(
    encoder: keras.Model, data: EvaluationData, max_features: int = MAX_FEATURES
) -> Representation:
    """The features that the encoder has: flattened conv, fc and global, and local_pooled.

    Args:
        encoder: One of our encoders.
        data: The images.
        max_features: Largest number of numbers in an endpoint; a larger one is averaged over its
            locations.

    Raises:
        InputError: An endpoint has too many numbers and cannot be averaged.
    """
    channels = encoder.image_shape[-1]

    @tf.function
    def endpoints(pixels):
        x = image_ops.encoder_input(image_ops.to_unit(pixels), channels)
        return _features_of(encoder(x, training=False))

    # Traced once, here: TensorFlow warns if the calls of several encoders are traced.
    images = data.test.images
    traced = endpoints.get_concrete_function(tf.TensorSpec([None, *images.shape[1:]], images.dtype))
    return _from_function(traced, data, max_features, images.shape[1:3])


def from_saved_encoder(
    encoder: SavedEncoder, data: EvaluationData, max_features: int = MAX_FEATURES
) -> Representation:
    """Those features of `from_encoder` that the saved encoder returns.

    Images are resized, bilinearly with antialiasing, to the size that the encoder takes.

    Args:
        encoder: An encoder loaded from a file.
        data: The images.
        max_features: As for `from_encoder`.

    Raises:
        InputError: As for `from_encoder`; or it takes images with other channels.
    """
    height, width, channels = encoder.image_shape
    size = [height or data.image_shape[0], width or data.image_shape[1]]
    if channels != data.image_shape[2] and {channels, data.image_shape[2]} != {1, 3}:
        raise InputError(
            f"{encoder.description} takes images of {channels} channels, the images have "
            f"{data.image_shape[2]}; give an encoder that takes them"
        )

    @tf.function(reduce_retracing=True)
    def endpoints(pixels):
        x = image_ops.with_channels(image_ops.to_unit(pixels), channels)
        if size != list(data.image_shape[:2]):
            x = tf.image.resize(x, size, antialias=True)
        return _features_of(encoder.endpoints(x))

    return _from_function(endpoints, data, max_features, size)


def _features_of(outputs):
    names = feature.available(outputs)
    return {name: feature.endpoint(outputs, name) for name in _ENCODED if name in names}


def from_pixels(data: EvaluationData, max_features: int = MAX_FEATURES) -> Representation:
    """The raw pixels in [-1, 1], flattened, as the endpoint "pixels".

    Args:
        data: The images.
        max_features: As for `from_encoder`.
    """
    channels = data.image_shape[-1]

    def endpoints(pixels):
        return {"pixels": image_ops.encoder_input(image_ops.to_unit(pixels), channels)}

    return _from_function(endpoints, data, max_features, data.image_shape[:2])


def _from_function(
    endpoints: Callable, data: EvaluationData, max_features: int, size: Sequence[int]
) -> Representation:
    """Encodes images in batches; `size` is their height and width in the encoder."""
    pooling: dict[str, str] = {}
    batch_size = max(min(BATCH_PIXELS // math.prod(size), BATCH_SIZE), 1)

    def features(split: EvaluationSplit):
        writers: dict[str, ArrayWriter] = {}
        for first in range(0, len(split), batch_size):
            # Only the maps of one batch are in memory at a time: all maps of a ResNet50 would take
            # 20 GB.
            batch = endpoints(tf.constant(split.images[first : first + batch_size]))
            flat = {
                name: flatten_to_limit(x, max_features, name).numpy() for name, x in batch.items()
            }
            if not writers:
                pooling.update(
                    {
                        name: describe_pooling(x.shape[1:], max_features, name)
                        for name, x in batch.items()
                    }
                )
                # The small ones first, because those are the ones that stay in memory.
                for name in sorted(flat, key=lambda name: flat[name].shape[1]):
                    shape = len(split), flat[name].shape[1]
                    writers[name] = data.storage.new(shape, np.float32)
            for name, rows in flat.items():
                if not np.isfinite(rows).all():
                    raise RunError(
                        f"the encoder's endpoint {name} has numbers that are not finite; nothing "
                        "can be measured on it"
                    )
                writers[name].append(rows)
        return {name: writers[name].finish() for name in batch}

    train, test = features(data.train), features(data.test)
    return Representation(train, test, data, {k: text for k, text in pooling.items() if text})

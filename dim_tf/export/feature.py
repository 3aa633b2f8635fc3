"""The feature of an image: one definition for measures, exports and services."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.export.pooling import flatten_to_limit, pooled_shape
from dim_tf.registry import FEATURES, MAX_FEATURES
from dim_tf.settings.export import AUTO
from dim_tf.system.errors import InputError

LOCAL_POOLED = "local_pooled"
Tensors = Mapping[str, tf.Tensor | np.ndarray]


def endpoint(outputs: Tensors, name: str) -> tf.Tensor:
    """The tensor that a feature is made from, before it is flattened: [N, H, W, C] or [N, F].

    Args:
        outputs: The encoder's endpoints.
        name: One of `available(outputs)`.
    """
    if name == LOCAL_POOLED:
        return tf.reduce_mean(tf.cast(outputs["local"], tf.float32), [1, 2])
    return tf.convert_to_tensor(outputs[name])


def available(endpoints: Collection[str]) -> tuple[str, ...]:
    """The features of an encoder with these endpoints, in the order of `FEATURES`."""
    return tuple(name for name in FEATURES if _source(name) in endpoints)


def _source(name: str) -> str:
    return "local" if name == LOCAL_POOLED else name


@dataclass(frozen=True)
class Feature:
    """One vector per image, made from an encoder's endpoints.

    It is the endpoint "global", "fc" or "conv", flattened; or "local_pooled", the mean of "local"
    over its locations. The measures use the same numbers.

        features = Feature("conv")(encoder(images))

    Attributes:
        name: One of `FEATURES`.
        max_features: Largest number of numbers in an endpoint; a larger one is averaged over its
            locations (`pooling`).
    """

    name: str = "global"
    max_features: int = MAX_FEATURES

    def __call__(self, outputs: Tensors) -> tf.Tensor:
        """The feature of each image, float32 [N, F].

        Args:
            outputs: The encoder's endpoints.
        """
        return flatten_to_limit(endpoint(outputs, self.name), self.max_features, self.name)

    def dimension(self, encoder: keras.Model) -> int:
        """F for this encoder.

        Raises:
            InputError: The encoder does not have the feature, or it cannot be averaged to a size
                that fits.
        """
        shapes = encoder.endpoint_shapes()
        check_available(self.name, available(shapes))
        shape = shapes[_source(self.name)][1:]
        if self.name == LOCAL_POOLED:
            shape = shape[-1:]
        return math.prod(pooled_shape(shape, self.max_features, self.name))

    def freeze_unused(self, encoder: keras.Model) -> None:
        """Makes those layers of an encoder untrainable on which the feature does not depend.

        Otherwise an optimizer that fine-tunes the feature would warn of weights without a gradient.
        """
        encoder.freeze_above(_source(self.name))


GLOBAL = Feature()


def check_requested(requested: str, encoder: keras.Model) -> None:
    """Checks the setting `feature` for an encoder.

    Args:
        requested: The name of a feature, or "auto".
        encoder: Built or not.

    Raises:
        InputError: The encoder does not have the feature.
    """
    if requested != AUTO:
        check_available(requested, available(encoder.endpoint_names))


def check_available(name: str, names: tuple[str, ...]) -> None:
    """Checks that an encoder has a feature.

    Args:
        name: Name of the feature.
        names: The features that the encoder has.

    Raises:
        InputError: It does not.
    """
    if name not in names:
        raise InputError(
            f"--feature={name}: this encoder has no such endpoint; give auto or one of "
            f"{', '.join(names)}"
        )

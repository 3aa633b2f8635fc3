"""Critics that are networks on one pair (Hjelm et al. 2019, section 3.2 and appendix A).

N images, L = M x M locations of a local map, G global features per image, K product samples per
global feature.
"""

import abc
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.critics.pairs import check_images, flatten_globals, shifted_negatives
from keras_models.critics.scores import PairScores
from keras_models.nn import layers


class _PairCritic(keras.Model, abc.ABC):
    """A critic that is a network on one pair, so each pair is scored separately.

    Args:
        negatives: K; 0 means 1.
    """

    def __init__(self, negatives: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.negatives = negatives or 1

    def call(self, local_features, global_features, training=False) -> PairScores:
        """Scores joint and product pairs.

        Args:
            local_features: [N, M, M, C], or S locations of the map as [N, S, 1, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals per image.
            training: Has no effect: there is no batch norm.

        Raises:
            ValueError: Fewer than two images, or fewer other images than `negatives`.
        """
        del training
        check_images(local_features)
        globals_ = flatten_globals(global_features)
        joint = tf.cast(self.pair_scores(local_features, globals_), tf.float32)
        product = [
            tf.cast(self.pair_scores(shifted, globals_), tf.float32)
            for shifted in shifted_negatives(local_features, self.negatives)
        ]
        return PairScores(joint, tf.stack(product, axis=1))

    @abc.abstractmethod
    def pair_scores(self, local_features, global_features):
        """Scores of each image's local features [N, ..., C] and globals [N, G, D]: [N, L, G]."""

    def get_config(self):
        return {"name": self.name, "negatives": self.negatives}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ConcatCritic(_PairCritic):
    """Concat-and-convolve critic (section 3.2): Y beside each local feature, then 1x1 convolutions.

    The convolutions are dense layers on the concatenated channels.

    Args:
        hidden_units: Units of each hidden layer, with ReLU; the paper's 512, 512.
        negatives: K; 0 means 1.
    """

    def __init__(self, hidden_units: Sequence[int] = (512, 512), negatives: int = 0, **kwargs):
        super().__init__(negatives, **kwargs)
        self.hidden_units = tuple(hidden_units)
        self.stack = layers.DenseStack(self.hidden_units, 1, name="stack")

    def build(self, local_shape, global_shape):
        self.stack.build((None, local_shape[-1] + global_shape[-1]))
        self.built = True

    def pair_scores(self, local_features, global_features):
        n, channels = tf.shape(local_features)[0], local_features.shape[-1]
        locals_ = tf.reshape(local_features, [n, -1, 1, channels])  # [N, L, 1, C]
        globals_ = global_features[:, tf.newaxis]  # [N, 1, G, D]
        shape = tf.stack([n, tf.shape(locals_)[1], tf.shape(globals_)[2]])
        globals_ = tf.cast(globals_, locals_.dtype)
        pairs = tf.concat(
            [
                tf.broadcast_to(locals_, tf.concat([shape, [channels]], 0)),
                tf.broadcast_to(globals_, tf.concat([shape, [globals_.shape[-1]]], 0)),
            ],
            axis=-1,
        )
        return self.stack(pairs)[..., 0]

    def get_config(self):
        return {**super().get_config(), "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class GlobalCritic(_PairCritic):
    """Critic of the whole local map and a global feature, for global mutual information; L = 1.

    With convolutions (appendix A): 3x3 to 64, ReLU, 3x3 to 32, flattened. Without (authors' code):
    the map is flattened as it is. Then concatenated with Y, dense 512, ReLU, dense 512, ReLU, 1.

    Args:
        filters: Filters of the 3x3 convolutions, without padding, ReLU between them; empty: none.
        hidden_units: Units of each hidden dense layer.
        negatives: K; 0 means 1.

    Raises:
        ValueError: When built, the map is too small for the convolutions.
    """

    def __init__(
        self,
        filters: Sequence[int] = (64, 32),
        hidden_units: Sequence[int] = (512, 512),
        negatives: int = 0,
        **kwargs,
    ):
        super().__init__(negatives, **kwargs)
        self.filters = tuple(filters)
        self.hidden_units = tuple(hidden_units)
        last = len(self.filters) - 1
        self.convs = [
            layers.Conv2D(f, 3, activation="relu" if i < last else None, name=f"conv{i}")
            for i, f in enumerate(self.filters)
        ]
        self.stack = layers.DenseStack(self.hidden_units, 1, name="stack")

    def build(self, local_shape, global_shape):
        shape = tuple(local_shape)
        least = 2 * len(self.convs) + 1
        if min(shape[1:3]) < least:
            raise ValueError(
                f"the local map is {shape[1]}x{shape[2]}; {len(self.convs)} convolutions of 3x3 "
                f"need at least {least}x{least}: take the critic without convolutions, 'dense'"
            )
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.stack.build((None, math.prod(shape[1:]) + global_shape[-1]))
        self.built = True

    def pair_scores(self, local_features, global_features):
        x = local_features
        for conv in self.convs:
            x = conv(x)
        x = tf.reshape(x, [tf.shape(x)[0], 1, math.prod(x.shape[1:])])
        globals_ = tf.cast(global_features, x.dtype)  # [N, G, D]
        maps = tf.repeat(x, tf.shape(globals_)[1], axis=1)
        return self.stack(tf.concat([maps, globals_], axis=-1))[:, tf.newaxis, :, 0]

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "hidden_units": self.hidden_units,
        }

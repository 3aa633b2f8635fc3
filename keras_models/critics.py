"""Critics T: they score pairs of a local and a global feature (Hjelm et al. 2019, appendix A).

N images, L = M x M locations of a local map, G global features of an image, U units,
R replicas with N images each, K product samples of each global feature.

Whose local features an image's globals are paired with in the product samples: with `negatives` =
K, those of the K images that follow in the batch, which is in random order (the last are followed
by the first, on replicas by the next replica's); the dot-product critic can take all others.
"""

import abc
import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_models import layers, replicas


class PairScores(NamedTuple):
    """The critic's scores; all that an estimator sees.

    Attributes:
        joint: float32 [N, L, G]; joint[n, l, g] = T(local l of image n, global g of image n),
            samples of the joint distribution.
        product: float32 [N, K, L, G]; product[n, k, l, g] = T(local l of the k-th other image,
            global g of image n), samples of the product of the marginals.
        foreign: None on one device and for sampled negatives; else float32 [(R-1)N, N, L, G], the
            product samples that pair the globals of the other replicas' images (cyclically, from
            the next replica on) with this replica's local features.
    """

    joint: tf.Tensor
    product: tf.Tensor
    foreign: tf.Tensor | None = None

    def mean_product(self) -> tf.Tensor:
        """The mean of all product scores, those of other replicas' globals too."""
        blocks = [self.product] if self.foreign is None else [self.product, self.foreign]
        total = tf.add_n([tf.reduce_sum(block) for block in blocks])
        return total / tf.cast(tf.add_n([tf.size(block) for block in blocks]), tf.float32)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class NoisyIdentity(keras.initializers.Initializer):
    """Kernel [inputs, units] of a shortcut: uniform in ±0.01, with ones on the diagonal.

    Where there are fewer units than inputs no identity fits, and it is that of any dense layer.
    """

    def __call__(self, shape, dtype=None):
        if shape[1] < shape[0]:
            return layers.fan_in_kernel()(shape, dtype)
        noise = keras.initializers.RandomUniform(-0.01, 0.01)(shape, dtype)
        diagonal = tf.eye(shape[0], shape[1], dtype=noise.dtype)
        return tf.where(diagonal > 0, diagonal, noise)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Projection(keras.layers.Layer):
    """One side of the encode-and-dot-product critic (Hjelm et al. 2019, appendix A).

    [dense U without bias -> batch norm -> ReLU -> dense U] + a linear shortcut without bias, then
    layer norm over U. A 1x1 convolution is a dense layer on the channels, so one class serves
    local maps and global features.

    Args:
        units: U.
        layer_norm: whether there is a layer norm.
        synchronized: whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, units: int, layer_norm: bool = True, synchronized: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.layer_norm = layer_norm
        self.synchronized = synchronized
        self.hidden = layers.Dense(units, use_bias=False, name="hidden")
        self.hidden_norm = layers.batch_norm(synchronized, "hidden_norm")
        self.out = layers.Dense(units, name="out")
        self.shortcut = layers.Dense(
            units, kernel_initializer=NoisyIdentity(), use_bias=False, name="shortcut"
        )
        self.norm = layers.layer_norm("norm") if layer_norm else None

    def build(self, input_shape):
        hidden_shape = (*input_shape[:-1], self.units)
        self.hidden.build(input_shape)
        self.hidden_norm.build(hidden_shape)
        self.out.build(hidden_shape)
        self.shortcut.build(input_shape)
        if self.norm:
            self.norm.build(hidden_shape)
        self.built = True

    def call(self, features, training=False):
        """[..., C] -> [..., U]."""
        hidden = tf.nn.relu(self.hidden_norm(self.hidden(features), training=training))
        codes = self.out(hidden) + self.shortcut(features)
        return self.norm(codes) if self.norm else codes

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "layer_norm": self.layer_norm,
            "synchronized": self.synchronized,
        }


def all_dot_products(local_codes: tf.Tensor, global_codes: tf.Tensor) -> tf.Tensor:
    """Every local code with every global code, as one matrix product.

    Args:
        local_codes: float32 [m, L, U].
        global_codes: float32 [n, G, U].

    Returns:
        float32 [n, m, L, G].
    """
    m, locations, units = tf.unstack(tf.shape(local_codes))
    n, globals_ = tf.unstack(tf.shape(global_codes)[:2])
    scores = tf.matmul(
        tf.reshape(global_codes, [-1, units]),
        tf.reshape(local_codes, [-1, units]),
        transpose_b=True,
    )  # [n·G, m·L]
    if global_codes.shape[1] == 1:  # the usual case needs no copy
        return tf.reshape(scores, [n, m, locations, 1])
    scores = tf.reshape(scores, [n, globals_, m, locations])
    return tf.transpose(scores, [0, 2, 3, 1])


def without_own(scores: tf.Tensor) -> tf.Tensor:
    """Drops the pairs of an image with itself: [N, N, ...] -> [N, N-1, ...].

    The diagonal of a row-major N x N matrix stands at every (N+1)-th place: without the first
    entry, rows of N+1 all end with it. So no score has to be masked.
    """
    n = tf.shape(scores)[0]
    rest = tf.shape(scores)[2:]
    flat = tf.reshape(scores, tf.concat([[n * n], rest], 0))
    rows = tf.reshape(flat[1:], tf.concat([[n - 1, n + 1], rest], 0))
    return tf.reshape(rows[:, :-1], tf.concat([[n, n - 1], rest], 0))


def following(features: tf.Tensor, count: int) -> list[tf.Tensor]:
    """The features of the images that follow each image in the global batch.

    Args:
        features: [N, ...] of this replica's images.
        count: K, less than all replicas' images and at most N.

    Returns:
        K tensors [N, ...]; row n of the k-th, from 0, is of the (n + k + 1)-th image of the global
        batch, from this replica's first; after the last comes the first.

    Raises:
        ValueError: there are not as many images.
    """
    n, everywhere = features.shape[0], replicas.count()
    if n is not None and not 1 <= count <= min(n, n * everywhere - 1):
        raise ValueError(
            f"each image is to be paired with {count} others (--negatives); with {n} images on "
            f"each of {everywhere} replicas, give at most {min(n, n * everywhere - 1)}"
        )
    after = replicas.stack(features[:count])[(replicas.index() + 1) % everywhere]
    row = tf.concat([features, after], 0)
    rows = tf.shape(features)[0]
    return [row[k + 1 : k + 1 + rows] for k in range(count)]


def flat_globals(global_features: tf.Tensor) -> tf.Tensor:
    """[N, D] or [N, g, g, D] -> [N, G, D] with G = 1 or g·g."""
    return tf.reshape(
        global_features, [tf.shape(global_features)[0], -1, global_features.shape[-1]]
    )


def _check_images(local_features):
    n = local_features.shape[0]
    if n is not None and n < 2:
        raise ValueError(f"product samples need at least 2 images on a replica, got {n}")


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DotProductCritic(keras.Model):
    """Encode-and-dot-product critic (Hjelm et al. 2019, section 3.2 and appendix A).

    Local and global features each go through a `Projection`; the score is the dot product.

    Args:
        units: U, the paper's 2048.
        layer_norm: whether each code passes a layer norm.
        negatives: K; 0: all other images of the batch, on all replicas.
        whole_map: whether the local map is scored as a whole, as one feature of M·M·C numbers:
            the critic of global mutual information. L is then 1.
        synchronized: whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self,
        units: int = 2048,
        layer_norm: bool = True,
        negatives: int = 0,
        whole_map: bool = False,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.layer_norm = layer_norm
        self.negatives = negatives
        self.whole_map = whole_map
        self.synchronized = synchronized
        self.project_local = Projection(units, layer_norm, synchronized, name="local")
        self.project_global = Projection(units, layer_norm, synchronized, name="global")

    def build(self, local_shape, global_shape):
        if self.whole_map:
            local_shape = (local_shape[0], math.prod(local_shape[1:]))
        self.project_local.build(local_shape)
        self.project_global.build(global_shape)
        self.built = True

    def call(self, local_features, global_features, training=False) -> PairScores:
        """Scores joint and product pairs.

        Args:
            local_features: [N, M, M, C], or S places of the map as [N, S, 1, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals an image.
            training: whether batch norm uses the batch's statistics.

        Raises:
            ValueError: fewer than two images, or not as many others as `negatives`.
        """
        _check_images(local_features)
        if self.whole_map:
            size = math.prod(local_features.shape[1:])
            local_features = tf.reshape(local_features, [-1, size])
        local_codes = self._codes(self.project_local(local_features, training=training))
        global_codes = self._codes(self.project_global(global_features, training=training))
        joint = _dot_products(local_codes, global_codes)
        if self.negatives:
            others = following(local_codes, self.negatives)
            product = tf.stack([_dot_products(codes, global_codes) for codes in others], axis=1)
            return PairScores(joint, product)
        own_images = all_dot_products(local_codes, global_codes)
        return PairScores(
            joint, without_own(own_images), self._foreign_scores(local_codes, global_codes)
        )

    def _foreign_scores(self, local_codes, global_codes):
        if replicas.count() == 1:
            return None
        everywhere = replicas.stack(global_codes)  # [R, N, G, U]
        mine_first = tf.roll(everywhere, -replicas.index(), axis=0)
        foreign = tf.reshape(mine_first[1:], tf.concat([[-1], tf.shape(global_codes)[1:]], 0))
        return all_dot_products(local_codes, foreign)

    def _codes(self, projected):
        """[N, U] or [N, M, M, U] -> float32 [N, 1 or M·M, U]."""
        places = math.prod(projected.shape[1:-1])
        return tf.cast(tf.reshape(projected, [-1, places, self.units]), tf.float32)

    def get_config(self):
        return {
            "name": self.name,
            "units": self.units,
            "layer_norm": self.layer_norm,
            "negatives": self.negatives,
            "whole_map": self.whole_map,
            "synchronized": self.synchronized,
        }


def _dot_products(local_codes, global_codes):
    """Of each image's codes: [N, L, U], [N, G, U] -> [N, L, G]."""
    return tf.matmul(local_codes, global_codes, transpose_b=True)


class _PairCritic(keras.Model, abc.ABC):
    """A critic that is a network on one pair: it scores each pair by itself.

    Args:
        negatives: K; 0: 1.
    """

    def __init__(self, negatives: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.negatives = negatives or 1

    def call(self, local_features, global_features, training=False) -> PairScores:
        """Scores joint and product pairs.

        Args:
            local_features: [N, M, M, C], or S places of the map as [N, S, 1, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals an image.
            training: of no effect, there is no batch norm.

        Raises:
            ValueError: fewer than two images, or not as many others as `negatives`.
        """
        del training
        _check_images(local_features)
        ours = flat_globals(global_features)
        joint = tf.cast(self.pair_scores(local_features, ours), tf.float32)
        product = [
            tf.cast(self.pair_scores(others, ours), tf.float32)
            for others in following(local_features, self.negatives)
        ]
        return PairScores(joint, tf.stack(product, axis=1))

    @abc.abstractmethod
    def pair_scores(self, local_features, global_features):
        """Row by row: local features [N, ..., C] and globals [N, G, D] -> [N, L, G]."""

    def get_config(self):
        return {"name": self.name, "negatives": self.negatives}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ConcatCritic(_PairCritic):
    """Concat-and-convolve critic (section 3.2): Y beside each local feature, then 1x1 convolutions.

    The convolutions are dense layers on the concatenated channels.

    Args:
        hidden_units: of each hidden layer, with ReLU; the paper's 512, 512.
        negatives: K; 0: 1.
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
        places = tf.reshape(local_features, [n, -1, 1, channels])  # [N, L, 1, C]
        ours = global_features[:, tf.newaxis]  # [N, 1, G, D]
        shape = tf.stack([n, tf.shape(places)[1], tf.shape(ours)[2]])
        ours = tf.cast(ours, places.dtype)
        pairs = tf.concat(
            [
                tf.broadcast_to(places, tf.concat([shape, [channels]], 0)),
                tf.broadcast_to(ours, tf.concat([shape, [ours.shape[-1]]], 0)),
            ],
            axis=-1,
        )
        return self.stack(pairs)[..., 0]

    def get_config(self):
        return {**super().get_config(), "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class GlobalCritic(_PairCritic):
    """Critic of the whole local map and a global feature, for global mutual information; L = 1.

    With convolutions (appendix A): 3x3 to 64, ReLU, 3x3 to 32, flattened; without (authors' code):
    the map flattened as it is. Then concatenated with Y, dense 512, ReLU, dense 512, ReLU, 1.

    Args:
        filters: of the 3x3 convolutions, without padding, ReLU between them; none: no convolution.
        hidden_units: of each hidden dense layer.
        negatives: K; 0: 1.

    Raises:
        ValueError: when built on a map too small for its convolutions.
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
        ours = tf.cast(global_features, x.dtype)  # [N, G, D]
        maps = tf.repeat(x, tf.shape(ours)[1], axis=1)
        return self.stack(tf.concat([maps, ours], axis=-1))[:, tf.newaxis, :, 0]

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "hidden_units": self.hidden_units,
        }


_CRITICS: dict[str, Callable[..., keras.Model]] = {
    "dot": DotProductCritic,
    "concat": ConcatCritic,
    "conv": GlobalCritic,
    "dense": functools.partial(GlobalCritic, filters=()),
}
LOCAL_NAMES = ("dot", "concat")
GLOBAL_NAMES = ("conv", "dense", "dot")


def get(name: str, /, **arguments) -> keras.Model:
    """Makes the critic of that name: `critics.get("dot", units=512)`.

    Args:
        name: of `LOCAL_NAMES`, critics of single places, or of `GLOBAL_NAMES`, critics of whole
            maps ("dot" is one with `whole_map=True`).
        **arguments: of its constructor.

    Raises:
        ValueError: unknown name.
    """
    if name not in _CRITICS:
        raise ValueError(f"unknown critic {name!r}; expected one of {', '.join(_CRITICS)}")
    return _CRITICS[name](**{"name": "critic", **arguments})

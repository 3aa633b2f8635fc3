"""Critics T: they score pairs of a local and a global feature.

N images, L = M x M locations of a local map, G global features of an image, U units,
R replicas with N images each.
"""

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
        foreign: None on one device; else float32 [(R-1)N, N, L, G], the product samples that
            pair the globals of the other replicas' images (cyclically, from the next replica on)
            with this replica's local features.
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
        synchronized: whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, units: int, synchronized: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.synchronized = synchronized
        self.hidden = layers.Dense(units, use_bias=False, name="hidden")
        self.hidden_norm = layers.batch_norm(synchronized, "hidden_norm")
        self.out = layers.Dense(units, name="out")
        self.shortcut = layers.Dense(
            units, kernel_initializer=NoisyIdentity(), use_bias=False, name="shortcut"
        )
        self.norm = layers.layer_norm("norm")

    def build(self, input_shape):
        hidden_shape = (*input_shape[:-1], self.units)
        self.hidden.build(input_shape)
        self.hidden_norm.build(hidden_shape)
        self.out.build(hidden_shape)
        self.shortcut.build(input_shape)
        self.norm.build(hidden_shape)
        self.built = True

    def call(self, features, training=False):
        """[..., C] -> [..., U]."""
        hidden = tf.nn.relu(self.hidden_norm(self.hidden(features), training=training))
        return self.norm(self.out(hidden) + self.shortcut(features))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
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


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DotProductCritic(keras.Model):
    """Encode-and-dot-product critic (Hjelm et al. 2019, section 3.2 and appendix A).

    Local and global features each go through a `Projection`; the score is the dot product.
    Product samples are all pairs of a global with the local features of all other images, on all
    replicas.

    Args:
        units: U, the paper's 2048.
        synchronized: whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, units: int = 2048, synchronized: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.synchronized = synchronized
        self.project_local = Projection(units, synchronized, name="local")
        self.project_global = Projection(units, synchronized, name="global")

    def build(self, local_shape, global_shape):
        self.project_local.build(local_shape)
        self.project_global.build(global_shape)
        self.built = True

    def call(self, local_features, global_features, training=False) -> PairScores:
        """Scores joint and product pairs.

        Args:
            local_features: [N, M, M, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals an image.
            training: whether batch norm uses the batch's statistics.

        Raises:
            ValueError: fewer than two images, so that there is no other image.
        """
        n = local_features.shape[0]
        if n is not None and n < 2:
            raise ValueError(f"product samples need at least 2 images on a replica, got {n}")
        local_codes = self._codes(self.project_local(local_features, training=training))
        global_codes = self._codes(self.project_global(global_features, training=training))
        joint = tf.einsum("nlu,ngu->nlg", local_codes, global_codes)
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
        codes = tf.reshape(projected, [tf.shape(projected)[0], -1, self.units])
        return tf.cast(codes, tf.float32)

    def get_config(self):
        return {"name": self.name, "units": self.units, "synchronized": self.synchronized}


def get(name: str, /, **arguments) -> DotProductCritic:
    """Makes the critic of that name: `critics.get("dot", units=512)`.

    Raises:
        ValueError: unknown name.
    """
    if name != "dot":
        raise ValueError(f"unknown critic {name!r}; expected dot")
    return DotProductCritic(**arguments)

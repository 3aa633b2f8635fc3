"""The encode-and-dot-product critic as the paper has it (Hjelm et al. 2019, appendix A).

N images, L = M x M locations of a local map, G global features per image, C channels, U units, K
product samples. https://arxiv.org/abs/1808.06670

It is written layer by layer and score by score, to be read beside the paper. `fast.py` computes the
same numbers with less work; a test compares the two.
"""

import math

import keras
import tensorflow as tf

from keras_models.critics.pairs import check_images, flatten_globals, shifted_negatives
from keras_models.critics.scores import (
    ChunkedScores,
    PairScores,
    all_dot_products,
    drop_positives,
)
from keras_models.distribute import replicas
from keras_models.nn import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class NoisyIdentity(keras.initializers.Initializer):
    """Kernel [inputs, units] of a shortcut: uniform in ±0.01, with ones on the diagonal.

    With fewer units than inputs no identity fits; the kernel is then that of any other dense layer.
    """

    def __call__(self, shape, dtype=None):
        if shape[1] < shape[0]:
            return layers.fan_in_kernel()(shape, dtype)
        noise = keras.initializers.RandomUniform(-0.01, 0.01)(shape, dtype)
        diagonal = tf.eye(shape[0], shape[1], dtype=noise.dtype)
        return tf.where(diagonal > 0, diagonal, noise)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Projection(keras.layers.Layer):
    """One side of the critic: features -> codes, whose dot products are the scores.

    [dense U without bias -> batch norm -> ReLU -> dense U] + a linear shortcut without bias, then
    layer norm over U. A 1x1 convolution is a dense layer on the channels, so one class serves
    local maps and global features.

    Args:
        units: U.
        layer_norm: Whether there is a layer norm.
        synchronized: Whether batch norm takes its statistics over all replicas.
        affine: Whether the layer norm has a learned scale and offset.
    """

    BATCH_NORM = keras.layers.BatchNormalization

    def __init__(
        self,
        units: int,
        layer_norm: bool = True,
        synchronized: bool = False,
        affine: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.layer_norm = layer_norm
        self.affine = affine
        self.synchronized = synchronized
        self.hidden = layers.Dense(units, use_bias=False, name="hidden")
        self.hidden_norm = self.BATCH_NORM(
            momentum=layers.BATCH_NORM_MOMENTUM,
            epsilon=layers.NORM_EPSILON,
            synchronized=synchronized,
            name="hidden_norm",
        )
        self.out = layers.Dense(units, name="out")
        self.shortcut = layers.Dense(
            units, kernel_initializer=NoisyIdentity(), use_bias=False, name="shortcut"
        )
        self.norm: keras.layers.LayerNormalization | None = None
        if layer_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=layers.NORM_EPSILON,
                center=affine,
                scale=affine,
                dtype=self.variable_dtype,  # codes are float32 in mixed precision
                name="norm",
            )

    def build(self, input_shape):
        hidden_shape = (None, self.units)
        self.hidden.build(input_shape)
        self.hidden_norm.build(hidden_shape)
        self.out.build(hidden_shape)
        self.shortcut.build(input_shape)
        if self.norm:
            self.norm.build(hidden_shape)
        self.built = True

    def call(self, features, training=False):
        """[..., C] -> codes [..., U], float32 (float64 under that policy)."""
        rows = tf.reshape(tf.cast(features, self.compute_dtype), [-1, features.shape[-1]])
        hidden = tf.nn.relu(self.hidden_norm(self.hidden(rows), training=training))
        codes = tf.cast(self.out(hidden) + self.shortcut(rows), self.variable_dtype)
        if self.norm:
            codes = self.norm(codes)
        return tf.reshape(codes, tf.concat([tf.shape(features)[:-1], [self.units]], 0))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "layer_norm": self.layer_norm,
            "affine": self.affine,
            "synchronized": self.synchronized,
        }


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DotProductCritic(keras.Model):
    """Encode-and-dot-product critic (Hjelm et al. 2019, section 3.2 and appendix A).

    Local and global features each go through a `Projection`; the score is the dot product. With a
    temperature τ, the score is the correlation of the two codes over their units, divided by τ, so
    it lies between -1/τ and 1/τ, like SimCLR's cosine (Chen et al. 2020, section 2.1). Without a
    temperature, the scale of the layer norms is learned and starts at τ = 1/U.

    Args:
        units: U, the paper's 2048.
        layer_norm: Whether each code passes a layer norm.
        negatives: K; 0: all other images of the batch, on all replicas.
        whole_map: Whether the local map is scored as a whole, as one feature of M·M·C numbers: the
            critic of global mutual information. L is then 1.
        synchronized: Whether batch norm takes its statistics over all replicas.
        temperature: τ; 0: none.

    Raises:
        ValueError: A negative temperature, or a temperature without layer norm.
    """

    PROJECTION: type[Projection] = Projection

    def __init__(
        self,
        units: int = 2048,
        layer_norm: bool = True,
        negatives: int = 0,
        whole_map: bool = False,
        synchronized: bool = False,
        temperature: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not temperature >= 0:
            raise ValueError(f"temperature {temperature:g}; expected a positive one, or 0 for none")
        if temperature and not layer_norm:
            raise ValueError(
                f"temperature {temperature:g} without layer norm, and a correlation has one; take "
                "layer_norm=True or temperature=0"
            )
        self.units = units
        self.layer_norm = layer_norm
        self.temperature = temperature
        self.negatives = negatives
        self.whole_map = whole_map
        self.synchronized = synchronized
        self.project_local, self.project_global = (
            self.PROJECTION(units, layer_norm, synchronized, affine=not temperature, name=name)
            for name in ("local", "global")
        )

    def build(self, local_shape, global_shape):
        if self.whole_map:
            local_shape = (local_shape[0], math.prod(local_shape[1:]))
        self.project_local.build(local_shape)
        self.project_global.build(global_shape)
        self.built = True

    def call(self, local_features, global_features, training=False) -> PairScores | ChunkedScores:
        """Scores joint and product pairs, all at once (`fast.py` also in chunks).

        Args:
            local_features: [N, M, M, C], or S locations of the map as [N, S, 1, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals per image.
            training: Whether batch norm uses the batch's statistics.

        Raises:
            ValueError: Fewer than two images, or fewer other images than `negatives`.
        """
        local_codes = self.project_local(self.locations(local_features), training=training)
        global_codes = self.global_codes(global_features, training)
        joint = tf.einsum("nlu,ngu->nlg", local_codes, global_codes)
        if self.negatives:
            shifted = tf.stack(shifted_negatives(local_codes, self.negatives), axis=1)
            return PairScores(joint, tf.einsum("nklu,ngu->nklg", shifted, global_codes))
        product = drop_positives(all_dot_products(local_codes, global_codes))
        if replicas.count() == 1:
            return PairScores(joint, product)
        cross_replica_codes = replicas.gather_other_replicas(global_codes)
        return PairScores(joint, product, all_dot_products(local_codes, cross_replica_codes))

    def locations(self, local_features):
        """[N, M, M, C] -> [N, L, C], or with `whole_map` [N, 1, M·M·C]."""
        check_images(local_features)
        shape = local_features.shape[1:]
        per_image = (1, math.prod(shape)) if self.whole_map else (math.prod(shape[:-1]), shape[-1])
        return tf.reshape(local_features, [-1, *per_image])

    def global_codes(self, global_features, training):
        """[N, D] or [N, g, g, D] -> [N, G, U], divided by U·τ if there is a temperature τ."""
        codes = self.project_global(flatten_globals(global_features), training=training)
        return codes / (self.units * self.temperature) if self.temperature else codes

    def get_config(self):
        return {
            "name": self.name,
            "units": self.units,
            "layer_norm": self.layer_norm,
            "temperature": self.temperature,
            "negatives": self.negatives,
            "whole_map": self.whole_map,
            "synchronized": self.synchronized,
        }

"""The encode-and-dot-product critic (Hjelm et al. 2019, section 3.2 and appendix A).

N images, L = M x M locations of a local map, G global features of an image, C channels, U units.
"""

import math

import keras
import tensorflow as tf

from keras_models import layers, replicas
from keras_models.critics.pairs import check_images, flat_globals, following
from keras_models.critics.scores import (
    Anchors,
    ChunkedScores,
    PairScores,
    Places,
    all_scores,
    own_scores,
    without_own,
)

MAX_SCORES = 2**24  # at once, in 64 MiB


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

    What is linear is not computed for every place: batch norm becomes part of the first dense
    layer (`layers.BatchNormalization.folded`), the mean over U that layer norm takes off is taken
    off the kernels, and its scale is left to the scores. The numbers are those of the layers one
    after the other, up to rounding.

    Args:
        units: U.
        layer_norm: whether there is a layer norm.
        synchronized: whether batch norm takes its statistics over all replicas.
        affine: whether the layer norm has a learned scale and offset.
    """

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
        self.hidden_norm = layers.batch_norm(synchronized, "hidden_norm")
        self.out = layers.Dense(units, name="out")
        self.shortcut = layers.Dense(
            units, kernel_initializer=NoisyIdentity(), use_bias=False, name="shortcut"
        )
        self.norm = layers.layer_norm("norm") if layer_norm and affine else None

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
        """[..., C] -> float32 codes [..., U]."""
        features = tf.cast(features, self.compute_dtype)
        codes = self._linear(features, self._hidden(features, training))
        if self.layer_norm:
            codes *= self._scale(codes)[..., tf.newaxis]
        if self.norm:
            codes = codes * tf.cast(self.norm.gamma, tf.float32)
            codes += tf.cast(self.norm.beta, tf.float32)
        return codes

    def places(self, features, training=False) -> Places:
        """The side of a score that has many places: [N, L, C] -> what `anchors` is scored with."""
        features = tf.cast(features, self.compute_dtype)
        hidden = self._hidden(features, training)
        if self.layer_norm:
            codes = self._linear(features, hidden)
            return Places((codes,), self._scale(codes))
        # Without layer norm all that comes after the ReLU is linear: it acts on the anchors.
        return Places((tf.cast(hidden, tf.float32), tf.cast(features, tf.float32)), None)

    def anchors(self, codes) -> Anchors:
        """The other side: float32 codes [N, G, U], whose dot products with ours are the scores."""
        if self.norm:
            part = codes * tf.cast(self.norm.gamma, tf.float32)
            offset = tf.linalg.matvec(codes, tf.cast(self.norm.beta, tf.float32))
            return Anchors((part,), offset)
        if self.layer_norm:
            return Anchors((codes,), None)
        kernels = (self.out.kernel, self.shortcut.kernel)
        parts = [tf.matmul(codes, tf.cast(k, tf.float32), transpose_b=True) for k in kernels]
        return Anchors(tuple(parts), tf.linalg.matvec(codes, tf.cast(self.out.bias, tf.float32)))

    def _hidden(self, features, training):
        """[..., C] -> [..., U] after batch norm and ReLU."""
        if features.shape[-1] <= self.units:  # else folding would cost more than it saves
            kernel, bias = self.hidden_norm.folded(features, self.hidden.kernel, training)
            return tf.nn.relu(_dense(features, kernel, bias))
        hidden = _dense(features, self.hidden.kernel)
        rows = self.hidden_norm(tf.reshape(hidden, [-1, self.units]), training=training)
        return tf.nn.relu(tf.reshape(rows, tf.shape(hidden)))

    def _linear(self, features, hidden):
        """The codes before layer norm, float32 [..., U]; with layer norm, less their mean."""
        kernel, shortcut, bias = (
            tf.cast(x, tf.float32) for x in (self.out.kernel, self.shortcut.kernel, self.out.bias)
        )
        if self.layer_norm:
            kernel, shortcut, bias = (
                x - tf.reduce_mean(x, axis=-1, keepdims=True) for x in (kernel, shortcut, bias)
            )
        codes = _dense(hidden, kernel, bias) + _dense(features, shortcut)
        return tf.cast(codes, tf.float32)

    def _scale(self, centred):
        """One over the standard deviation over U, of codes whose mean is 0."""
        variance = layers.sum_of_squares(centred) / self.units
        return tf.math.rsqrt(variance + layers.NORM_EPSILON)

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


def _dense(x, kernel, bias=None):
    """[..., F] by float32 [F, U] in the precision of x; one matrix product of all rows."""
    rows = tf.reshape(x, [-1, x.shape[-1]])
    out = tf.matmul(rows, tf.cast(kernel, x.dtype))
    if bias is not None:
        out = tf.nn.bias_add(out, tf.cast(bias, x.dtype))
    return tf.reshape(out, tf.concat([tf.shape(x)[:-1], [kernel.shape[-1]]], 0))


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DotProductCritic(keras.Model):
    """Encode-and-dot-product critic (Hjelm et al. 2019, section 3.2 and appendix A).

    Local and global features each go through a `Projection`; the score is the dot product. At a
    temperature τ it is the correlation of the two codes over their units, over τ: what SimCLR's
    cosine is (Chen et al. 2020, section 2.1), between -1/τ and 1/τ. Without, the layer norms' scale
    is learned, and begins at τ = 1/U.

    Args:
        units: U, the paper's 2048.
        layer_norm: whether each code passes a layer norm.
        negatives: K; 0: all other images of the batch, on all replicas.
        whole_map: whether the local map is scored as a whole, as one feature of M·M·C numbers:
            the critic of global mutual information. L is then 1.
        chunk: images whose globals are scored at once, with all places of the batch; the backward
            pass scores them again, so that memory does not grow with the square of the batch. 0:
            as many as give `MAX_SCORES` scores, and no chunks where all images give no more.
        synchronized: whether batch norm takes its statistics over all replicas.
        temperature: τ; 0: none.

    Raises:
        ValueError: a negative temperature, or one without layer norm.
    """

    def __init__(
        self,
        units: int = 2048,
        layer_norm: bool = True,
        negatives: int = 0,
        whole_map: bool = False,
        chunk: int = 0,
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
        self.chunk = chunk
        self.synchronized = synchronized
        self.project_local, self.project_global = (
            Projection(units, layer_norm, synchronized, affine=not temperature, name=name)
            for name in ("local", "global")
        )

    def build(self, local_shape, global_shape):
        if self.whole_map:
            local_shape = (local_shape[0], math.prod(local_shape[1:]))
        self.project_local.build(local_shape)
        self.project_global.build(global_shape)
        self.built = True

    def call(self, local_features, global_features, training=False) -> PairScores | ChunkedScores:
        """Scores joint and product pairs.

        Args:
            local_features: [N, M, M, C], or S places of the map as [N, S, 1, C].
            global_features: [N, D], or [N, g, g, D] for G = g x g globals an image.
            training: whether batch norm uses the batch's statistics.

        Raises:
            ValueError: fewer than two images, or not as many others as `negatives`.
        """
        check_images(local_features)
        shape = local_features.shape[1:]
        per_image = (1, math.prod(shape)) if self.whole_map else (math.prod(shape[:-1]), shape[-1])
        local_rows = tf.reshape(local_features, [-1, *per_image])
        places = self.project_local.places(local_rows, training)
        codes = self.project_global(flat_globals(global_features), training=training)
        if self.temperature:
            codes /= self.units * self.temperature
        anchors = self.project_local.anchors(codes)
        joint = own_scores(places, anchors)
        if self.negatives:
            return PairScores(joint, self._sampled_scores(places, anchors))
        foreign = self._foreign_anchors(anchors)
        chunk = self.chunk or _largest_chunk(joint.shape)
        if chunk:
            return ChunkedScores(joint, places, anchors, foreign, chunk)
        return PairScores(
            joint,
            without_own(all_scores(places, anchors)),
            None if foreign is None else all_scores(places, foreign),
        )

    def _sampled_scores(self, places, anchors):
        """With the places of the `negatives` images that follow: [N, K, L, G]."""
        shifted = [following(part, self.negatives) for part in places.parts]
        scales = [None] * self.negatives
        if places.scale is not None:
            scales = following(places.scale, self.negatives)
        product = [
            own_scores(Places(tuple(parts), scale), anchors)
            for *parts, scale in zip(*shifted, scales, strict=True)
        ]
        return tf.stack(product, axis=1)

    def _foreign_anchors(self, anchors):
        """Those of the other replicas' images, from the next replica on; None on one device."""
        if replicas.count() == 1:
            return None

        def foreign(mine):
            if mine is None:
                return None
            everywhere = tf.roll(replicas.stack(mine), -replicas.index(), axis=0)  # [R, N, ...]
            return tf.reshape(everywhere[1:], tf.concat([[-1], tf.shape(mine)[1:]], 0))

        return tf.nest.map_structure(foreign, anchors)

    def get_config(self):
        return {
            "name": self.name,
            "units": self.units,
            "layer_norm": self.layer_norm,
            "temperature": self.temperature,
            "negatives": self.negatives,
            "whole_map": self.whole_map,
            "chunk": self.chunk,
            "synchronized": self.synchronized,
        }


def _largest_chunk(shape) -> int:
    """Images a chunk, so that their scores with all N·L places are few enough; 0: no need.

    Args:
        shape: (N, L, G) of this replica.
    """
    n, locations, globals_ = shape
    if n is None or replicas.count() * n * n * locations * globals_ <= MAX_SCORES:
        return 0
    return max(MAX_SCORES // (n * locations * globals_), 1)

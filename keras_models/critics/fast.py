"""The critic of `reference.py`, the same numbers with less work.

Nearly all of a step's arithmetic is matrix products of the codes of all N·L locations. What is
linear is taken away from those and given to the few global features, or to the scores:

1. Batch norm folds into the dense layer before it. With y = xW, batch norm gives (y - μ)·s + β,
   where s = γ / √(σ² + ε). The statistics of y follow from those of x: μ = E[x]W and
   σ² = diag(Wᵀ Cov[x] W). So γ-scaled kernel W·s and bias β - μs give the same, and nothing of
   [N·L, U] is read to find them.
2. Layer norm's mean goes into the kernels. The mean over U of hW₂ + xS + b is h·mean(W₂) + …, so
   kernels and bias less their mean over U give centred codes c.
3. Layer norm's scale stays with the scores. It is one number r = 1/√(mean c² + ε) a location, and
   ⟨r·c·γ + β, g⟩ = r·⟨c, γg⟩ + ⟨β, g⟩: γ and β act on the globals g, r on the scores.
4. Without layer norm all behind the ReLU is linear: ⟨hW₂ + xS + b, g⟩ = ⟨h, W₂g⟩ + ⟨x, Sg⟩ +
   ⟨b, g⟩. No location meets a U x U product.
5. Scores that would not fit into memory are made a chunk at a time, and again in the backward pass
   (`scores.ChunkedScores`).

benchmarks/critics.py measures it against the reference; docs/PERFORMANCE.md has the figures.
"""

import keras
import tensorflow as tf

from keras_models.critics import reference
from keras_models.critics.pairs import following
from keras_models.critics.scores import (
    Anchors,
    ChunkedScores,
    PairScores,
    Places,
    all_scores,
    own_scores,
    without_own,
)
from keras_models.distribute import replicas
from keras_models.nn import kernels, layers

MAX_SCORES = 2**24  # at once, in 64 MiB


@keras.saving.register_keras_serializable(layers.PACKAGE)
class FastProjection(reference.Projection):
    """`reference.Projection` with batch norm folded and what is linear left to the scores."""

    BATCH_NORM = kernels.FusedBatchNormalization

    def call(self, features, training=False):
        """[..., C] -> float32 codes [..., U]."""
        features = tf.cast(features, self.compute_dtype)
        codes = self._linear(features, self._hidden(features, training))
        if self.layer_norm:
            codes *= self._scale(codes)[..., tf.newaxis]
        if self.norm and self.affine:
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
        if self.norm and self.affine:
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
            kernel, bias = folded(self.hidden_norm, features, self.hidden.kernel, training)
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
        variance = kernels.sum_of_squares(centred) / self.units
        return tf.math.rsqrt(variance + layers.NORM_EPSILON)


def folded(
    norm: keras.layers.BatchNormalization, inputs: tf.Tensor, kernel: tf.Tensor, training: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """A dense layer without bias and the batch norm after it, as one dense layer.

    Args:
        norm: the batch norm, over the last axis.
        inputs: of the dense layer, [..., C].
        kernel: of the dense layer, [C, U].
        training: whether the statistics are the batch's, which move the norm's moving ones.

    Returns:
        float32 kernel [C, U] and bias [U].
    """
    kernel = tf.cast(kernel, tf.float32)
    if training and norm.trainable:
        rows = tf.cast(tf.reshape(inputs, [-1, inputs.shape[-1]]), tf.float32)
        over_replicas = replicas.mean if norm.synchronized else tf.identity
        mean = over_replicas(tf.reduce_mean(rows, axis=0))
        centred = rows - mean
        products = tf.matmul(centred, centred, transpose_a=True)
        covariance = over_replicas(products / tf.cast(tf.shape(rows)[0], tf.float32))
        mean = tf.linalg.matvec(kernel, mean, transpose_a=True)
        variance = tf.reduce_sum(kernel * tf.matmul(covariance, kernel), axis=0)
        variance = tf.maximum(variance, 0.0)  # what is 0 may come out below it
        for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            moving.assign(moving * norm.momentum + value * (1.0 - norm.momentum))
    else:
        mean, variance = (tf.cast(x, tf.float32) for x in (norm.moving_mean, norm.moving_variance))
    scale = norm.gamma * tf.math.rsqrt(variance + norm.epsilon)
    return kernel * scale, norm.beta - mean * scale


def _dense(x, kernel, bias=None):
    """[..., F] by float32 [F, U] in the precision of x; one matrix product of all rows."""
    rows = tf.reshape(x, [-1, x.shape[-1]])
    out = tf.matmul(rows, tf.cast(kernel, x.dtype))
    if bias is not None:
        out = tf.nn.bias_add(out, tf.cast(bias, x.dtype))
    return tf.reshape(out, tf.concat([tf.shape(x)[:-1], [kernel.shape[-1]]], 0))


@keras.saving.register_keras_serializable(layers.PACKAGE)
class FastDotProductCritic(reference.DotProductCritic):
    """`reference.DotProductCritic` with less work, and with scores by chunks.

    Args:
        units: U, the paper's 2048.
        chunk: images whose globals are scored at once, with all places of the batch; the backward
            pass scores them again, so that memory does not grow with the square of the batch. 0:
            as many as give `MAX_SCORES` scores, and no chunks where all images give no more.
        **kwargs: the other arguments of the reference.

    Raises:
        ValueError: as of the reference.
    """

    PROJECTION = FastProjection

    def __init__(self, units: int = 2048, *, chunk: int = 0, **kwargs):
        super().__init__(units, **kwargs)
        self.chunk = chunk

    def call(self, local_features, global_features, training=False) -> PairScores | ChunkedScores:
        """As the reference's, which has arguments and errors."""
        places = self.project_local.places(self.locations(local_features), training)
        anchors = self.project_local.anchors(self.global_codes(global_features, training))
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
        """Those of the other replicas' images; None on one device."""
        if replicas.count() == 1:
            return None
        return tf.nest.map_structure(
            lambda x: None if x is None else replicas.of_the_others(x), anchors
        )

    def get_config(self):
        return {**super().get_config(), "chunk": self.chunk}


def _largest_chunk(shape) -> int:
    """Images a chunk, so that their scores with all N·L places are few enough; 0: no need.

    Args:
        shape: (N, L, G) of this replica.
    """
    n, locations, globals_ = shape
    if n is None or replicas.count() * n * n * locations * globals_ <= MAX_SCORES:
        return 0
    return max(MAX_SCORES // (n * locations * globals_), 1)

"""The critic of `reference.py`: the same numbers with less work.

Matrix products of the codes of all N·L locations are nearly all of a step's arithmetic. Linear
operations move from those codes to the few global codes, or to the scores:

1. Batch norm folds into the dense layer before it. With y = xW, batch norm gives (y - μ)·s + β,
   where s = γ / √(σ² + ε). The statistics of y follow from those of x: μ = E[x]W and σ² = diag(Wᵀ
   Cov[x] W). So the scaled kernel W·s and the bias β - μs give the same result, and no tensor [N·L,
   U] is read to find them.
2. Layer norm's mean goes into the kernels. The mean over U of hW₂ + xS + b is h·mean(W₂) + …, so
   kernels and bias less their mean over U give centred codes c.
3. Layer norm's scale moves to the scores. It is one number r = 1/√(mean c² + ε) per location, and
   ⟨r·c·γ + β, g⟩ = r·⟨c, γg⟩ + ⟨β, g⟩: γ and β act on the globals g, r on the scores.
4. Without layer norm everything after the ReLU is linear: ⟨hW₂ + xS + b, g⟩ = ⟨h, W₂g⟩ + ⟨x, Sg⟩ +
   ⟨b, g⟩. No location meets a U x U product.
5. Scores that would not fit into memory are computed chunk by chunk, and once more in the backward
   pass (`scores.ChunkedScores`).

benchmarks/critics.py measures it against the reference; results are in docs/PERFORMANCE.md.
"""

import keras
import tensorflow as tf

from keras_models.critics import reference
from keras_models.critics.pairs import shifted_negatives
from keras_models.critics.scores import (
    ChunkedScores,
    GlobalCodes,
    LocalCodes,
    PairScores,
    all_scores,
    drop_positives,
    paired_scores,
)
from keras_models.distribute import replicas
from keras_models.nn import kernels, layers

MAX_SCORES = 2**24  # at once: 64 MiB


@keras.saving.register_keras_serializable(layers.PACKAGE)
class FastProjection(reference.Projection):
    """`reference.Projection` with batch norm folded and linear operations left to the scores."""

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

    def to_local_codes(self, features, training=False) -> LocalCodes:
        """Local features [N, L, C] -> codes to be scored with those of `to_global_codes`."""
        features = tf.cast(features, self.compute_dtype)
        hidden = self._hidden(features, training)
        if self.layer_norm:
            codes = self._linear(features, hidden)
            return LocalCodes((codes,), self._scale(codes))
        # Without layer norm everything after the ReLU is linear and acts on the global codes.
        return LocalCodes((tf.cast(hidden, tf.float32), tf.cast(features, tf.float32)), None)

    def to_global_codes(self, codes) -> GlobalCodes:
        """Projected globals, float32 [N, G, U] -> codes to be scored with `to_local_codes`."""
        if self.norm and self.affine:
            scaled = codes * tf.cast(self.norm.gamma, tf.float32)
            offset = tf.linalg.matvec(codes, tf.cast(self.norm.beta, tf.float32))
            return GlobalCodes((scaled,), offset)
        if self.layer_norm:
            return GlobalCodes((codes,), None)
        kernels = (self.out.kernel, self.shortcut.kernel)
        parts = [tf.matmul(codes, tf.cast(k, tf.float32), transpose_b=True) for k in kernels]
        return GlobalCodes(
            tuple(parts), tf.linalg.matvec(codes, tf.cast(self.out.bias, tf.float32))
        )

    def _hidden(self, features, training):
        """[..., C] -> [..., U], after batch norm and ReLU."""
        if features.shape[-1] <= self.units:  # else folding costs more than it saves
            kernel, bias = fold_batch_norm(self.hidden_norm, features, self.hidden.kernel, training)
            return tf.nn.relu(_dense(features, kernel, bias))
        hidden = _dense(features, self.hidden.kernel)
        rows = self.hidden_norm(tf.reshape(hidden, [-1, self.units]), training=training)
        return tf.nn.relu(tf.reshape(rows, tf.shape(hidden)))

    def _linear(self, features, hidden):
        """The codes before layer norm, float32 [..., U]; with layer norm, minus their mean."""
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
        """1 / (standard deviation over U) of codes with mean 0."""
        variance = kernels.sum_of_squares(centred) / self.units
        return tf.math.rsqrt(variance + layers.NORM_EPSILON)


def fold_batch_norm(
    norm: keras.layers.BatchNormalization, inputs: tf.Tensor, kernel: tf.Tensor, training: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Folds a batch norm into the dense layer without bias before it.

    Args:
        norm: Batch norm over the last axis.
        inputs: Inputs of the dense layer, [..., C].
        kernel: Kernel of the dense layer, [C, U].
        training: Whether to use the batch's statistics, and update the moving ones.

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
        variance = tf.maximum(variance, 0.0)  # rounding may make a 0 negative
        for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            moving.assign(moving * norm.momentum + value * (1.0 - norm.momentum))
    else:
        mean, variance = (tf.cast(x, tf.float32) for x in (norm.moving_mean, norm.moving_variance))
    scale = norm.gamma * tf.math.rsqrt(variance + norm.epsilon)
    return kernel * scale, norm.beta - mean * scale


def _dense(x, kernel, bias=None):
    """[..., F] times float32 [F, U] in the precision of x, as one matrix product."""
    rows = tf.reshape(x, [-1, x.shape[-1]])
    out = tf.matmul(rows, tf.cast(kernel, x.dtype))
    if bias is not None:
        out = tf.nn.bias_add(out, tf.cast(bias, x.dtype))
    return tf.reshape(out, tf.concat([tf.shape(x)[:-1], [kernel.shape[-1]]], 0))


@keras.saving.register_keras_serializable(layers.PACKAGE)
class FastDotProductCritic(reference.DotProductCritic):
    """`reference.DotProductCritic` with less work, and with scores in chunks.

    Args:
        units: U, the paper's 2048.
        chunk: Number of images whose globals are scored at once with all locations of the batch.
            The backward pass computes these scores again, so memory does not grow with the square
            of the batch. 0: as many images as give `MAX_SCORES` scores, or a single chunk if all
            images give no more than that.
        **kwargs: Other arguments of the reference.

    Raises:
        ValueError: As for the reference.
    """

    PROJECTION = FastProjection

    def __init__(self, units: int = 2048, *, chunk: int = 0, **kwargs):
        super().__init__(units, **kwargs)
        self.chunk = chunk

    def call(self, local_features, global_features, training=False) -> PairScores | ChunkedScores:
        """Scores joint and product pairs; arguments and errors are those of the reference."""
        local_codes = self.project_local.to_local_codes(self.locations(local_features), training)
        global_codes = self.project_local.to_global_codes(
            self.global_codes(global_features, training)
        )
        joint = paired_scores(local_codes, global_codes)
        if self.negatives:
            return PairScores(joint, self._sampled_scores(local_codes, global_codes))
        cross_replica = self._cross_replica_codes(global_codes)
        chunk = self.chunk or _largest_chunk(joint.shape)
        if chunk:
            return ChunkedScores(joint, local_codes, global_codes, cross_replica, chunk)
        return PairScores(
            joint,
            drop_positives(all_scores(local_codes, global_codes)),
            None if cross_replica is None else all_scores(local_codes, cross_replica),
        )

    def _sampled_scores(self, local_codes, global_codes):
        """Scores of the globals with the local codes of `negatives` other images: [N, K, L, G]."""
        shifted = [shifted_negatives(part, self.negatives) for part in local_codes.parts]
        scales = [None] * self.negatives
        if local_codes.scale is not None:
            scales = shifted_negatives(local_codes.scale, self.negatives)
        product = [
            paired_scores(LocalCodes(tuple(parts), scale), global_codes)
            for *parts, scale in zip(*shifted, scales, strict=True)
        ]
        return tf.stack(product, axis=1)

    def _cross_replica_codes(self, global_codes):
        """Global codes of the other replicas' images; None on one device."""
        if replicas.count() == 1:
            return None
        return tf.nest.map_structure(
            lambda x: None if x is None else replicas.gather_other_replicas(x), global_codes
        )

    def get_config(self):
        return {**super().get_config(), "chunk": self.chunk}


def _largest_chunk(shape) -> int:
    """The most images per chunk that give at most `MAX_SCORES` scores; 0: no chunks needed.

    Args:
        shape: (N, L, G) of this replica's joint scores.
    """
    n, locations, globals_ = shape
    if n is None or replicas.count() * n * n * locations * globals_ <= MAX_SCORES:
        return 0
    return max(MAX_SCORES // (n * locations * globals_), 1)

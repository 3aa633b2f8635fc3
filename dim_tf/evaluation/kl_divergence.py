"""KL(P ‖ Q) from samples, as `mine` and `ndm` estimate it."""

import math
from typing import cast

import tensorflow as tf

from keras_models.estimators import LogSums, donsker_varadhan

MIXTURE_WEIGHT = 1e-5  # of P in the mixture
MAX_NATS = -math.log(MIXTURE_WEIGHT)


def describe_limits(num_samples: int) -> str:
    """What bounds the estimate, for the protocol of a measure.

    Args:
        num_samples: Samples of the product on which the bound is evaluated.
    """
    return (
        f"the product is mixed with {MIXTURE_WEIGHT:g} of the joint distribution, so that the "
        f"estimate is at most {MAX_NATS:.1f} nats; {num_samples:,} samples of the product are "
        f"evidence of at most their logarithm, {math.log(num_samples):.1f} nats"
    )


def kl_bound(scores_p: tf.Tensor, scores_q: tf.Tensor) -> tf.Tensor:
    """The Donsker-Varadhan bound on KL(P ‖ (1 - ε) Q + ε P), to be maximised, with ε = 1e-5.

    That divergence is at most log 1/ε. It is smaller than KL(P ‖ Q) by at most E_P[log(1 + ε p/q)],
    which is next to nothing for small values. The bound on KL(P ‖ Q) itself has no limit if the
    samples can be told apart: a discriminator that does so keeps adding nats, for which no number
    of samples below their exponential is evidence (McAllester & Stratos 2020).

    Args:
        scores_p: float32 [N], a discriminator's scores of samples of P; N is static.
        scores_q: float32 [K], its scores of samples of Q; K is static.

    Returns:
        float32 scalar, nats.
    """
    weight = MIXTURE_WEIGHT / (1 - MIXTURE_WEIGHT) * scores_q.shape[0] / scores_p.shape[0]
    mixture = _log_sums(scores_q).merge(_log_sums(scores_p).scale(weight))
    joint = donsker_varadhan.joint(scores_p[:, tf.newaxis, tf.newaxis])
    return donsker_varadhan.value(joint, mixture)


def _log_sums(scores: tf.Tensor) -> LogSums:
    row = scores[tf.newaxis, :, tf.newaxis, tf.newaxis]  # [1, K, 1, 1]
    return cast(LogSums, donsker_varadhan.reduce(row))

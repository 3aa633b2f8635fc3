"""KL(P ‖ Q) from samples, as `mine` and `ndm` estimate it."""

import math
from typing import cast

import tensorflow as tf

from keras_models.estimators import LogSums, donsker_varadhan

SHARE = 1e-5  # of P in the mixture
LIMIT = -math.log(SHARE)  # nats


def limits(samples: int) -> str:
    """What bounds the figure, for a measure's protocol.

    Args:
        samples: of the product, that it is measured on.
    """
    return (
        f"the product is mixed with {SHARE:g} of the joint distribution, so that the figure is at "
        f"most {LIMIT:.1f} nats; {samples:,} samples of the product are evidence of at most their "
        f"logarithm, {math.log(samples):.1f} nats"
    )


def kl_bound(scores_p: tf.Tensor, scores_q: tf.Tensor) -> tf.Tensor:
    """The Donsker-Varadhan bound on KL(P ‖ (1 - ε) Q + ε P), to be maximised, with ε = 1e-5.

    That divergence is less than KL(P ‖ Q), and hardly so below some nats: by at most
    E_P[log(1 + ε p/q)]. It is at most log 1/ε. The bound on KL(P ‖ Q) itself has no limit on
    samples that can be told apart: a discriminator that does so adds nats for ever, of which no
    number of samples below their exponential is evidence (McAllester & Stratos 2020).

    Args:
        scores_p: float32 [N], a discriminator's of samples of P; N is static.
        scores_q: float32 [K], of samples of Q; K is static.

    Returns:
        float32 scalar, nats.
    """
    weight = SHARE / (1 - SHARE) * scores_q.shape[0] / scores_p.shape[0]
    mixture = _summed(scores_q).merge(_summed(scores_p).scale(weight))
    joint = donsker_varadhan.joint(scores_p[:, tf.newaxis, tf.newaxis])
    return donsker_varadhan.value(joint, mixture)


def _summed(scores: tf.Tensor) -> LogSums:
    row = scores[tf.newaxis, :, tf.newaxis, tf.newaxis]  # [1, K, 1, 1]
    return cast(LogSums, donsker_varadhan.reduce(row))

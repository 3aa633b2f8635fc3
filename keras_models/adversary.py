"""The game of prior matching: a discriminator against what makes its "encoded" samples.

The same two losses match encoded features with a prior (Hjelm et al. 2019, section 3.3) and
generated images with real ones (its appendix).
"""

from typing import NamedTuple

import tensorflow as tf

from keras_models.estimators import Estimator


class AdversarialLosses(NamedTuple):
    """What both players minimise, and the adversary's parts.

    Attributes:
        maker_loss: float32 scalar, of what makes the samples.
        adversary_loss: float32 scalar, penalty - divergence; its gradient does not reach them.
        divergence: float32 scalar, the discriminator's estimate.
        penalty: float32 scalar, of the discriminator's gradient.
    """

    maker_loss: tf.Tensor
    adversary_loss: tf.Tensor
    divergence: tf.Tensor
    penalty: tf.Tensor


def losses(discriminator, real, made, estimator: Estimator, weight: float) -> AdversarialLosses:
    """The losses of both players.

    The discriminator maximises the estimator between real and made samples, less ½·weight·(mean
    over real samples + mean over made samples) of ‖∇D‖² (Mescheder et al. 2018). The maker raises
    what the estimator takes of the joint samples: for JSD, the non-saturating loss softplus(-D).

    Args:
        discriminator: [N, ...] -> float32 [N].
        real: float32 [N, ...].
        made: float32 [N, ...], through which the maker loss reaches what made them.
        estimator: of the divergence, real samples being the joint and made ones the product.
        weight: λ of the gradient penalty.
    """
    real_scores, real_norm = scores_and_gradient_norm(discriminator, real)
    made_scores, made_norm = scores_and_gradient_norm(discriminator, tf.stop_gradient(made))
    divergence = estimator.of_samples(real_scores, made_scores)
    penalty = 0.5 * weight * (tf.reduce_mean(real_norm) + tf.reduce_mean(made_norm))
    maker_loss = -tf.reduce_mean(estimator.joint(discriminator(made)))
    return AdversarialLosses(maker_loss, penalty - divergence, divergence, penalty)


def scores_and_gradient_norm(discriminator, inputs) -> tuple[tf.Tensor, tf.Tensor]:
    """D(x) and ‖∇ₓ D(x)‖².

    Args:
        discriminator: x -> float32 [N].
        inputs: x, a tensor [N, ...] or a tuple of such; the norm is then of all parts together.

    Returns:
        float32 [N] twice.
    """
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        scores = discriminator(inputs)
    norms = []
    for gradient in tf.nest.flatten(tape.gradient(scores, inputs)):
        squares = tf.cast(gradient, tf.float32) ** 2
        norms.append(tf.reduce_sum(squares, axis=list(range(1, squares.shape.rank))))
    return scores, tf.add_n(norms)

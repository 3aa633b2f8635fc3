"""The two-player game of prior matching: a discriminator against a generator of fake samples.

The same two losses match encoded features with a prior (Hjelm et al. 2019, section 3.3) and
generated images with real ones (its appendix).
"""

from typing import NamedTuple

import tensorflow as tf

from keras_models.estimators import Estimator


class AdversarialLosses(NamedTuple):
    """Losses of both players, and the parts of the adversary's.

    Attributes:
        generator_loss: float32 scalar, loss of the network that makes the fake samples.
        adversary_loss: float32 scalar, penalty - divergence; its gradient does not reach the
            samples.
        divergence: float32 scalar, the discriminator's estimate.
        penalty: float32 scalar, penalty on the discriminator's gradient.
    """

    generator_loss: tf.Tensor
    adversary_loss: tf.Tensor
    divergence: tf.Tensor
    penalty: tf.Tensor


def losses(
    discriminator, real, fake, estimator: Estimator, weight: float, both_learn: bool = False
) -> AdversarialLosses:
    """Losses of both players.

    The discriminator maximises the estimator between real and fake samples, less ½·weight·(mean
    over real samples + mean over fake samples) of ‖∇D‖² (Mescheder et al. 2018). The generator
    maximises E[joint(D(fake))]: for JSD, it minimises the non-saturating softplus(-D).

    Args:
        discriminator: [N, ...] -> float32 [N].
        real: float32 [N, ...], or a tuple of such.
        fake: Like `real`; the generator loss reaches the network that makes them.
        estimator: Of the divergence; real samples are the joint and fake ones the product.
        weight: λ of the gradient penalty.
        both_learn: Whether the network that makes the real samples is trained too, by
            -E[joint(-D(real))] (BiGAN); only for the estimators "gan" and "jsd", whose sides can be
            exchanged.

    Raises:
        ValueError: `both_learn` with another estimator.
    """
    if both_learn and estimator.name not in ("gan", "jsd"):
        raise ValueError(f"{estimator.name} has no exchanged sides; take gan or jsd")
    stopped_real, stopped_fake = tf.nest.map_structure(tf.stop_gradient, (real, fake))
    real_scores, real_norm = scores_and_gradient_norm(discriminator, stopped_real)
    fake_scores, fake_norm = scores_and_gradient_norm(discriminator, stopped_fake)
    divergence = estimator.of_samples(real_scores, fake_scores)
    penalty = 0.5 * weight * (tf.reduce_mean(real_norm) + tf.reduce_mean(fake_norm))
    generator_loss = -tf.reduce_mean(estimator.joint(discriminator(fake)))
    if both_learn:
        generator_loss -= tf.reduce_mean(estimator.joint(-discriminator(real)))
    return AdversarialLosses(generator_loss, penalty - divergence, divergence, penalty)


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

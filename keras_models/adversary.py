"""The two-player game of prior matching: a discriminator against a generator of fake samples.

The same two losses match encoded features with a prior (Hjelm et al. 2019, section 3.3) and
generated images with real ones (its appendix).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from keras_models import estimators
from keras_models.distribute.randomness import StepRandom
from keras_models.estimators import Estimator


@dataclass(frozen=True)
class Divergence:
    """What the discriminator estimates, what the generator minimises, and the gradient penalty.

    Attributes:
        name: Its name in `NAMES`.
        estimator: What the discriminator maximises; real samples are the joint ones, fake samples
            the product.
        generator: D(fake), float32 [N] -> loss of the generator, [N].
        exchangeable: Whether it is for games in which both sides learn and exchange places, so that
            -D has to estimate the same divergence.
        lipschitz: Whether the penalty keeps the norm of D's gradient at 1, on lines between real
            and fake samples. If not, it keeps the norm at 0 on the samples.
    """

    name: str
    estimator: Estimator
    generator: Callable[[tf.Tensor], tf.Tensor]
    exchangeable: bool = False
    lipschitz: bool = False


def _of_estimator(estimator: Estimator) -> Divergence:
    """The generator minimises -E[joint(D(fake))]: for JSD, the non-saturating softplus(-D)."""
    return Divergence(
        estimator.name,
        estimator,
        lambda scores: -estimator.joint(scores),
        exchangeable=estimator.name in ("gan", "jsd"),
    )


boundary_seeking = Divergence("bgan", estimators.gan, lambda scores: 0.5 * scores**2)
"""Boundary-seeking GAN (Hjelm et al. 2017, https://arxiv.org/abs/1702.08431, section 2.4).

The discriminator's logit estimates log p(real) - log p(fake), by the divergence `gan`. For
continuous samples, the generator minimises ½ E[(log D - log(1 - D))²], half of the squared logit:
it seeks the boundary, where both densities are equal, and does not go beyond.
"""

wasserstein_gp = Divergence(
    "wgan_gp", estimators.wasserstein, lambda scores: -scores, lipschitz=True
)
"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028).

Equation 3: the critic minimises E[D(fake)] - E[D(real)] + λ E[(‖∇D(x̂)‖ - 1)²], with x̂ = ε·real +
(1 - ε)·fake and ε uniform in [0, 1]. Their λ is 10, with five steps of the critic per step of the
generator; here both take one.
"""

_ALL = (
    *(_of_estimator(estimators.get(name)) for name in estimators.NAMES),
    boundary_seeking,
    wasserstein_gp,
)
_DIVERGENCES = {divergence.name: divergence for divergence in _ALL}
NAMES = tuple(_DIVERGENCES)


def get(name: str) -> Divergence:
    """The divergence of that name: a member of `NAMES` or a key of `estimators.ALIASES`.

    Raises:
        ValueError: Unknown name.
    """
    name = estimators.ALIASES.get(name, name)
    if name not in _DIVERGENCES:
        raise ValueError(f"unknown divergence {name!r}; expected one of {', '.join(NAMES)}")
    return _DIVERGENCES[name]


def check_penalty(divergence: Divergence, weight: float) -> None:
    """Raises ValueError if the divergence needs a gradient penalty and its weight is 0."""
    if divergence.lipschitz and not weight > 0:
        raise ValueError(
            f"{divergence.name} is bounded by its gradient penalty alone, whose weight is "
            f"{weight}; give more than 0 (Gulrajani et al. 2017: 10), or take another divergence"
        )


class AdversarialLosses(NamedTuple):
    """Losses of both players, and the parts of the adversary's loss.

    Attributes:
        generator_loss: float32 scalar, loss of the network that generates the fake samples.
        adversary_loss: float32 scalar, penalty - divergence; its gradient does not reach the
            samples.
        divergence: float32 scalar, the discriminator's estimate.
        penalty: float32 scalar, penalty on the discriminator's gradient.
        accuracy: float32 scalar, how often the discriminator's score is above 0 for a real sample
            and not above 0 for a fake one: the mean of both fractions.
    """

    generator_loss: tf.Tensor
    adversary_loss: tf.Tensor
    divergence: tf.Tensor
    penalty: tf.Tensor
    accuracy: tf.Tensor


def losses(
    discriminator,
    real,
    fake,
    divergence: Divergence,
    weight: float,
    random: StepRandom,
    both_learn: bool = False,
) -> AdversarialLosses:
    """The losses of both players.

    The discriminator maximises the divergence's estimator between real and fake samples, less a
    gradient penalty: ½·weight·(mean over real samples + mean over fake samples) of ‖∇D‖²
    (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406), or that of a `lipschitz` divergence.

    Args:
        discriminator: [N, ...] -> float32 [N].
        real: float32 [N, ...], or a tuple of such.
        fake: Like `real`; the generator loss reaches the network that makes them.
        divergence: What the discriminator estimates.
        weight: λ of the gradient penalty.
        random: Random numbers of the step, for the lines of a `lipschitz` divergence.
        both_learn: Whether the network that makes the real samples is also trained, by the
            generator loss of -D(real) (BiGAN); only for an `exchangeable` divergence.

    Raises:
        ValueError: `both_learn` with a divergence that is not exchangeable.
    """
    if both_learn and not divergence.exchangeable:
        raise ValueError(f"{divergence.name} has no exchanged sides; take gan or jsd")
    stopped_real, stopped_fake = tf.nest.map_structure(tf.stop_gradient, (real, fake))
    if divergence.lipschitz:
        real_scores, fake_scores = discriminator(stopped_real), discriminator(stopped_fake)
        between = _between(stopped_real, stopped_fake, random)
        _, squared = scores_and_gradient_norm(discriminator, between)
        # The root's gradient is infinite at 0.
        penalty = weight * tf.reduce_mean((tf.sqrt(squared + 1e-12) - 1.0) ** 2)
    elif not weight:
        real_scores, fake_scores = discriminator(stopped_real), discriminator(stopped_fake)
        penalty = tf.zeros([])
    else:
        real_scores, real_norm = scores_and_gradient_norm(discriminator, stopped_real)
        fake_scores, fake_norm = scores_and_gradient_norm(discriminator, stopped_fake)
        penalty = 0.5 * weight * (tf.reduce_mean(real_norm) + tf.reduce_mean(fake_norm))
    estimate = divergence.estimator.of_samples(real_scores, fake_scores)
    correct = [real_scores > 0, fake_scores <= 0]
    accuracy = tf.reduce_mean([tf.reduce_mean(tf.cast(x, tf.float32)) for x in correct])
    generator_loss = tf.reduce_mean(divergence.generator(discriminator(fake)))
    if both_learn:
        generator_loss += tf.reduce_mean(divergence.generator(-discriminator(real)))
    return AdversarialLosses(generator_loss, penalty - estimate, estimate, penalty, accuracy)


def _between(real, fake, random: StepRandom):
    """A random point on the line from each fake sample to a real one."""
    count = tf.shape(tf.nest.flatten(real)[0])[0]
    position = random.uniform("between real and fake", count, ())

    def point(a, b):
        along = tf.reshape(position, [-1] + [1] * (a.shape.rank - 1))
        return along * a + (1.0 - along) * b

    return tf.nest.map_structure(point, real, fake)


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

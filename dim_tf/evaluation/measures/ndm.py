"""Neural dependency measure: how far the numbers of a feature are from being independent.

Hjelm et al. 2019, section 4.1, after Brakel & Bengio 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import expit

from dim_tf.evaluation.fitting import MeasureTraining, minimise
from dim_tf.evaluation.kl_divergence import describe_limits, kl_bound
from dim_tf.evaluation.measure import MetricInfo, Result, Uncertainty, sample_std
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments, standardise
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.discriminators import Discriminator

ENDPOINT = "global"
SHUFFLES = 4  # of a batch, in a training step
HELD_OUT_SHUFFLES = 32  # of the test images
CHUNK_SIZE = 8192  # features scored at once


@dataclass(frozen=True)
class NeuralDependencyMeasure:
    """Total correlation of the global feature's numbers, by the Donsker-Varadhan bound.

    It is KL(joint distribution of the numbers ‖ product of their marginals). In a sample of the
    product, each number comes from another image. It is 0 if the numbers are independent, and also
    if they are constant, so it does not rank representations. A map of each number separately, such
    as the sigmoid, does not change the true value, only how well a discriminator estimates it; the
    paper gives both values. Only "global" is measured.

    Attributes:
        representation: Its training images train the discriminator, its test images are measured.
        steps: Training steps.
        batch_size: Features per step, or all features if there are fewer.
        seeds: Number of trainings to average; seeds count from 0.
        learning_rate: Learning rate at the first step.
    """

    representation: Representation
    steps: int = 600
    batch_size: int = 1024
    seeds: int = 1
    learning_rate: float = 1e-3

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            "ndm": MetricInfo("nats", None, "NDM, dependence of the numbers"),
            "ndm_sigmoid": MetricInfo("nats", None, "NDM, dependence after a sigmoid"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        num_samples = HELD_OUT_SHUFFLES * len(self.representation.data.test)
        protocol = (
            "Donsker-Varadhan estimate of KL(joint ‖ product of the marginals) of the global "
            "feature's numbers, standardised, by a discriminator 1000-200-1 trained on the "
            f"training images, {self._training(0)}, {SHUFFLES} shuffles of each; measured on the "
            f"test images and {HELD_OUT_SHUFFLES} shuffles of them, so that it is not the bound "
            f"that was maximised; {describe_limits(num_samples)}"
        )
        return {"ndm": protocol, "ndm_sigmoid": "ndm of the feature's sigmoid"}

    def run(self) -> Iterator[Result]:
        train, test = self.representation.train[ENDPOINT], self.representation.test[ENDPOINT]
        for name, transform in (("ndm", _identity), ("ndm_sigmoid", expit)):
            nats = [
                total_correlation(transform(train), transform(test), self._training(seed))
                for seed in range(self.seeds)
            ]
            uncertainty = Uncertainty(sample_std(nats), self.seeds, None)
            yield Result(name, ENDPOINT, float(np.mean(nats)), uncertainty)

    def _training(self, seed):
        batch_size = min(self.batch_size, len(self.representation.train[ENDPOINT]))
        return MeasureTraining(self.steps, batch_size, self.learning_rate, seed)


SPEC = MeasureSpec(lambda context: NeuralDependencyMeasure(context.representation))


def _identity(features):
    return features


def total_correlation(train: np.ndarray, test: np.ndarray, training: MeasureTraining) -> float:
    """Total correlation in nats: KL(p(y) ‖ p(y_1) ··· p(y_D)), estimated from below.

    Args:
        train: float32 [N, D], samples on which the discriminator is trained.
        test: float32 [M, D], samples on which the bound is evaluated.
        training: Optimizer settings and steps.

    Returns:
        `kl_bound` of the test samples, which may be negative because of noise.

    Raises:
        RunError: The discriminator diverged.
    """
    mean, variance = moments(train)
    samples = tf.constant(standardise(train, mean, variance))
    training.seed_weights("ndm")
    discriminator = Discriminator()
    discriminator.build(samples.shape)

    def loss(random):
        batch = tf.gather(samples, random.choice("rows", len(train), training.batch_size))
        product = tf.concat(_shuffles(batch, random, SHUFFLES), axis=0)
        return -kl_bound(discriminator(batch), discriminator(product))

    minimise(discriminator.trainable_variables, loss, training)

    held_out = tf.constant(standardise(test, mean, variance))
    random = StepRandom(derive_seed(training.seed, "held out"), tf.constant(0))
    product_scores = [
        _score(discriminator, shuffled)
        for shuffled in _shuffles(held_out, random, HELD_OUT_SHUFFLES)
    ]
    joint_scores = _score(discriminator, held_out)
    return float(kl_bound(joint_scores, tf.concat(product_scores, axis=0)))


def _shuffles(features: tf.Tensor, random: StepRandom, count: int) -> list[tf.Tensor]:
    """`count` copies of features [N, D], with each of the D columns in its own random order."""
    n, dim = features.shape
    columns = tf.transpose(features)
    shuffled = []
    for shuffle in range(count):
        order = tf.argsort(random.uniform(f"shuffle {shuffle}", dim, (n,)), axis=1)  # [D, N]
        shuffled.append(tf.transpose(tf.gather(columns, order, batch_dims=1)))
    return shuffled


def _score(discriminator, features):
    """The scores of features, one chunk at a time."""
    chunks = [
        discriminator(features[first : first + CHUNK_SIZE])
        for first in range(0, len(features), CHUNK_SIZE)
    ]
    return tf.concat(chunks, axis=0)

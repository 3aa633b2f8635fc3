"""Neural dependency measure: how far the factors of a feature are from being independent.

Hjelm et al. 2019, section 4.1, after Brakel & Bengio 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import expit

from dim_tf.evaluation.divergence import kl_bound, limits
from dim_tf.evaluation.fitting import Recipe, minimise
from dim_tf.evaluation.measure import Kind, Result, Uncertainty, spread
from dim_tf.evaluation.probes import moments, standardised
from dim_tf.evaluation.representation import Representation
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.discriminators import Discriminator

ENDPOINT = "global"
SHUFFLES = 4  # of a batch, in a training step
HELD_OUT_SHUFFLES = 32  # of the test images
ROWS = 8192  # scored at once


@dataclass(frozen=True)
class NeuralDependencyMeasure:
    """Total correlation of the global feature's numbers, by the Donsker-Varadhan bound.

    KL(joint distribution of the numbers ‖ product of their marginals), samples of the product
    being features whose numbers are shuffled over the images, each by itself. 0 where they are
    independent, constant ones too, so it ranks no representations by what they know. A map of each
    number by itself, as the sigmoid, changes the truth in nothing, but how well a discriminator
    finds it; the paper gives both figures. Only "global" is measured.

    Attributes:
        representation: whose training images the discriminator is trained on; measured on its test
            images.
        steps: of training.
        batch: features in a step; less where there are fewer images.
        seeds: trainings to average; seeds count from 0.
        learning_rate: at the first step.
    """

    representation: Representation
    steps: int = 600
    batch: int = 1024
    seeds: int = 1
    learning_rate: float = 1e-3

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            "ndm": Kind("nats", None, "NDM, dependence of the numbers"),
            "ndm_sigmoid": Kind("nats", None, "NDM, dependence after a sigmoid"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        samples = HELD_OUT_SHUFFLES * len(self.representation.splits.test)
        told = (
            "Donsker-Varadhan estimate of KL(joint ‖ product of the marginals) of the global "
            "feature's numbers, standardised, by a discriminator 1000-200-1 trained on the "
            f"training images, {self._recipe(0)}, {SHUFFLES} shuffles of each; measured on the "
            f"test images and {HELD_OUT_SHUFFLES} shuffles of them, so that it is not the bound "
            f"that was maximised; {limits(samples)}"
        )
        return {"ndm": told, "ndm_sigmoid": "ndm of the feature's sigmoid"}

    def run(self) -> Iterator[Result]:
        train, test = self.representation.train[ENDPOINT], self.representation.test[ENDPOINT]
        for name, mapped in (("ndm", _identity), ("ndm_sigmoid", expit)):
            nats = [
                total_correlation(mapped(train), mapped(test), self._recipe(seed))
                for seed in range(self.seeds)
            ]
            uncertainty = Uncertainty(spread(nats), self.seeds, None)
            yield Result(name, ENDPOINT, float(np.mean(nats)), uncertainty)

    def _recipe(self, seed):
        batch = min(self.batch, len(self.representation.train[ENDPOINT]))
        return Recipe(self.steps, batch, self.learning_rate, seed)


def _identity(features):
    return features


def total_correlation(train: np.ndarray, test: np.ndarray, recipe: Recipe) -> float:
    """Of D numbers, in nats: KL(p(y) ‖ p(y_1) ··· p(y_D)), estimated from below.

    Args:
        train: float32 [N, D], samples that the discriminator is trained on.
        test: float32 [M, D], samples that it is measured on.
        recipe: how it is trained.

    Returns:
        The bound `kl_bound` of the test samples; noise may make it negative.

    Raises:
        RunError: the discriminator diverged.
    """
    mean, variance = moments(train)
    samples = tf.constant(standardised(train, mean, variance))
    recipe.seed_weights("ndm")
    discriminator = Discriminator()
    discriminator.build(samples.shape)

    def loss(random):
        rows = tf.gather(samples, random.choice("rows", len(train), recipe.batch))
        product = tf.concat(_shuffles(rows, random, SHUFFLES), axis=0)
        return -kl_bound(discriminator(rows), discriminator(product))

    minimise(discriminator.trainable_variables, loss, recipe)

    held_out = tf.constant(standardised(test, mean, variance))
    random = StepRandom(derive_seed(recipe.seed, "held out"), tf.constant(0))
    product = [
        _in_chunks(discriminator, rows) for rows in _shuffles(held_out, random, HELD_OUT_SHUFFLES)
    ]
    joint = _in_chunks(discriminator, held_out)
    return float(kl_bound(joint, tf.concat(product, axis=0)))


def _shuffles(rows: tf.Tensor, random: StepRandom, count: int) -> list[tf.Tensor]:
    """`rows` [N, D] that many times, the N numbers of each factor in another order each time."""
    n, factors = rows.shape
    columns = tf.transpose(rows)
    shuffled = []
    for shuffle in range(count):
        order = tf.argsort(random.uniform(f"shuffle {shuffle}", factors, (n,)), axis=1)  # [D, N]
        shuffled.append(tf.transpose(tf.gather(columns, order, batch_dims=1)))
    return shuffled


def _in_chunks(discriminator, rows):
    chunks = [discriminator(rows[i : i + ROWS]) for i in range(0, len(rows), ROWS)]
    return tf.concat(chunks, axis=0)

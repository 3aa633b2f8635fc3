"""MINE: mutual information of images and their features (Belghazi et al. 2018; Hjelm et al. 2019).

Section 4.1 of the latter: a Donsker-Varadhan estimate by a discriminator of its own, which has
nothing to do with the critic that the encoder was trained with.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.evaluation.divergence import kl_bound, limits
from dim_tf.evaluation.fitting import Recipe, minimise
from dim_tf.evaluation.measure import Kind, Result, Uncertainty, spread
from dim_tf.evaluation.probes import moments, standardised
from dim_tf.evaluation.representation import Representation
from keras_models.critics import GlobalCritic, PairScores, shifted_negatives
from keras_models.nn import layers

ENDPOINT = "global"
NEGATIVES = 4  # images that each feature is paired with in a training step
HELD_OUT_NEGATIVES = 64  # test images that each test image's feature is paired with, at most
FILTERS = (32, 64, 128)
IMAGE_CODE = 256
ROWS = 1024  # images mapped at once

Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MutualInformation:
    """I(X; Y) of an image and its global feature, by the Donsker-Varadhan bound.

    Of a deterministic encoder the truth is the entropy of Y, without limit for continuous Y: the
    figure is how much of it a small convolutional discriminator finds, at most log 100,000 nats
    (see `divergence`). Only "global" is measured.

    Attributes:
        representation: whose training images the discriminator is trained on; measured on its test
            images.
        steps: of training.
        batch: images in a step; less where there are fewer.
        seeds: trainings to average; seeds count from 0.
        learning_rate: at the first step.
    """

    representation: Representation
    steps: int = 500
    batch: int = 512
    seeds: int = 1
    learning_rate: float = 1e-3

    @property
    def kinds(self) -> dict[str, Kind]:
        return {"mine": Kind("nats", "higher", "MINE, information about the image")}

    @property
    def protocol(self) -> dict[str, str]:
        count = len(self.representation.splits.test)
        return {
            "mine": (
                "Donsker-Varadhan estimate of I(image; global feature) by a convolutional "
                f"discriminator trained on the training images, {self._recipe(0)}; each feature "
                f"against {NEGATIVES} other images of the batch; measured on the test images, "
                f"each feature against {_held_out(count)} others, so that it is not the bound that "
                f"was maximised; {limits(count * _held_out(count))}"
            )
        }

    def run(self) -> Iterator[Result]:
        splits = self.representation.splits
        train = splits.train.images, self.representation.train[ENDPOINT]
        test = splits.test.images, self.representation.test[ENDPOINT]
        nats = [
            mutual_information(train, test, self._recipe(seed), image_trunk)
            for seed in range(self.seeds)
        ]
        uncertainty = Uncertainty(spread(nats), self.seeds, None)
        yield Result("mine", ENDPOINT, float(np.mean(nats)), uncertainty)

    def _recipe(self, seed):
        batch = min(self.batch, len(self.representation.splits.train))
        return Recipe(self.steps, batch, self.learning_rate, seed)


def image_trunk(shape: tuple[int, ...]) -> keras.Model:
    """What the discriminator does to images alone: uint8 [N, H, W, C] -> float32 [N, 256].

    Args:
        shape: (H, W, C).
    """
    layer = [keras.layers.Rescaling(1 / 127.5, -1.0)]
    for i, filters in enumerate(FILTERS):
        layer.append(layers.Conv2D(filters, 4, 2, 1, activation="relu", name=f"conv{i}"))
    layer += [keras.layers.Flatten(), layers.Dense(IMAGE_CODE, activation="relu")]
    trunk = keras.Sequential(layer)
    trunk.build((None, *shape))
    return trunk


def no_trunk(shape: tuple[int, ...]) -> keras.Model:
    """Of what are no images: [N, F] as it is.

    Args:
        shape: (F,).
    """
    trunk = keras.Sequential([keras.layers.Identity()])
    trunk.build((None, *shape))
    return trunk


def mutual_information(
    train: Pairs,
    test: Pairs,
    recipe: Recipe,
    make_trunk: Callable[[tuple[int, ...]], keras.Model] = no_trunk,
) -> float:
    """I(A; B) in nats, estimated from below.

    Args:
        train: samples that the discriminator is trained on: A, [N, ...], and B, float32 [N, D].
        test: samples that it is measured on, likewise; at least 2.
        recipe: how it is trained.
        make_trunk: the shape of a sample of A -> what the discriminator does to those alone.

    Returns:
        The bound `kl_bound` of the test samples; noise may make it negative.

    Raises:
        RunError: the discriminator diverged.
    """
    mean, variance = moments(train[1])
    with tf.device("CPU"):
        a = tf.constant(train[0])
    b = tf.constant(standardised(train[1], mean, variance))
    recipe.seed_weights("mine")
    trunk = make_trunk(a.shape[1:])
    critic = GlobalCritic(filters=(), negatives=NEGATIVES)
    critic.build((None, 1, 1, trunk.output_shape[-1]), b.shape)

    def code(samples):
        return trunk(samples)[:, tf.newaxis, tf.newaxis]  # [N, 1, 1, F], a map of one place

    def loss(random):
        rows = random.choice("rows", len(a), recipe.batch)
        return -_bound(critic(code(tf.gather(a, rows)), tf.gather(b, rows)))

    variables = [*trunk.trainable_variables, *critic.trainable_variables]
    minimise(variables, loss, recipe)

    codes = [code(tf.constant(test[0][i : i + ROWS])) for i in range(0, len(test[0]), ROWS)]
    order = np.random.default_rng(recipe.seed).permutation(len(test[0]))
    codes = tf.gather(tf.concat(codes, axis=0), order)
    ours = tf.gather(standardised(test[1], mean, variance), order)[:, tf.newaxis]  # [M, 1, D]
    shifted = shifted_negatives(codes, _held_out(len(order)))
    product = [critic.pair_scores(c, ours) for c in shifted]
    scores = PairScores(critic.pair_scores(codes, ours), tf.stack(product, axis=1))
    return float(_bound(scores))


def _held_out(samples):
    return min(HELD_OUT_NEGATIVES, samples - 1)


def _bound(scores: PairScores) -> tf.Tensor:
    return kl_bound(tf.reshape(scores.joint, [-1]), tf.reshape(scores.product, [-1]))

"""MINE: mutual information of images and their features (Belghazi et al. 2018; Hjelm et al. 2019).

As in section 4.1 of the latter: a Donsker-Varadhan estimate by a new discriminator, independent of
the critic with which the encoder was trained.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.evaluation.fitting import MeasureTraining, minimise
from dim_tf.evaluation.kl_divergence import describe_limits, kl_bound
from dim_tf.evaluation.measure import MetricInfo, Result, Uncertainty, sample_std
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments, standardise
from keras_models.critics import GlobalCritic, PairScores, shifted_negatives
from keras_models.nn import layers

ENDPOINT = "global"
NEGATIVES = 4  # images that each feature is paired with in a training step
MAX_HELD_OUT_NEGATIVES = 64  # test images that each test image's feature is paired with
FILTERS = (32, 64, 128)
CODE_DIM = 256
CHUNK_SIZE = 1024  # images encoded at once

SamplePairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ImageFeatureInformation:
    """I(X; Y) of an image and its global feature, by the Donsker-Varadhan bound.

    The true value for a deterministic encoder is the entropy of Y, which has no limit for
    continuous Y. Measured is how much of it a small convolutional discriminator finds, at most log
    100,000 nats (see `kl_divergence`). Only "global" is measured.

    Attributes:
        representation: Its training images train the discriminator, its test images are measured.
        steps: Training steps.
        batch_size: Images per step, or all images if there are fewer.
        seeds: Number of trainings to average; seeds count from 0.
        learning_rate: Learning rate at the first step.
    """

    representation: Representation
    steps: int = 500
    batch_size: int = 512
    seeds: int = 1
    learning_rate: float = 1e-3

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {"mine": MetricInfo("nats", "higher", "MINE, information about the image")}

    @property
    def protocol(self) -> dict[str, str]:
        count = len(self.representation.data.test)
        negatives = _held_out_negatives(count)
        return {
            "mine": (
                "Donsker-Varadhan estimate of I(image; global feature) by a convolutional "
                f"discriminator trained on the training images, {self._training(0)}; each feature "
                f"against {NEGATIVES} other images of the batch; measured on the test images, "
                f"each feature against {negatives} others, so that it is not the bound that "
                f"was maximised; {describe_limits(count * negatives)}"
            )
        }

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        train = data.train.images, self.representation.train[ENDPOINT]
        test = data.test.images, self.representation.test[ENDPOINT]
        nats = [
            mutual_information(train, test, self._training(seed), image_trunk)
            for seed in range(self.seeds)
        ]
        uncertainty = Uncertainty(sample_std(nats), self.seeds, None)
        yield Result("mine", ENDPOINT, float(np.mean(nats)), uncertainty)

    def _training(self, seed):
        batch_size = min(self.batch_size, len(self.representation.data.train))
        return MeasureTraining(self.steps, batch_size, self.learning_rate, seed)


SPEC = MeasureSpec(lambda context: ImageFeatureInformation(context.representation))


def image_trunk(shape: tuple[int, ...]) -> keras.Model:
    """The image branch of the discriminator: uint8 [N, H, W, C] -> float32 [N, 256].

    Args:
        shape: (H, W, C).
    """
    stack = [keras.layers.Rescaling(1 / 127.5, -1.0)]
    for i, filters in enumerate(FILTERS):
        stack.append(layers.Conv2D(filters, 4, 2, 1, activation="relu", name=f"conv{i}"))
    stack += [keras.layers.Flatten(), layers.Dense(CODE_DIM, activation="relu")]
    trunk = keras.Sequential(stack)
    trunk.build((None, *shape))
    return trunk


def identity_trunk(shape: tuple[int, ...]) -> keras.Model:
    """The branch for vectors, which leaves them unchanged: [N, F] -> [N, F].

    Args:
        shape: (F,).
    """
    trunk = keras.Sequential([keras.layers.Identity()])
    trunk.build((None, *shape))
    return trunk


def mutual_information(
    train: SamplePairs,
    test: SamplePairs,
    training: MeasureTraining,
    build_trunk: Callable[[tuple[int, ...]], keras.Model] = identity_trunk,
) -> float:
    """I(A; B) in nats, estimated from below.

    Args:
        train: Samples on which the discriminator is trained: A, [N, ...], and B, float32 [N, D].
        test: Samples on which the bound is evaluated, in the same form; at least 2.
        training: Optimizer settings and steps.
        build_trunk: Shape of a sample of A -> the branch of the discriminator for A.

    Returns:
        `kl_bound` of the test samples, which may be negative because of noise.

    Raises:
        RunError: The discriminator diverged.
    """
    mean, variance = moments(train[1])
    with tf.device("CPU"):
        a = tf.constant(train[0])
    b = tf.constant(standardise(train[1], mean, variance))
    training.seed_weights("mine")
    trunk = build_trunk(a.shape[1:])
    critic = GlobalCritic(filters=(), negatives=NEGATIVES)
    critic.build((None, 1, 1, trunk.output_shape[-1]), b.shape)

    def encode(samples):
        return trunk(samples)[:, tf.newaxis, tf.newaxis]  # [N, 1, 1, F], a map of one location

    def loss(random):
        indices = random.choice("rows", len(a), training.batch_size)
        return -_bound(critic(encode(tf.gather(a, indices)), tf.gather(b, indices)))

    variables = [*trunk.trainable_variables, *critic.trainable_variables]
    minimise(variables, loss, training)

    codes = [
        encode(tf.constant(test[0][first : first + CHUNK_SIZE]))
        for first in range(0, len(test[0]), CHUNK_SIZE)
    ]
    order = np.random.default_rng(training.seed).permutation(len(test[0]))
    codes = tf.gather(tf.concat(codes, axis=0), order)
    features = tf.gather(standardise(test[1], mean, variance), order)[:, tf.newaxis]  # [M, 1, D]
    negatives = shifted_negatives(codes, _held_out_negatives(len(order)))
    product = [critic.pair_scores(negative, features) for negative in negatives]
    scores = PairScores(critic.pair_scores(codes, features), tf.stack(product, axis=1))
    return float(_bound(scores))


def _held_out_negatives(num_samples):
    return min(MAX_HELD_OUT_NEGATIVES, num_samples - 1)


def _bound(scores: PairScores) -> tf.Tensor:
    return kl_bound(tf.reshape(scores.joint, [-1]), tf.reshape(scores.product, [-1]))

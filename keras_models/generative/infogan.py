"""InfoGAN: a GAN whose generated images reveal a part of their code."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseHead
from keras_models.generative.dcgan import DCGAN
from keras_models.nn import layers
from keras_models.nn.discriminators import LEAK
from keras_models.objective_model import Batch, Losses

HIDDEN_UNITS = 128  # of the recognition network, as in the original


class Code(NamedTuple):
    """The parts of a code.

    Attributes:
        noise: float32 [N, Z] in [-1, 1], about which the image need reveal nothing.
        categories: float32 [N, K_i], one-hot, one tensor for each categorical code.
        continuous: float32 [N, C] in [-1, 1].
    """

    noise: tf.Tensor
    categories: list[tf.Tensor]
    continuous: tf.Tensor


@keras.saving.register_keras_serializable(layers.PACKAGE)
class InfoGAN(DCGAN):
    """DCGAN with codes c that a recognition network reads from G(z, c) (Chen et al. 2016, eq. 6).

    https://arxiv.org/abs/1606.03657. The encoder is the trunk that the discriminator and the
    recognition network Q share. Both players add -λ·L_I(G, Q), the bound of the mutual information
    of code and generated image (eq. 5), L_I = H(c) + E[log Q(c | G(z, c))]. Q is a dense layer of
    128 units on the leaky ReLU of the global feature, then a softmax for each categorical code and
    a normal distribution of variance 1 for each continuous one, as in the authors' code. H(c) is
    log K_i for each categorical code and log 2 for each continuous one.

    The default codes are the paper's for SVHN. Unlike its appendix C, the leak is 0.2, not 0.1, Q
    has no batch norm, and its standard deviation is not learned.

    Args:
        encoder: Images -> endpoints.
        generator: Codes -> images in [-1, 1], of the encoder's shape; its `latent_dim` is at least
            the `code_size` of the same arguments.
        categories: K_i, the number of categories of each categorical code.
        continuous: C, the number of continuous codes, uniform in [-1, 1].
        information: λ.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `DCGAN`; or there is no code, or no room for it in the generator's input.
    """

    def __init__(
        self,
        encoder,
        generator,
        categories: Sequence[int] = (10, 10, 10, 10),
        continuous: int = 4,
        information: float = 1.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, generator, seed, **kwargs)
        self.categories = tuple(categories)
        self.continuous = continuous
        self.information = information
        told = code_size(self.categories, continuous)
        if not told:
            raise ValueError("no categorical and no continuous code; give one, or take DCGAN")
        self.noise_dim = generator.latent_dim - told
        if self.noise_dim < 0:
            raise ValueError(
                f"the generator takes {generator.latent_dim} numbers, and the codes are {told}; "
                "make it with at least as many"
            )
        self.hidden = DenseHead(HIDDEN_UNITS, name="hidden")
        self.recognition = DenseHead(told, name="recognition")

    def build_heads(self, shapes):
        super().build_heads(shapes)
        self.hidden.build(shapes["global"])
        self.recognition.build((None, HIDDEN_UNITS))

    def code(self, count, random: StepRandom) -> Code:
        """A random code for each generated image."""
        numbers = random.uniform("codes", count, (self.noise_dim + self.continuous,))
        noise, continuous = tf.split(2.0 * numbers - 1.0, [self.noise_dim, self.continuous], axis=1)
        chosen = random.uniform("categories", count, (len(self.categories),))
        categories = [
            tf.one_hot(tf.cast(chosen[:, i] * k, tf.int32), k)
            for i, k in enumerate(self.categories)
        ]
        return Code(noise, categories, continuous)

    def log_likelihood(self, features: tf.Tensor, code: Code) -> tf.Tensor:
        """float32 [N]: log Q(c | x), in nats, from the global features of x."""
        hidden = tf.nn.leaky_relu(self.hidden(tf.nn.leaky_relu(features, LEAK)), LEAK)
        outputs = tf.cast(self.recognition(hidden), tf.float32)
        *logits, mean = tf.split(outputs, [*self.categories, self.continuous], axis=1)
        total = -0.5 * tf.reduce_sum((code.continuous - mean) ** 2 + math.log(2 * math.pi), axis=1)
        for category, scores in zip(code.categories, logits, strict=True):
            total -= tf.nn.softmax_cross_entropy_with_logits(category, scores)
        return total

    @property
    def code_entropy(self) -> float:
        """H(c), in nats."""
        return sum(map(math.log, self.categories)) + self.continuous * math.log(2)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        code = self.code(tf.shape(batch.images)[0], random)
        codes = tf.concat([code.noise, *code.categories, code.continuous], axis=1)
        generated = self.generator(codes, training=training)
        features, of_generated = self.both_features(batch.images, generated, random, training)
        losses = self.losses_of(features, self.scores(of_generated))
        log_likelihood = tf.reduce_mean(self.log_likelihood(of_generated, code))
        bound = self.code_entropy + log_likelihood
        return losses._replace(
            loss=losses.loss - self.information * bound,
            adversary_loss=losses.adversary_loss - self.information * bound,
            metrics={**losses.metrics, "code_information": bound},
        )

    def config(self):
        return {
            **super().config(),
            "categories": self.categories,
            "continuous": self.continuous,
            "information": self.information,
        }


def code_size(categories: Sequence[int], continuous: int) -> int:
    """How many numbers of a generator's input the codes take."""
    return sum(categories) + continuous

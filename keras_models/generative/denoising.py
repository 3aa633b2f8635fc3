"""The denoising autoencoder: whole images are decoded from corrupted ones."""

import math

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.generative.autoencoder import Autoencoder
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Corruption:
    """The corruption q(x̃|x) of a denoising autoencoder; its two kinds can be combined.

    Masking (Vincent et al. 2008, section 2.3, https://doi.org/10.1145/1390156.1390294): a fixed
    number ν·d of an example's d numbers, chosen at random, is set to 0, for each pixel and channel
    separately. Gaussian noise (Vincent et al. 2010, section 3.3,
    https://www.jmlr.org/papers/v11/vincent10a.html): x̃ ~ N(x, σ²I).

    Args:
        masked: ν, the fraction of the numbers that are set to 0, which is mid-grey in images; in
            [0, 1).
        noise_stddev: σ, relative to images in [-1, 1].

    Raises:
        ValueError: `masked` is not in [0, 1), `noise_stddev` is negative, or both are 0.
    """

    def __init__(self, masked: float = 0.25, noise_stddev: float = 0.0):
        if not 0 <= masked < 1:
            raise ValueError(f"masked={masked}; expected a fraction, from 0 to below 1")
        if noise_stddev < 0:
            raise ValueError(f"noise_stddev={noise_stddev}; expected at least 0")
        if not (masked or noise_stddev):
            raise ValueError(
                "masked and noise_stddev are both 0, which leaves an autoencoder; give one of them"
            )
        self.masked = masked
        self.noise_stddev = noise_stddev

    def __call__(self, examples: tf.Tensor, random: StepRandom) -> tf.Tensor:
        """Corrupted examples.

        Args:
            examples: float32 [N, ...].
            random: The step's random numbers.
        """
        count, shape = tf.shape(examples)[0], tuple(examples.shape[1:])
        if self.noise_stddev:
            normal = priors.GaussianPrior(1).sample(random.uniform("corruption", count, shape))
            examples += self.noise_stddev * normal
        size = math.prod(shape)
        masked = round(self.masked * size)
        if not masked:
            return examples
        noise = random.uniform("mask", count, (size,))
        last = tf.math.top_k(noise, masked).values[:, -1:]
        is_masked = tf.reshape(noise >= last, tf.shape(examples))
        return tf.where(is_masked, tf.zeros_like(examples), examples)

    def get_config(self):
        return {"masked": self.masked, "noise_stddev": self.noise_stddev}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DenoisingAutoencoder(Autoencoder):
    """Minimises E‖x - g(f(x̃))‖² for corrupted images x̃ (Vincent et al. 2008, eq. 5).

    The error is the mean over all pixels and channels, corrupted or not. The loss in the paper is
    the cross-entropy of numbers in [0, 1]; the squared error, for real numbers, is from Vincent et
    al. 2010, section 2.2. The probe trained beside the model gets features of corrupted images.

    Args:
        encoder: Images -> endpoints; the global feature is the code.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        corruption: Images -> corrupted images.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `Autoencoder`.
    """

    def __init__(self, encoder, decoder, corruption: Corruption, seed: int = 0, **kwargs):
        super().__init__(encoder, decoder, seed, **kwargs)
        self.corruption = corruption

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        corrupted = self.corruption(batch.images, random)
        endpoints = self.encoder(corrupted, training=training, random=random)
        codes = tf.cast(endpoints["global"], tf.float32)
        return Losses(self.squared_error(batch.images, codes, training), None, {}, codes)

    def config(self):
        return {**super().config(), "corruption": self.corruption}

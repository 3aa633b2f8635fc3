"""ALI: adversarially learned inference, BiGAN with a stochastic encoder."""

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseHead
from keras_models.generative.bigan import BiGAN
from keras_models.generative.vae import input_of_variance
from keras_models.nn import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ALI(BiGAN):
    """BiGAN whose codes are drawn from q(z|x) (Dumoulin et al. 2017, section 2, algorithm 1).

    https://arxiv.org/abs/1606.00704. The prior is N(0, I), and q(z|x) = N(Y, diag σ²). One z is
    drawn from it for each image (section 2, eq. 2): z = Y + σ·ε. The mean Y is the global feature,
    which is evaluated and exported; log σ² is a linear map of the endpoint fc, or of Y if there is
    no fc. Encoder and generator minimise the non-saturating loss of `BiGAN`, as theirs do (section
    2.3, eq. 4).

    Args:
        encoder: Images -> endpoints.
        generator: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        discriminator: (images, codes) -> logits.
        penalty: λ of the gradient penalty; the original has none and uses dropout instead.
        seed: Seed of the random numbers drawn in training.
        reconstruction: As for `BiGAN`; E(G(z)) is the mean of q(z|G(z)).

    Raises:
        ValueError: As for `BiGAN`.
    """

    def __init__(
        self, encoder, generator, discriminator, penalty: float = 0.0, seed: int = 0, **kwargs
    ):
        prior = priors.GaussianPrior(encoder.global_dim)
        super().__init__(encoder, generator, discriminator, prior, penalty, seed, **kwargs)
        self.log_variance = DenseHead(encoder.global_dim, name="log_variance")

    def build_heads(self, shapes):
        super().build_heads(shapes)
        self.log_variance.build(shapes[input_of_variance(shapes)])

    def codes(self, endpoints, random: StepRandom):
        mean = tf.cast(endpoints["global"], tf.float32)
        log_variance = self.log_variance(endpoints[input_of_variance(endpoints)])
        noise = random.uniform("posterior", tf.shape(mean)[0], (self.prior.dim,))
        return mean + tf.exp(0.5 * tf.cast(log_variance, tf.float32)) * self.prior.sample(noise)

    def config(self):
        return {name: value for name, value in super().config().items() if name != "prior"}

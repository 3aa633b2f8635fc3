"""BiGAN: adversarially learned inference."""

import keras
import tensorflow as tf

from keras_models import adversary
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel, check_makes_images_of, one_global
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class BiGAN(EncoderModel):
    """An encoder and a generator against a discriminator of pairs (Donahue et al. 2017, eq. 3).

    The discriminator distinguishes encoded pairs (x, E(x)) of images from generated pairs (G(z), z)
    of prior samples. It maximises E[log D(x, E(x))] + E[log(1 - D(G(z), z))] minus the gradient
    penalty of `adversary.losses`. Encoder and generator together minimise the loss with the sides
    exchanged, -E[log(1 - D(x, E(x)))] - E[log D(G(z), z)], which does not saturate (their section
    3.4). The encoder is deterministic; that of `ALI` is stochastic.

    With `reconstruction`, a weight ρ, encoder and generator also minimise ρ times the mean of
    |z - E(G(z))|², as VEEGAN does (Srivastava et al. 2017, section 3,
    https://arxiv.org/abs/1705.07761). For this term E runs as in inference, with moving statistics;
    only real images update those.

    Args:
        encoder: Images -> endpoints; E(x) is the global feature mapped into the prior's support.
        generator: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        discriminator: (images, codes) -> logits.
        prior: Distribution of the codes.
        penalty: λ of the gradient penalty; the original has none.
        seed: Seed of the random numbers drawn in training.
        reconstruction: ρ, the weight of the reconstruction of prior samples; the original has none.

    Raises:
        ValueError: The generator outputs images of another shape; when built, the encoder has
            several globals.
    """

    def __init__(
        self,
        encoder,
        generator,
        discriminator,
        prior,
        penalty: float = 0.0,
        seed: int = 0,
        *,
        reconstruction: float = 0.0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        check_makes_images_of(encoder, generator)
        self.generator = generator
        self.discriminator = discriminator
        self.prior = prior
        self.penalty = penalty
        self.reconstruction = reconstruction

    def build_heads(self, shapes):
        shape = one_global(shapes)
        if not self.generator.built:
            self.generator.build()
        if not self.discriminator.built:
            self.discriminator.build([(None, *self.image_shape), shape])

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def codes(self, endpoints: dict, random: StepRandom) -> tf.Tensor:
        """float32 [N, D]: the codes of images, from their endpoints."""
        del random
        return self.prior.to_support(tf.cast(endpoints["global"], tf.float32))

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        features = tf.cast(endpoints["global"], tf.float32)
        encoded = (batch.images, self.codes(endpoints, random))
        noise = random.uniform("codes", tf.shape(batch.images)[0], (self.prior.dim,))
        codes = self.prior.sample(noise)
        generated = (self.generator(codes, training=training), codes)

        losses = adversary.losses(
            self.discriminator,
            encoded,
            generated,
            adversary.get("gan"),
            self.penalty,
            random,
            both_learn=True,
        )
        metrics = {
            "pair_divergence": losses.divergence,
            "pair_gradient_penalty": losses.penalty,
            "pair_accuracy": losses.accuracy,
        }
        loss = losses.generator_loss
        if self.reconstruction:
            distance = self._reconstruction_distance(*generated)
            metrics["code_reconstruction"] = distance
            loss += self.reconstruction * distance
        return Losses(loss, losses.adversary_loss, metrics, features)

    def _reconstruction_distance(self, images, codes):
        """The mean |z - E(G(z))|² of generated images and their codes z."""
        endpoints = self.encoder(images, training=False)
        reconstructed = self.prior.to_support(tf.cast(endpoints["global"], tf.float32))
        return tf.reduce_mean(tf.reduce_sum((codes - reconstructed) ** 2, axis=1))

    def config(self):
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "prior": self.prior,
            "penalty": self.penalty,
            "reconstruction": self.reconstruction,
        }

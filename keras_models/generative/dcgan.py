"""DCGAN: the features of a discriminator of images."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel, check_makes_images_of, one_global
from keras_models.encoders.blocks import DenseHead
from keras_models.nn import layers
from keras_models.nn.discriminators import LEAK
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DCGAN(EncoderModel):
    """The encoder is trained as the discriminator of generated images (Radford et al. 2016).

    https://arxiv.org/abs/1511.06434. The logit is a linear map of the leaky ReLU of the global
    feature Y, so all endpoints are layers of the discriminator: its features, as in their section
    5. The discriminator minimises -E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq.
    1). The generator, which is the adversary, minimises -E[log D(G(z))], which does not saturate.
    Codes z are uniform in [-1, 1]. Images and generated images are separate batches for batch norm,
    whose moving statistics come from the images alone.

    Args:
        encoder: Images -> endpoints.
        generator: Codes -> images in [-1, 1], of the encoder's shape.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: The generator outputs images of another shape; when built, the encoder has
            several globals.
    """

    def __init__(self, encoder, generator, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        check_makes_images_of(encoder, generator)
        self.generator = generator
        self.logit = DenseHead(1, name="logit")

    def build_heads(self, shapes):
        shape = one_global(shapes)
        if not self.generator.built:
            self.generator.build()
        self.logit.build(shape)

    @property
    def adversary_variables(self):
        return self.generator.trainable_variables

    def generated(self, count, random: StepRandom, training: bool) -> tf.Tensor:
        """Generated images, one for each of `count` codes."""
        codes = random.uniform("codes", count, (self.generator.latent_dim,))
        return self.generator(2.0 * codes - 1.0, training=training)

    def scores(self, features: tf.Tensor) -> tf.Tensor:
        """float32 [N]: logits that images belong to the data, from their global features."""
        return tf.cast(self.logit(tf.nn.leaky_relu(features, LEAK))[:, 0], tf.float32)

    def both_features(self, images, generated, random: StepRandom, training: bool):
        """The global features of the images and of the generated images."""
        statistics = [
            v
            for v in self.encoder.non_trainable_weights
            if training and v.path.endswith(("moving_mean", "moving_variance"))
        ]
        before = [tf.identity(v.value) for v in statistics]
        of_generated = self.encoder(
            generated, training=training, random=random.fold_in("generated")
        )["global"]
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)
        of_images = self.encoder(images, training=training, random=random)["global"]
        return of_images, of_generated

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        generated = self.generated(tf.shape(batch.images)[0], random, training)
        features, of_generated = self.both_features(batch.images, generated, random, training)
        return self.losses_of(features, self.scores(of_generated))

    def losses_of(self, features, generated_scores) -> Losses:
        """Losses of both players, from the images' features and the generated images' scores."""
        scores = self.scores(features)
        loss = tf.reduce_mean(tf.nn.softplus(-scores)) + tf.reduce_mean(
            tf.nn.softplus(generated_scores)
        )
        generator_loss = tf.reduce_mean(tf.nn.softplus(-generated_scores))
        correct = [scores > 0, generated_scores <= 0]
        metrics = {
            "generator_loss": generator_loss,
            "image_accuracy": tf.reduce_mean(
                [tf.reduce_mean(tf.cast(x, tf.float32)) for x in correct]
            ),
        }
        return Losses(loss, generator_loss, metrics, tf.cast(features, tf.float32))

    def config(self):
        return {"generator": self.generator}

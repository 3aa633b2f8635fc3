"""Images generated from prior samples."""

from dataclasses import dataclass

from dim_tf.models.adversarial import WithPriorDivergence
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class Generator(WithPriorDivergence):
    """Generates images that are matched with the training images by prior matching alone."""

    NAME = "generator"
    PREFIX = "generator."
    LEARNED = "as a generator of images from prior samples, by prior matching alone"
    HAS_ENCODER = False

    def make(self, encoder, splits, experiment):
        """The generator of images of the data's size; it has no encoder."""
        import keras
        import tensorflow as tf

        from keras_models.generative.generator import image_generator

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        keras.utils.set_random_seed(experiment.training.seed)
        try:
            return image_generator(
                splits.image_shape,
                self.prior,
                experiment.encoder.latent_dim,
                self.prior_divergence,
                self.prior_penalty,
                experiment.training.seed,
                synchronized=experiment.training.sync_batch_norm and replicas > 1,
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    def check_encoder(self, encoder):
        """Checks that no encoder is asked for."""
        if encoder.init_from or encoder.is_backbone:
            name = "init_from" if encoder.init_from else "encoder"
            raise InputError(f"--model=generator has no encoder; leave --{name} out")

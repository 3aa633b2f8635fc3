"""The stacked denoising autoencoder (Vincent et al. 2010)."""

from dataclasses import dataclass

from dim_tf.models.denoising import WithCorruption
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class StackedDenoisingAutoencoderModel(WithCorruption):
    """Trains the encoder's layers one after another, as denoising autoencoders of their inputs."""

    NAME = "stacked_denoising_ae"
    PREFIX = "stacked_denoising_ae."
    LEARNED = "from unlabelled images as a stacked denoising autoencoder (Vincent et al. 2010)"
    DEPENDS_ON_LENGTH = True

    def make(self, encoder, splits, experiment):
        """The encoder whose layers share the steps of the run; the last one takes the remainder."""
        from dim_tf.training import schedule
        from keras_models.generative.stacked_denoising import StackedDenoisingAutoencoder

        execution = experiment.training.steps_per_execution
        steps = schedule.last_step(experiment, splits)
        stage_steps = steps // len(encoder.stages) // execution * execution
        if not stage_steps:
            raise InputError(
                f"--model={self.NAME} trains the {len(encoder.stages)} layers of the encoder one "
                f"after another, and {steps} steps are too few; give more --epochs or --steps"
            )
        seed = experiment.training.seed
        return StackedDenoisingAutoencoder(
            encoder, self.corruption(), stage_steps, seed, name="stacked_denoising_autoencoder"
        )

    def check_encoder(self, encoder):
        """Checks that the encoder's layers follow one another."""
        if encoder.is_backbone:
            raise InputError(
                f"--model={self.NAME} trains the encoder layer by layer, which a Keras model is "
                "not; take an encoder such as basic32x32, or leave --encoder out"
            )

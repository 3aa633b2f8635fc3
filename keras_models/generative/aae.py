"""The adversarial autoencoder."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.generative.autoencoder import Autoencoder
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class AdversarialAutoencoder(Autoencoder):
    """An autoencoder whose codes are matched with a prior (Makhzani et al. 2016).

    The codes are the global feature mapped into the prior's support, for both the discriminator and
    the decoder, so samples of the prior can be decoded. The encoder is deterministic. The paper's
    two phases, reconstruction and regularisation, are one step here, on the sum of their losses.

    Args:
        encoder: Images -> endpoints.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        matching: `terms.PriorMatching`, weighted relative to the squared error.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `Autoencoder`; or the weight of `matching` is 0, which leaves only an
            autoencoder.
    """

    def __init__(self, encoder, decoder, matching, seed: int = 0, **kwargs):
        super().__init__(encoder, decoder, seed, **kwargs)
        if not matching.weight > 0:
            raise ValueError(
                f"the weight of prior matching is {matching.weight}; give more than 0, or take "
                "the autoencoder"
            )
        self.matching = matching

    def build_heads(self, shapes):
        super().build_heads(shapes)
        if not self.matching.built:
            self.matching.build(shapes)

    @property
    def adversary_variables(self):
        return self.matching.adversary_variables

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        features = tf.cast(endpoints["global"], tf.float32)
        codes = self.matching.prior.to_support(features)
        error = self.squared_error(batch.images, codes, training)
        matched = self.matching(endpoints, endpoints, random=random, training=training)
        loss = error + self.matching.weight * matched.encoder_loss
        metrics = {"squared_error": error, **matched.metrics}
        return Losses(loss, matched.adversary_loss, metrics, features)

    def config(self):
        return {**super().config(), "matching": self.matching}

"""The restricted Boltzmann machine (Hinton 2002, https://doi.org/10.1162/089976602760128018)."""

from dataclasses import dataclass

from dim_tf.models.fitted import FittedModel
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class RestrictedBoltzmannMachine(FittedModel):
    """Probabilities of binary hidden units, given the pixels."""

    NAME = "rbm"
    PREFIX = "rbm."
    LEARNED = "from unlabelled images as a restricted Boltzmann machine (Hinton 2002)"

    passes: int = config_field(10, "Passes over the images.", minimum=1, maximum=10**5)
    rate: float = config_field(0.01, "Learning rate.", above=0, maximum=1)
    batch: int = config_field(10, "Images, and Markov chains, per update.", minimum=1)

    def make_encoder(self, image_shape, latent_dim):
        """A linear map of the pixels, followed by the logistic function."""
        from keras_models.classical.encoders import LinearEncoder

        return LinearEncoder(image_shape, latent_dim, sigmoid=True, name="encoder")

    def fit(self, encoder, images, seed):
        """Sets the map to that of the hidden units."""
        import numpy as np

        from keras_models.classical import rbm

        pixels = (images.reshape(len(images), -1) + 1) / 2
        fitted = rbm.fit(pixels, encoder.latent_dim, self.passes, self.rate, self.batch, seed)
        # σ(W·v + b) of v = (x + 1)/2.
        encoder.assign(fitted.weights / 2, np.full(len(fitted.weights), -1.0), fitted.bias)
        return {"pseudo_likelihood": fitted.pseudo_likelihood}

"""Independent component analysis: by infomax (Bell & Sejnowski 1995), and FastICA."""

import abc
from dataclasses import dataclass

from dim_tf.models.fitted import FittedModel
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class IndependentComponents(FittedModel):
    """Settings of a method that unmixes whitened images."""

    iterations: int = config_field(500, "Most iterations.", minimum=1, maximum=10**6)

    def make_encoder(self, image_shape, latent_dim):
        """A linear map of the pixels."""
        from keras_models.classical.encoders import LinearEncoder

        return LinearEncoder(image_shape, latent_dim, name="encoder")

    def fit(self, encoder, images, seed):
        """Sets the map to whitening by principal components, followed by their unmixing."""
        from keras_models.classical import pca

        x = images.reshape(len(images), -1)
        components = pca.fit(x, encoder.latent_dim, seed)
        unmixing = self.unmix(components.whiten(x), seed)
        encoder.assign(components.whitening @ unmixing.weights.T, components.mean, unmixing.bias)
        return {
            "explained_variance": components.explained,
            "iterations": unmixing.iterations,
            "converged": float(unmixing.converged),
        }

    @abc.abstractmethod
    def unmix(self, white, seed):
        """The `Unmixing` of whitened rows, float64 [N, D]."""


@dataclass(frozen=True)
class InfomaxICA(IndependentComponents):
    """The outputs of a logistic network get the largest entropy, hence the most information."""

    NAME = "infomax_ica"
    PREFIX = "infomax_ica."
    LEARNED = "from unlabelled images by independent components (infomax, Bell & Sejnowski 1995)"

    def unmix(self, white, seed):
        """Unmixes by the natural gradient."""
        from keras_models.classical import ica

        return ica.infomax(white, self.iterations)


@dataclass(frozen=True)
class FastICAModel(IndependentComponents):
    """The projections that are farthest from a normal distribution."""

    NAME = "fastica"
    PREFIX = "fastica."
    LEARNED = "from unlabelled images by independent components (FastICA, Hyvärinen 1999)"

    def unmix(self, white, seed):
        """Unmixes by scikit-learn's FastICA."""
        from keras_models.classical import ica

        return ica.fastica(white, self.iterations, seed)

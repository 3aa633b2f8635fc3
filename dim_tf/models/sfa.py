"""Slow feature analysis (Wiskott & Sejnowski 2002)."""

from dataclasses import dataclass

from dim_tf.models.fitted import FittedModel
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class SlowFeatureAnalysis(FittedModel):
    """The quadratic functions of an image that a shift by one pixel changes least."""

    NAME = "sfa"
    PREFIX = "sfa."
    LEARNED = "from unlabelled images by slow feature analysis (Wiskott & Sejnowski 2002)"

    components: int = config_field(
        48, "Principal components whose products make the functions.", minimum=2, maximum=128
    )

    def make_encoder(self, image_shape, latent_dim):
        """A quadratic map of the pixels."""
        from keras_models.classical.encoders import QuadraticEncoder

        return QuadraticEncoder(image_shape, self.components, latent_dim, name="encoder")

    def fit(self, encoder, images, seed):
        """Sets the maps to whitening by principal components and to the slowest functions."""
        import numpy as np

        from keras_models.classical import pca, sfa

        x = images.reshape(len(images), -1)
        components = pca.fit(x, self.components, seed)
        after = [
            components.whiten(sfa.shifted(images, *shift).reshape(x.shape)) for shift in sfa.SHIFTS
        ]
        slow = sfa.fit(components.whiten(x), np.stack(after), encoder.latent_dim)
        encoder.assign(components.whitening, components.mean, slow.matrix, slow.mean)
        return {
            "explained_variance": components.explained,
            "slowest": float(slow.slowness[0]),
            "fastest": float(slow.slowness[-1]),
        }

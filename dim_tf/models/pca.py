"""Principal component analysis (Hotelling 1933, https://doi.org/10.1037/h0071325)."""

from dataclasses import dataclass

from dim_tf.models.fitted import FittedModel
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class PCAModel(FittedModel):
    """The projections of largest variance."""

    NAME = "pca"
    PREFIX = "pca."
    LEARNED = "from unlabelled images by principal component analysis"

    whiten: bool = config_field(False, "Divide each projection by its standard deviation.")

    def make_encoder(self, image_shape, latent_dim):
        """A linear map of the pixels."""
        from keras_models.classical.encoders import LinearEncoder

        return LinearEncoder(image_shape, latent_dim, name="encoder")

    def fit(self, encoder, images, seed):
        """Sets the map to the principal components."""
        from keras_models.classical import pca

        x = images.reshape(len(images), -1)
        components = pca.fit(x, encoder.latent_dim, seed)
        matrix = components.whitening if self.whiten else components.axes
        encoder.assign(matrix, components.mean)
        return {"explained_variance": components.explained}

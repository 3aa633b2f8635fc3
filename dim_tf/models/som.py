"""The self-organizing map (Kohonen 1990, https://doi.org/10.1109/5.58325)."""

from dataclasses import dataclass

from dim_tf.models.fitted import FittedPrototypes
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class SelfOrganizingMap(FittedPrototypes):
    """Prototypes on a grid; neighbouring ones become similar."""

    NAME = "som"
    PREFIX = "som."
    LEARNED = "from unlabelled images by a self-organizing map (Kohonen 1990)"
    PACKAGE = "minisom"
    EXTRA = "classical"

    rows: int = config_field(8, "Rows of the grid.", minimum=1, maximum=256)
    columns: int = config_field(8, "Columns of the grid.", minimum=1, maximum=256)
    passes: int = config_field(2, "Passes over the images.", minimum=1, maximum=10**4)
    rate: float = config_field(
        0.5, "Initial learning rate; it falls linearly to 0.", above=0, maximum=1
    )

    def make_encoder(self, image_shape, latent_dim):
        """How close an image is to each prototype."""
        from keras_models.classical.encoders import PrototypeEncoder

        return PrototypeEncoder(image_shape, self.rows * self.columns, name="encoder")

    def fit(self, encoder, images, seed):
        """Sets the prototypes."""
        from keras_models.classical import som

        x = images.reshape(len(images), -1)
        fitted = som.fit(x, self.rows, self.columns, self.passes, self.rate, seed)
        encoder.assign(fitted.prototypes)
        return {
            "quantization_error": fitted.quantization_error,
            "topographic_error": fitted.topographic_error,
        }

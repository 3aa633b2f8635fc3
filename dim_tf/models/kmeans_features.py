"""K-means features of patches (Coates, Lee & Ng 2011)."""

from dataclasses import dataclass

from dim_tf.models.fitted import FittedPrototypes
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class KMeansFeatures(FittedPrototypes):
    """How close the patches of each quadrant are to the centroids of whitened patches."""

    NAME = "kmeans_features"
    PREFIX = "kmeans_features."
    LEARNED = "from unlabelled images by k-means of whitened patches (Coates, Lee & Ng 2011)"

    centroids: int = config_field(400, "Centroids.", minimum=2, maximum=2**13)
    patch: int = config_field(6, "Side of a patch in pixels.", minimum=2, maximum=32)
    stride: int = config_field(1, "Pixels from one patch to the next.", minimum=1, maximum=32)
    patches: int = config_field(
        100_000, "Patches at random places in the images, which k-means clusters.", minimum=1
    )

    def make_encoder(self, image_shape, latent_dim):
        """Whitened patches and their distances from the centroids."""
        from keras_models.classical.encoders import PatchPrototypeEncoder

        return PatchPrototypeEncoder(
            image_shape, self.centroids, self.patch, self.stride, name="encoder"
        )

    def fit(self, encoder, images, seed):
        """Sets whitening and centroids."""
        from keras_models.classical import kmeans_features

        patches = kmeans_features.random_patches(images, self.patches, self.patch, seed)
        fitted = kmeans_features.fit(patches, self.centroids, seed)
        encoder.assign(fitted.whitening, fitted.mean, fitted.centroids)
        return {"mean_square_distance": fitted.inertia, "iterations": fitted.iterations}

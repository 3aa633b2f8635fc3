"""The base class of models that assign each image to one of a fixed number of clusters."""

import abc

import numpy as np
import tensorflow as tf

from keras_models.encoder_model import EncoderModel, one_global


class ClusterModel(EncoderModel):
    """An encoder, and a head that assigns its global feature to a cluster.

    Args:
        encoder: Images -> endpoints.
        clusters: K, number of clusters, at least 2.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: Fewer than 2 clusters; when built, the encoder has several globals.
    """

    def __init__(self, encoder, clusters: int, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if clusters < 2:
            raise ValueError(f"clusters={clusters}; expected at least 2")
        self.clusters = clusters

    def build_heads(self, shapes):
        self.build_clusters(one_global(shapes))

    @abc.abstractmethod
    def build_clusters(self, shape: tuple) -> None:
        """Builds the head for global features of this shape, [None, D]."""

    @abc.abstractmethod
    def scores(self, features: tf.Tensor) -> tf.Tensor:
        """Scores of the clusters in inference; an image belongs to the cluster with the largest.

        Args:
            features: Global features [N, D].

        Returns:
            float32 [N, K].
        """

    def assign(self, features: np.ndarray) -> np.ndarray:
        """The cluster of each image in inference: global features [N, D] -> int [N]."""
        return np.argmax(self.scores(tf.constant(features)), axis=1)

    def config(self):
        return {"clusters": self.clusters}

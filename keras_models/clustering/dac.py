"""Deep adaptive clustering (DAC)."""

import keras
import tensorflow as tf

from keras_models.clustering.cluster_model import ClusterModel
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseBlock
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

LARGEST_LAMBDA = 0.45  # where both thresholds are 0.5
SLOPE = 1.1  # of l(λ) - u(λ)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DAC(ClusterModel):
    """Makes pairs of images similar or dissimilar, the certain ones first (Chang et al. 2017).

    Section 3, https://openaccess.thecvf.com/content_iccv_2017/html/Chang_Deep_Adaptive_Image_ICCV_2017_paper.html

    An image's label feature l has no negative number and length 1; g_ij = l_i·l_j is the cosine of
    two images. A pair above the threshold u is labelled similar (r = 1), one below l dissimilar (r
    = 0); all others are left out. The encoder minimises the mean over the labelled pairs of -r·log
    g - (1 - r)·log(1 - g). The labels are computed from the same features, for all pairs of two
    images in the batch of all replicas. u = 0.95 - λ and l = 0.455 + 0.1·λ. λ starts at 0 and grows
    by 1.1·η, a gradient step on u - l, every `threshold_steps` steps, until the thresholds meet at
    0.5. There the paper ends training; here it continues with all pairs. The objective is not
    evaluated, because the thresholds are those of a training step.

    The head has two layers of K units with batch norm and ReLU, as in the paper, then exp(x)
    divided by its length. Its initial weights are those of all other layers here; the paper's are
    the identity, which needs K features.

    Args:
        encoder: Images -> endpoints.
        clusters: K.
        threshold_steps: Steps between two changes of λ, at least 1; the paper's epoch.
        threshold_rate: η; the default is that of a re-implementation. The authors' scripts for
            CIFAR-10 move thresholds of 0.99 and 0.8 towards each other over 50 epochs, and augment
            the images.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `ClusterModel`; or `threshold_steps` is less than 1.
    """

    evaluates = False  # the thresholds belong to a training step

    def __init__(
        self,
        encoder,
        clusters: int,
        threshold_steps: int,
        threshold_rate: float = 0.009,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, clusters, seed, **kwargs)
        if threshold_steps < 1:
            raise ValueError(f"threshold_steps={threshold_steps}; expected at least 1")
        self.threshold_steps = threshold_steps
        self.threshold_rate = threshold_rate
        self.head = [
            DenseBlock(clusters, synchronized=encoder.synchronized, name=f"head{i}")
            for i in range(2)
        ]

    def build_clusters(self, shape):
        for layer in self.head:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def label_features(self, features, training: bool = False) -> tf.Tensor:
        """Global features [N, D] -> float32 [N, K], not negative, of length 1."""
        x = features
        for layer in self.head:
            x = layer(x, training=training)
        x = tf.cast(x, tf.float32)
        x = tf.exp(x - tf.reduce_max(x, axis=1, keepdims=True))  # at least one is 1
        return x / tf.norm(x, axis=1, keepdims=True)

    def scores(self, features):
        return self.label_features(features)

    def thresholds(self, step) -> tuple[tf.Tensor, tf.Tensor]:
        """(l, u) at that step, float32 scalars."""
        changes = tf.cast(tf.cast(step, tf.int32) // self.threshold_steps, tf.float32)
        value = tf.minimum(SLOPE * self.threshold_rate * changes, LARGEST_LAMBDA)
        return 0.455 + 0.1 * value, 0.95 - value

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        features = self.encoder(batch.images, training=training, random=random)["global"]
        labels = self.label_features(features, training)
        count = tf.shape(labels)[0]
        own = replicas.index() * count + tf.range(count)
        lower, upper = self.thresholds(random.step)
        loss, similar, dissimilar = pair_loss(labels, replicas.concat(labels), own, lower, upper)
        metrics = {
            "similar_pairs": similar,
            "dissimilar_pairs": dissimilar,
            "upper_threshold": upper,
        }
        return Losses(loss, None, metrics, features)

    def config(self):
        return {
            **super().config(),
            "threshold_steps": self.threshold_steps,
            "threshold_rate": self.threshold_rate,
        }


def pair_loss(
    labels: tf.Tensor, all_labels: tf.Tensor, own: tf.Tensor, lower, upper
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The mean loss of the labelled pairs of two images.

    Args:
        labels: float32 [N, K], label features of this replica's images.
        all_labels: float32 [B, K], those of all replicas.
        own: int [N], the rows of this replica's images in `all_labels`; an image is not paired with
            itself.
        lower: l; pairs with a smaller cosine are dissimilar.
        upper: u; pairs with a larger cosine are similar.

    Returns:
        The loss, whose mean over the replicas is that of all pairs, and the fractions of this
        replica's pairs that are labelled similar and dissimilar; float32 scalars.
    """
    cosines = tf.matmul(labels, all_labels, transpose_b=True)
    total = tf.shape(all_labels)[0]
    other = tf.one_hot(own, total, on_value=False, off_value=True, dtype=tf.bool)
    similar = other & (cosines > upper)
    dissimilar = other & (cosines < lower)
    # The logarithms of pairs that are not labelled could be infinite.
    logs = tf.math.log(tf.where(similar, cosines, 1.0))
    logs += tf.math.log(tf.where(dissimilar, 1.0 - cosines, 1.0))
    counts = [tf.reduce_sum(tf.cast(pairs, tf.float32)) for pairs in (similar, dissimilar)]
    labelled = replicas.mean(counts[0] + counts[1])
    pairs = tf.cast(tf.shape(labels)[0] * (total - 1), tf.float32)
    return (
        tf.math.divide_no_nan(-tf.reduce_sum(logs), labelled),
        counts[0] / pairs,
        counts[1] / pairs,
    )

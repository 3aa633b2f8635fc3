"""Invariant information clustering (IIC)."""

import keras
import tensorflow as tf

from keras_models.clustering.cluster_model import ClusterModel
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses
from keras_models.views import VIEWS, Views

MOMENTUM = 0.99  # of the moving average of each head's loss
SMALLEST = 1e-12  # of a joint probability inside a logarithm; a softmax may underflow to 0


@keras.saving.register_keras_serializable(layers.PACKAGE)
class IIC(ClusterModel):
    """Mutual information of the clusters of an image's two views (Ji et al. 2019, eq. 1 to 3).

    https://arxiv.org/abs/1807.06653

    P is the joint distribution of the clusters z and z' of two views: the mean of Φ(x)·Φ(x')ᵀ over
    the images of all replicas (eq. 2), made symmetric. The model maximises I(z, z') = Σ P_cc'
    log(P_cc' / (P_c P_c')) (eq. 3), averaged with the same quantity for a second head with more
    clusters, the "auxiliary overclustering". A head consists of several sub-heads that differ in
    their initial weights; its value is their mean.

    The paper alternates between epochs of one head and of the other; here each step trains both. As
    in the paper, the clusters are those of the best sub-head: here the one with the lowest moving
    average of its loss, in the paper the one with the lowest loss on the whole training set.

    Args:
        encoder: Images -> endpoints.
        clusters: K of the main head.
        overclusters: Clusters of the auxiliary head; 0: no such head.
        sub_heads: Sub-heads of each head; the paper's 5.
        views: Makes two views of the images.
        seed: Seed of the random numbers drawn in training.

    Attributes:
        head_losses: float32 variable [sub_heads], moving averages of the main sub-heads' losses.

    Raises:
        ValueError: As for `ClusterModel`; or `views` has no augmentation, or there is no sub-head.
    """

    def __init__(
        self,
        encoder,
        clusters: int,
        overclusters: int = 70,
        sub_heads: int = 5,
        views: Views | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, clusters, seed, **kwargs)
        if views is None or not views.augmentation:
            raise ValueError("IIC compares two views; give views=Views(Augmentation())")
        if sub_heads < 1:
            raise ValueError(f"sub_heads={sub_heads}; expected at least 1")
        self.overclusters = overclusters
        self.sub_heads = sub_heads
        self.views = views
        self.main_head = DenseHead(sub_heads * clusters, name="main_head")
        self.auxiliary_head = None
        if overclusters:
            self.auxiliary_head = DenseHead(sub_heads * overclusters, name="auxiliary_head")

    def build_clusters(self, shape):
        self.main_head.build(shape)
        if self.auxiliary_head:
            self.auxiliary_head.build(shape)
        self.head_losses = self.add_weight(
            shape=(self.sub_heads,),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            aggregation="only_first_replica",  # all assign the same
            name="head_losses",
        )

    def probabilities(self, head, features) -> tf.Tensor:
        """Global features [N, D] -> cluster probabilities of a head, float32 [sub_heads, N, K]."""
        logits = tf.cast(head(features), tf.float32)
        logits = tf.reshape(logits, [-1, self.sub_heads, logits.shape[-1] // self.sub_heads])
        return tf.nn.softmax(tf.transpose(logits, [1, 0, 2]))

    def scores(self, features):
        best = tf.argmin(self.head_losses.value)
        return tf.gather(self.probabilities(self.main_head, features), best)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        context_images, query_images = self.views(batch.images, random)
        first = self.encoder(context_images, training=training, random=random)["global"]
        other = random.fold_in(VIEWS[1])
        second = self.encoder(query_images, training=training, random=other)["global"]

        def losses(head):
            return -mutual_information(*(self.probabilities(head, x) for x in (first, second)))

        main = losses(self.main_head)  # [sub_heads]
        if training:
            self.head_losses.assign(
                MOMENTUM * self.head_losses + (1 - MOMENTUM) * tf.stop_gradient(main)
            )
        loss = tf.reduce_mean(main)
        metrics = {"cluster_information": -loss}
        if self.auxiliary_head:
            auxiliary = tf.reduce_mean(losses(self.auxiliary_head))
            metrics["overcluster_information"] = -auxiliary
            loss = 0.5 * (loss + auxiliary)
        return Losses(loss, None, metrics, second)

    def config(self):
        return {
            **super().config(),
            "overclusters": self.overclusters,
            "sub_heads": self.sub_heads,
            "views": self.views,
        }


def mutual_information(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """I(z, z') in nats, for clusters z and z' with the given probabilities.

    Args:
        first: float32 [..., N, K], probabilities of the clusters of this replica's images.
        second: float32 [..., N, K], those of another view of the same images.

    Returns:
        float32 [...], over the images of all replicas.
    """
    images = tf.cast(tf.shape(first)[-2], tf.float32)
    joint = replicas.mean(tf.matmul(first, second, transpose_a=True) / images)
    joint = 0.5 * (joint + tf.linalg.matrix_transpose(joint))
    marginal = tf.reduce_sum(joint, axis=-1)  # of both: the joint is symmetric

    def log(p):
        return tf.math.log(tf.maximum(p, SMALLEST))

    log_product = log(marginal)[..., tf.newaxis] + log(marginal)[..., tf.newaxis, :]
    return tf.reduce_sum(joint * (log(joint) - log_product), axis=[-2, -1])

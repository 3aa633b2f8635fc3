"""Information maximising self-augmented training (IMSAT)."""

import keras
import tensorflow as tf

from keras_models.clustering.cluster_model import ClusterModel
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses
from keras_models.views import VIEWS, Views

PROBE_LENGTH = 10.0  # ξ, the step along which the direction is found; the authors' code
NEIGHBOUR = 10  # the radius is a fraction of the distance from this neighbour


@keras.saving.register_keras_serializable(layers.PACKAGE)
class IMSAT(ClusterModel):
    """Mutual information of images and clusters; changes of an image must keep its cluster.

    Hu et al. 2017, sections 3.1 to 3.3, https://arxiv.org/abs/1702.08720. The model minimises R_SAT
    - λ·(μ·H(Y) - H(Y|X)). H(Y) is the entropy of the mean of p(y|x) over the images of all
    replicas, and H(Y|X) is the mean of the entropies of p(y|x). The value of μ is from the authors'
    experiments. R_SAT is the mean of -Σ_y p(y|x) log p(y|T(x)), where p(y|x) is constant.

    T is either an augmentation, that of the second view of `views`; or, without `views`, the
    virtual adversarial perturbation x + r: r has the length ε and increases the divergence most,
    approximated by one step of the power method (Miyato et al. 2016). ε is `radius` times the
    distance of x from its 10th neighbour. The paper takes the neighbour among all training images.
    Here it is among those of the batch, over all replicas (the last one, if there are fewer).

    Args:
        encoder: Images -> endpoints.
        clusters: K.
        information_weight: λ; the paper's 0.1.
        marginal_weight: μ; the paper's 4.
        radius: α of the adversarial perturbation; the paper's 0.25.
        views: Makes two views of the images; None: adversarial perturbation.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `ClusterModel`; or `views` has no augmentation.
    """

    def __init__(
        self,
        encoder,
        clusters: int,
        information_weight: float = 0.1,
        marginal_weight: float = 4.0,
        radius: float = 0.25,
        views: Views | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, clusters, seed, **kwargs)
        if views is not None and not views.augmentation:
            raise ValueError("IMSAT's views are the images; give views=Views(Augmentation())")
        self.information_weight = information_weight
        self.marginal_weight = marginal_weight
        self.radius = radius
        self.views = views
        self.head = DenseHead(clusters, name="head")

    def build_clusters(self, shape):
        self.head.build(shape)

    def scores(self, features):
        return tf.cast(self.head(features), tf.float32)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        logits = self.scores(endpoints["global"])

        if self.views:
            changed = self.views(batch.images, random)[1]
            noise = random.fold_in(VIEWS[1])
        else:
            changed = batch.images + self.perturbation(batch.images, logits, random, training)
            noise = random  # dropout is not part of the divergence
        changed = self.encoder(changed, training=training, random=noise)
        invariance = cross_entropy(tf.stop_gradient(logits), self.scores(changed["global"]))
        marginal, conditional = entropies(logits)
        information = self.marginal_weight * marginal - conditional
        loss = tf.reduce_mean(invariance) - self.information_weight * information
        metrics = {
            "invariance": tf.reduce_mean(invariance),
            "marginal_entropy": marginal,
            "conditional_entropy": conditional,
        }
        return Losses(loss, None, metrics, endpoints["global"])

    def perturbation(self, images, logits, random: StepRandom, training: bool) -> tf.Tensor:
        """The perturbation r of each image, of length ε: float32 [N, H, W, C], a constant."""
        direction = random.uniform("perturbation", tf.shape(images)[0], self.image_shape)
        direction = unit(direction - 0.5)
        with tf.GradientTape() as tape:
            tape.watch(direction)
            moved = images + PROBE_LENGTH * direction
            features = self.encoder(moved, training=training, random=random)["global"]
            divergence = cross_entropy(tf.stop_gradient(logits), self.scores(features))
            total = tf.reduce_sum(divergence)
        gradient = tf.cast(tape.gradient(total, direction), tf.float32)
        length = self.radius * neighbour_distances(images)
        return tf.stop_gradient(length[:, None, None, None] * unit(gradient))

    def config(self):
        return {
            **super().config(),
            "information_weight": self.information_weight,
            "marginal_weight": self.marginal_weight,
            "radius": self.radius,
            "views": self.views,
        }


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """-Σ_y p(y) log q(y) of two distributions, given by their logits [N, K] each: float32 [N]."""
    return -tf.reduce_sum(tf.nn.softmax(targets) * tf.nn.log_softmax(logits), axis=1)


def entropies(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """H(Y) over the images of all replicas, and H(Y|X) over this replica's images, in nats.

    Args:
        logits: float32 [N, K], of p(y|x).
    """
    marginal = replicas.mean(tf.reduce_mean(tf.nn.softmax(logits), axis=0))  # [K]
    entropy = -tf.reduce_sum(tf.math.xlogy(marginal, marginal))
    return entropy, tf.reduce_mean(cross_entropy(logits, logits))


def neighbour_distances(images: tf.Tensor, neighbour: int = NEIGHBOUR) -> tf.Tensor:
    """The distance of each image from its neighbour of that rank in the batch of all replicas.

    Args:
        images: float32 [N, H, W, C], this replica's.
        neighbour: Rank, from 1; the last neighbour if there are fewer.

    Returns:
        float32 [N].
    """
    count = tf.shape(images)[0]
    size = images.shape[1] * images.shape[2] * images.shape[3]
    rows = tf.reshape(images, [count, size])
    others = replicas.concat(rows)
    squares = tf.reduce_sum(others**2, axis=1)
    own = tf.reduce_sum(rows**2, axis=1)[:, tf.newaxis]
    distances = own + squares - 2 * tf.matmul(rows, others, transpose_b=True)
    # Rank 0 is the image itself, whose distance rounds to about 0.
    ascending = tf.sort(distances, axis=1)
    rank = tf.minimum(neighbour, tf.shape(others)[0] - 1)
    return tf.sqrt(tf.maximum(ascending[:, rank], 0.0))


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """Each image [H, W, C] of a batch divided by its length; 0 stays 0."""
    # Divided by the largest number first, because squares of small gradients underflow.
    largest = tf.reduce_max(tf.abs(vectors), axis=[1, 2, 3], keepdims=True)
    scaled = tf.math.divide_no_nan(vectors, largest)
    squares = tf.reduce_sum(scaled**2, axis=[1, 2, 3], keepdims=True)  # 1 or more, or 0
    return scaled * tf.math.rsqrt(tf.maximum(squares, 1.0))

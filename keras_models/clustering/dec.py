"""Deep embedded clustering (DEC)."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

from keras_models import optimizers
from keras_models.clustering.cluster_model import ClusterModel
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.encoder_model import check_makes_images_of
from keras_models.nn import layers
from keras_models.nn.kernels import FusedAdam
from keras_models.objective_model import Batch, Losses

KMEANS_STARTS = 20  # the paper's
MAX_KMEANS_IMAGES = 10_000


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DEC(ClusterModel):
    """Pulls an autoencoder's features to the centroids of their clusters (Xie et al. 2016).

    https://arxiv.org/abs/1511.06335

    For `pretraining_steps` steps the model is an autoencoder. Then k-means of the features sets the
    centroids μ, the decoder is dropped, and encoder and centroids minimise KL(P ‖ Q) (eq. 2),
    averaged over the images. q_ij assigns feature i to centroid j by a Student's t distribution
    with one degree of freedom (eq. 1). p_ij is the normalised q_ij² / Σ_i q_ij (eq. 3), which is
    recomputed every `refresh_steps` steps and constant in between.

    The paper encodes all images for each recomputation. Here the feature is the one that each
    training image had when it was last in a batch; an image that has not been in a batch has no
    target yet. Features and targets are part of the weights, so a step is a function of the
    weights, the step and the batch. The paper pretrains layer by layer on images with dropout; here
    all layers are trained at once.

    The metric `reassigned` is the fraction of the batch's images whose likeliest cluster by Q, the
    current one, is not that by P. It is not the paper's stopping criterion, which compares each
    image's cluster with that at the previous computation of P.

    Args:
        encoder: Images -> endpoints; the global feature is the code.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        clusters: K.
        images: Number of training images.
        pretraining_steps: Steps of the autoencoder, at least 1.
        refresh_steps: Steps between two computations of P, at least 1.
        seed: Seed of k-means and of the random numbers drawn in training.

    Attributes:
        centroids: float32 variable [K, D].
        embeddings: float32 variable [images, D], the last feature of each training image.
        encoded: float32 variable [images], 1 for images that have a feature, else 0.
        targets: float32 variable [images, K], P; 0 for an image that has no target.

    Raises:
        ValueError: As for `ClusterModel`; or the decoder outputs images of another shape, or a
            number of steps is less than 1.
    """

    needs_indices = True
    evaluates = False  # a target belongs to a training image
    compiles = False  # XLA cannot call k-means

    def __init__(
        self,
        encoder,
        decoder,
        clusters: int,
        images: int,
        pretraining_steps: int,
        refresh_steps: int,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, clusters, seed, **kwargs)
        check_makes_images_of(encoder, decoder)
        for name, steps in (
            ("pretraining_steps", pretraining_steps),
            ("refresh_steps", refresh_steps),
        ):
            if steps < 1:
                raise ValueError(f"{name}={steps}; expected at least 1")
        self.decoder = decoder
        self.images = images
        self.pretraining_steps = pretraining_steps
        self.refresh_steps = refresh_steps

    def build_clusters(self, shape):
        if not self.decoder.built:
            self.decoder.build()

        def variable(name, shape, trainable=False):
            return self.add_weight(
                shape=shape,
                initializer="zeros",
                dtype="float32",
                trainable=trainable,
                aggregation="only_first_replica",  # all assign the same
                name=name,
            )

        self.centroids = variable("centroids", (self.clusters, shape[-1]), trainable=True)
        self.embeddings = variable("embeddings", (self.images, shape[-1]))
        self.encoded = variable("encoded", (self.images,))
        self.targets = variable("targets", (self.images, self.clusters))

    def _build_optimizers(self):
        super()._build_optimizers()
        main = optimizers.inner(self.optimizer)
        if isinstance(main, FusedAdam):  # the centroids' gradient is 0 until then
            main.set_rate([self.centroids], 1.0, self.pretraining_steps)

    def scores(self, features):
        return student_t(tf.cast(features, tf.float32), tf.convert_to_tensor(self.centroids))

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        features = tf.cast(endpoints["global"], tf.float32)
        indices = tf.reshape(replicas.all_gather(batch.indices), [-1])[:, tf.newaxis]
        self._keep(indices, replicas.concat(tf.stop_gradient(features)))
        step = tf.cast(random.step, tf.int32) - self.pretraining_steps  # of the clustering
        self._refresh(step)

        error = tf.reduce_mean((batch.images - self.decoder(features, training=training)) ** 2)
        assignment = self.scores(features)
        targets = tf.gather(self.targets.value, batch.indices)
        divergence = tf.reduce_mean(kl_divergence(targets, assignment))
        has_target = tf.reduce_sum(targets, axis=1)  # 1 or 0
        moved = tf.not_equal(tf.argmax(assignment, axis=1), tf.argmax(targets, axis=1))
        moved = tf.reduce_sum(tf.cast(moved, tf.float32) * has_target)
        metrics = {
            "squared_error": error,
            "cluster_divergence": divergence,
            "reassigned": tf.math.divide_no_nan(moved, tf.reduce_sum(has_target)),
        }
        return Losses(tf.where(step < 0, error, divergence), None, metrics, features)

    def _keep(self, indices, features):
        embeddings = tf.tensor_scatter_nd_update(self.embeddings.value, indices, features)
        self.embeddings.assign(embeddings)
        ones = tf.ones(tf.shape(indices)[:1])
        self.encoded.assign(tf.tensor_scatter_nd_update(self.encoded.value, indices, ones))

    def _refresh(self, step):
        """Sets the centroids at step 0 of the clustering, and the targets when they are due."""
        # A variable cannot be assigned inside a condition on replicas.
        embeddings, encoded = self.embeddings.value, self.encoded.value
        before = tf.convert_to_tensor(self.centroids)
        seed = derive_seed(self.seed, "k-means")
        self.centroids.assign(
            tf.cond(
                tf.equal(step, 0),
                lambda: initial_centroids(embeddings, encoded, before, seed),
                lambda: before,
            )
        )
        is_due = tf.logical_and(step >= 0, tf.equal(step % self.refresh_steps, 0))
        targets = self.targets.value
        self.targets.assign(
            tf.cond(
                is_due,
                lambda: target_distribution(self.scores(embeddings), encoded),
                lambda: targets,
            )
        )

    def config(self):
        return {
            **super().config(),
            "decoder": self.decoder,
            "images": self.images,
            "pretraining_steps": self.pretraining_steps,
            "refresh_steps": self.refresh_steps,
        }


def student_t(features: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """Q: q_ij = (1 + ‖z_i - μ_j‖²)⁻¹, normalised over the clusters j (eq. 1).

    Args:
        features: float32 [N, D].
        centroids: float32 [K, D].

    Returns:
        float32 [N, K].
    """
    # ‖z - μ‖² = ‖z‖² + ‖μ‖² - 2·z·μ needs no [N, K, D]; rounding is small beside the 1.
    squares = tf.reduce_sum(features**2, axis=1, keepdims=True)
    squares += tf.reduce_sum(centroids**2, axis=1) - 2 * tf.matmul(
        features, centroids, transpose_b=True
    )
    kernel = 1.0 / (1.0 + tf.maximum(squares, 0.0))
    return kernel / tf.reduce_sum(kernel, axis=1, keepdims=True)


def target_distribution(assignment: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """P: p_ij = q_ij² / f_j, normalised over the clusters j, with f_j = Σ_i q_ij (eq. 3).

    Args:
        assignment: Q, float32 [N, K].
        encoded: float32 [N], 1 for the images that count; the rows of others are 0.
    """
    counted = assignment * encoded[:, tf.newaxis]
    weights = tf.math.divide_no_nan(counted**2, tf.reduce_sum(counted, axis=0))
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))


def kl_divergence(targets: tf.Tensor, assignment: tf.Tensor) -> tf.Tensor:
    """KL(p ‖ q) of each row, in nats: float32 [N]; 0 for a row of targets that is 0."""
    return tf.reduce_sum(tf.math.xlogy(targets, targets) - targets * tf.math.log(assignment), 1)


def initial_centroids(
    embeddings: tf.Tensor, encoded: tf.Tensor, before: tf.Tensor, seed: int
) -> tf.Tensor:
    """Centroids by k-means, the best of 20 starts, of at most 10,000 features.

    Args:
        embeddings: float32 [N, D].
        encoded: float32 [N], 1 for the rows that count.
        before: float32 [K, D], returned if a feature is not finite; the loss is not finite then
            either, which stops training.
        seed: Seed of the starts and of the choice of features.

    Returns:
        float32 [K, D].
    """

    def fit(rows, is_encoded, centroids):
        rows = rows[is_encoded > 0]
        if not np.isfinite(rows).all():
            return centroids
        if len(rows) > MAX_KMEANS_IMAGES:
            chosen = np.random.default_rng(seed).choice(len(rows), MAX_KMEANS_IMAGES, False)
            rows = rows[np.sort(chosen)]
        kmeans = KMeans(len(centroids), n_init=KMEANS_STARTS, random_state=seed)
        return kmeans.fit(rows).cluster_centers_.astype(np.float32)

    result = tf.numpy_function(fit, [embeddings, encoded, before], tf.float32, stateful=False)
    return tf.ensure_shape(result, before.shape)

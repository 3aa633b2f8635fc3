"""Noise As Targets."""

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from keras_models import priors
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel, one_global
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class NoiseAsTargets(EncoderModel):
    """Pulls each image's feature to a point on the unit sphere (Bojanowski & Joulin 2017).

    Each training image has a random target y. In every step the images of the batch, over all
    replicas, exchange targets to minimise the sum of ½‖f - y‖² (their algorithm 1, the Hungarian
    assignment), where f is the normalised global feature. Then the encoder minimises the mean. The
    assignment is part of the weights. The original encodes the gradients of the images instead of
    the images.

    Args:
        encoder: Images -> endpoints.
        images: Number of training images.
        seed: Seed of the targets, and of the random numbers drawn in training.

    Attributes:
        targets: float32 variable [images, D]; row i is the target of training image i.

    Raises:
        ValueError: When built, the encoder has several globals.
    """

    needs_indices = True
    evaluates = False  # a target belongs to a training image
    compiles = False  # XLA cannot call SciPy

    def __init__(self, encoder, images: int, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        self.images = images

    def build_heads(self, shapes):
        dim = one_global(shapes)[-1]

        def on_the_sphere(shape, dtype=None):
            noise = StepRandom(self.seed, tf.constant(0)).uniform("targets", shape[0], shape[1:])
            return priors.SpherePrior(dim).sample(noise)

        self.targets = self.add_weight(
            shape=(self.images, dim),
            initializer=on_the_sphere,
            dtype="float32",
            trainable=False,
            aggregation="only_first_replica",  # all assign the same
            name="targets",
        )

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        features = tf.cast(endpoints["global"], tf.float32)
        unit = tf.math.l2_normalize(features, axis=1)  # [N, D]
        gathered = replicas.concat(tf.stop_gradient(unit))  # [R·N, D]
        indices = tf.reshape(replicas.all_gather(batch.indices), [-1])  # [R·N]

        before = tf.gather(self.targets.value, indices)
        after = assign_targets(gathered, before)
        self.targets.assign(
            tf.tensor_scatter_nd_update(self.targets.value, indices[:, tf.newaxis], after)
        )
        count = tf.shape(unit)[0]
        first = replicas.index() * count
        local_targets = after[first : first + count]
        loss = tf.reduce_mean(0.5 * tf.reduce_sum((unit - local_targets) ** 2, axis=1))
        exchanged = tf.reduce_any(tf.not_equal(before, after), axis=1)
        metrics = {"reassigned": tf.reduce_mean(tf.cast(exchanged, tf.float32))}
        return Losses(loss, None, metrics, features)

    def config(self):
        return {"images": self.images}


def assign_targets(features: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Permutes the targets to minimise the sum of squared distances to the features.

    Args:
        features: float32 [N, D], of length 1.
        targets: float32 [N, D], of length 1.

    Returns:
        float32 [N, D]: row i is the target of feature i. The targets are unchanged if a feature is
        not finite; the loss is not finite then either, which stops training.
    """

    def permutation(f, t):
        # For vectors of length 1, the smallest squared distance is the largest product.
        products = np.matmul(f, t.T)
        if not np.isfinite(products).all():  # else SciPy raises before the loss is checked
            return np.arange(len(f), dtype=np.int32)
        return linear_sum_assignment(products, maximize=True)[1].astype(np.int32)

    order = tf.numpy_function(permutation, [features, targets], tf.int32, stateful=False)
    order.set_shape(features.shape[:1])
    return tf.gather(targets, order)

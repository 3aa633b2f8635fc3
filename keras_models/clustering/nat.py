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
    """Each image's feature is drawn to a point on the unit sphere (Bojanowski & Joulin 2017).

    There are as many random targets as training images, one for each, fixed at first. In every step
    the batch's images exchange theirs so that the sum of ½‖f - y‖² is the least (their algorithm 1;
    the Hungarian assignment), f being the global feature over its length; then the encoder
    minimises the mean of that. Which image has which target is part of the weights. The batch is
    that of all replicas. The original looks at the images' gradients; here it is the images.

    Args:
        encoder: images -> endpoints.
        images: how many training images there are.
        seed: of the targets, and of the random numbers drawn in training.

    Attributes:
        targets: float32 variable [images, D]; row i is the target of training image i.

    Raises:
        ValueError: when built, the encoder has several globals.
    """

    needs_rows = True
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
        everywhere = tf.stop_gradient(unit)
        every = tf.reshape(replicas.stack(everywhere), [-1, unit.shape[1]])  # [R·N, D]
        rows = tf.reshape(replicas.stack(batch.rows), [-1])  # [R·N]

        before = tf.gather(self.targets.value, rows)
        after = assigned(every, before)
        self.targets.assign(
            tf.tensor_scatter_nd_update(self.targets.value, rows[:, tf.newaxis], after)
        )
        count = tf.shape(unit)[0]
        first = replicas.index() * count
        own_targets = after[first : first + count]
        loss = tf.reduce_mean(0.5 * tf.reduce_sum((unit - own_targets) ** 2, axis=1))
        exchanged = tf.reduce_any(tf.not_equal(before, after), axis=1)
        metrics = {"reassigned": tf.reduce_mean(tf.cast(exchanged, tf.float32))}
        return Losses(loss, None, metrics, features)

    def config(self):
        return {"images": self.images}


def assigned(features: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The targets, exchanged so that the sum of squared distances to the features is the least.

    Args:
        features: float32 [N, D], of length 1.
        targets: float32 [N, D], of length 1.

    Returns:
        float32 [N, D]: row i is the target of feature i. Where a feature is not finite, as they
        came: the loss is not finite either, and training ends by that.
    """

    def permutation(f, t):
        # Among vectors of length 1 the least squared distance is the largest product.
        products = np.matmul(f, t.T)
        if not np.isfinite(products).all():  # SciPy would raise before the loss tells it
            return np.arange(len(f), dtype=np.int32)
        return linear_sum_assignment(products, maximize=True)[1].astype(np.int32)

    order = tf.numpy_function(permutation, [features, targets], tf.int32, stateful=False)
    order.set_shape(features.shape[:1])
    return tf.gather(targets, order)

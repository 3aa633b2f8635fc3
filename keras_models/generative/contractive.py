"""The contractive autoencoder: codes that change little when the image does."""

import keras
import tensorflow as tf

from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.generative.autoencoder import Autoencoder
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Standardisation(keras.layers.BatchNormalization):
    """Batch norm of [N, D] without scale and offset, whose second derivatives are exact.

    Those of Keras' batch norm are not exact: its variance treats the mean as a constant, which does
    not affect first derivatives.
    """

    def call(self, inputs, training=None, mask=None):
        """Standardises by the batch's statistics in training, else by the moving ones."""
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if training:
            of_all = replicas.mean if self.synchronized else lambda value: value
            mean = of_all(tf.reduce_mean(inputs, axis=0))
            variance = of_all(tf.reduce_mean((inputs - mean) ** 2, axis=0))
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return (inputs - mean) * tf.math.rsqrt(variance + self.epsilon)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ContractiveAutoencoder(Autoencoder):
    """Minimises the squared error + λ·E‖J_h(x)‖²_F (Rifai et al. 2011, eq. 7).

    https://icml.cc/2011/papers/455_icmlpaper.pdf. J_h is the Jacobian of the code h with respect to
    the image. Its squared Frobenius norm is estimated by random projections (Hutchinson 1990): for
    v with independent entries ±1,

        E‖Jᵀv‖² = E vᵀ(JJᵀ)v = tr(JJᵀ) = ‖J‖²_F,

    which is unbiased; its variance is 2·Σ_{i≠j} (JJᵀ)²_ij divided by the number of projections.
    Each projection takes one vector-Jacobian product.

    Two choices are ours. First, the paper's decoder has the transposed weights of the encoder, so
    that codes cannot shrink while the decoder grows. This decoder has its own weights, and starts
    with batch norm, which would undo any shrinking. So h is the global feature standardised by the
    batch (batch norm without scale and offset), whose Jacobian does not depend on the feature's
    scale. Second, batch norm makes the codes of a batch depend on all its images: J is the Jacobian
    of the batch's codes with respect to the batch's images, and the penalty is its squared norm
    divided by the number of images. If no image influences another's code, that is the mean of the
    images' own ‖J_h(x)‖²_F.

    Args:
        encoder: Images -> endpoints; the global feature is decoded.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        penalty: λ.
        projections: Number of projections v per image, over which the estimate is averaged.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `Autoencoder`; or `penalty` is negative, or `projections` is less than 1.
    """

    def __init__(
        self, encoder, decoder, penalty: float = 1e-3, projections: int = 1, seed: int = 0, **kwargs
    ):
        super().__init__(encoder, decoder, seed, **kwargs)
        if penalty < 0 or projections < 1:
            raise ValueError(
                f"penalty={penalty}, projections={projections}; expected at least 0 and 1"
            )
        self.penalty = penalty
        self.projections = projections
        self.standardise = Standardisation(
            center=False,
            scale=False,
            momentum=layers.BATCH_NORM_MOMENTUM,
            epsilon=layers.NORM_EPSILON,
            synchronized=encoder.synchronized,
            dtype="float32",
            name="standardise",
        )

    def build_heads(self, shapes):
        super().build_heads(shapes)
        self.standardise.build(shapes["global"])

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        images = batch.images
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(images)
            endpoints = self.encoder(images, training=training, random=random)
            codes = tf.cast(endpoints["global"], tf.float32)
            standardised = self.standardise(codes, training=training)
            signs = self._signs(random, codes)
            projected = [tf.reduce_sum(v * standardised) for v in signs]
        norms = [tf.reduce_sum(tape.gradient(x, images) ** 2) for x in projected]
        count = tf.cast(tf.shape(images)[0] * self.projections, tf.float32)
        squared_norm = tf.add_n(norms) / count
        error = self.squared_error(images, codes, training)
        metrics = {"squared_error": error, "jacobian_squared_norm": squared_norm}
        return Losses(error + self.penalty * squared_norm, None, metrics, codes)

    def _signs(self, random, codes) -> list[tf.Tensor]:
        """Independent signs in the shape of the codes, one tensor per projection."""
        noise = random.uniform(
            "projections", tf.shape(codes)[0], (self.projections, self.encoder.global_dim)
        )
        return tf.unstack(tf.where(noise < 0.5, -1.0, 1.0), axis=1)

    def config(self):
        return {
            **super().config(),
            "penalty": self.penalty,
            "projections": self.projections,
        }

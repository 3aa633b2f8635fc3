"""The context encoder: an image's centre is painted from its surroundings."""

import keras
import numpy as np
import tensorflow as tf

from keras_models import adversary
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel, one_global
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

OVERLAP_WEIGHT = 10.0  # of the errors in the region's border, which the encoder sees
OVERLAP_FRACTION = 32  # the border's width is the image's side over this, at least 1 pixel


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ContextEncoder(EncoderModel):
    """Paints the central region, a quarter of the image (Pathak et al. 2016, eq. 1 to 3).

    https://arxiv.org/abs/1604.07379

    The encoder sees the image with the region set to 0, which is mid-grey, except for the region's
    border. The border is both seen and painted, with ten times the weight, so that the painting
    continues the image (their section 4.1). The decoder minimises λ_rec·L_rec + λ_adv·L_adv. L_rec
    is the weighted mean squared error of the region (eq. 1). The discriminator maximises L_adv =
    E[log D(region)] + E[log(1 - D(painted))] (eq. 2). For encoder and decoder its second part is
    replaced by -E[log D(painted)], which does not saturate, as in the authors' code. The
    discriminator sees only the region.

    Args:
        encoder: Images -> endpoints; the global feature is the code.
        decoder: Codes [N, D] -> images in [-1, 1] of the region's shape.
        discriminator: Regions -> logits.
        adversarial_weight: λ_adv, in [0, 1); λ_rec is 1 - λ_adv. The paper's 0.001.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: The decoder outputs images of another shape than the region's, or
            `adversarial_weight` is not in [0, 1); when built, the encoder has several globals.
    """

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        adversarial_weight: float = 0.001,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        if not 0 <= adversarial_weight < 1:
            raise ValueError(
                f"adversarial_weight={adversarial_weight}; expected a number from 0 to below 1"
            )
        region = region_shape(encoder.image_shape)
        if tuple(decoder.image_shape) != region:
            raise ValueError(
                f"the region has the shape {region}, the decoder makes {decoder.image_shape}; make "
                "it for the region"
            )
        self.decoder = decoder
        self.discriminator = discriminator
        self.adversarial_weight = adversarial_weight

    def build_heads(self, shapes):
        one_global(shapes)
        if not self.decoder.built:
            self.decoder.build()
        if not self.discriminator.built:
            self.discriminator.build((None, *self.decoder.image_shape))

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        seen, region, weights = masked(batch.images)
        features = self.encoder(seen, training=training, random=random)["global"]
        painted = self.decoder(tf.cast(features, tf.float32), training=training)
        error = reconstruction_loss(region, painted, weights)
        game = adversary.losses(
            self.discriminator, region, painted, adversary.get("gan"), 0.0, random
        )
        loss = (1 - self.adversarial_weight) * error
        loss += self.adversarial_weight * game.generator_loss
        metrics = {
            "reconstruction_loss": error,
            "adversarial_loss": game.generator_loss,
            "region_divergence": game.divergence,
        }
        return Losses(loss, game.adversary_loss, metrics, features)

    def config(self):
        return {
            "decoder": self.decoder,
            "discriminator": self.discriminator,
            "adversarial_weight": self.adversarial_weight,
        }


def region_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(height, width, channels) of the central region: half of the image's sides."""
    height, width, channels = image_shape
    return height // 2, width // 2, channels


def masked(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, np.ndarray]:
    """What the encoder sees, what is painted, and the weights of the painted pixels.

    Args:
        images: float32 [N, H, W, C].

    Returns:
        float32 [N, H, W, C]; [N, H/2, W/2, C]; and [H/2, W/2, 1], 10 in the border, which is seen,
        and 1 in the rest, which is not.
    """
    shape = tuple(images.shape[1:])
    height, width, _ = region_shape(shape)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    border = max(1, min(shape[:2]) // OVERLAP_FRACTION)
    weights = np.full((height, width, 1), OVERLAP_WEIGHT, np.float32)
    weights[border:-border, border:-border] = 1.0
    hidden = np.zeros((*shape[:2], 1), bool)
    hidden[top : top + height, left : left + width] = weights == 1.0
    region = images[:, top : top + height, left : left + width]
    return tf.where(hidden, 0.0, images), region, weights


def reconstruction_loss(region: tf.Tensor, painted: tf.Tensor, weights) -> tf.Tensor:
    """The mean over images, pixels and channels of the weighted squared error (eq. 1)."""
    return tf.reduce_mean(weights * (region - painted) ** 2)

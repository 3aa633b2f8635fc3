"""Context prediction: where one patch of an image lies relative to another."""

import keras
import numpy as np
import tensorflow as tf

from keras_models import classification, priors, resampling
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import one_global
from keras_models.encoders.blocks import DenseBlock, DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch
from keras_models.pretext.tasks import Task, TaskOutput

PATCHES = ("first patch", "second patch")
# (down, right) of the second patch, in steps of a patch and a gap.
NEIGHBOURS = np.array(
    [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)], np.float32
)
PATCH_FRACTION = 4  # a patch is a quarter of the image's shorter side
JITTER = 7 / 96  # fraction of the patch's side, in each direction: the paper's
NOISE = 0.01  # of dropped channels, relative to the kept one's standard deviation: the paper's


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ContextPrediction(Task):
    """Predicts at which of the eight positions around a first patch a second one lies.

    Doersch et al. 2015, https://arxiv.org/abs/1505.05192

    One encoder encodes both patches. A hidden layer on their two global features and a linear layer
    give the logits of the eight positions, and the loss is their cross-entropy. Neighbours have a
    gap of half a patch, and each patch is moved by up to 7/96 of its side, at least 1 pixel, so
    that edges that continue do not give the position away. In each patch, two of three channels are
    replaced by noise ("color dropping"), so that chromatic aberration does not either.

    A patch is a quarter of the image's shorter side, resized to the encoder's input. The paper's
    patches of 96 pixels come from larger images and have the network's input size. Each image gives
    one pair, placed uniformly wherever it fits.

    Args:
        hidden_units: Units of the hidden layer.
        synchronized: Whether the batch norm takes its statistics over all replicas.
        weight: Factor of the loss in the objective.

    Raises:
        ValueError: When built, the encoder has several globals, or its images are smaller than 8
            pixels.
    """

    def __init__(
        self,
        hidden_units: int = 512,
        synchronized: bool = False,
        weight: float = 1.0,
        name: str = "context_prediction",
        **kwargs,
    ):
        super().__init__(weight, name=name, **kwargs)
        self.hidden_units = hidden_units
        self.synchronized = synchronized
        self.hidden = DenseBlock(hidden_units, synchronized=synchronized, name="hidden")
        self.position = DenseHead(len(NEIGHBOURS), name="position")

    def build(self, shapes):
        self.hidden.build((None, 2 * one_global(shapes)[-1]))
        self.position.build((None, self.hidden_units))
        self.built = True

    def output(self, encoder, batch: Batch, random: StepRandom, training: bool = True):
        *boxes, positions = patch_boxes(encoder.image_shape[:2], tf.shape(batch.images)[0], random)
        features = []
        for name, box in zip(PATCHES, boxes, strict=True):
            patches = drop_colors(resampling.resized_crop(batch.images, box), random, name)
            noise = random.fold_in(name)
            features.append(encoder(patches, training=training, random=noise)["global"])
        hidden = self.hidden(tf.concat(features, axis=1), training=training)
        logits = tf.cast(self.position(hidden), tf.float32)
        losses, correct = classification.losses_and_correct(logits, positions, False)
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        return TaskOutput(tf.reduce_mean(losses), {"accuracy": accuracy}, features[0])

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "synchronized": self.synchronized,
        }


def patch_boxes(
    size: tuple[int, int], images, random: StepRandom
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws two patches of each image and the position of the second.

    Args:
        size: (height, width) of the images.
        images: N, the number of images.
        random: Random numbers of the step.

    Returns:
        float32 [N, 4] twice, the boxes (top, left, height, width in whole pixels), and int32 [N],
        the row of the position in `NEIGHBOURS`.

    Raises:
        ValueError: The images are smaller than 8 pixels.
    """
    side = min(size) // PATCH_FRACTION
    if side < 2:
        raise ValueError(
            f"images of {size[0]}x{size[1]} pixels have no patches with gaps; give at least 8"
        )
    jitter = max(1, round(JITTER * side))
    stride = side + side // 2
    positions = tf.cast(len(NEIGHBOURS) * random.uniform("position", images, ()), tf.int32)
    offsets = stride * tf.gather(NEIGHBOURS, positions)  # [N, 2]
    # The first corner is drawn so that both patches stay inside, wherever jitter moves them.
    low = jitter + tf.maximum(-offsets, 0.0)
    high = tf.constant(size, tf.float32) - side - jitter - tf.maximum(offsets, 0.0)
    corner = low + tf.floor(random.uniform("corner", images, (2,)) * (high - low + 1))

    def box(corner, name):
        noise = random.uniform(f"{name}: jitter", images, (2,))
        corner += tf.floor(noise * (2 * jitter + 1)) - jitter
        return tf.concat([corner, tf.fill([tf.shape(corner)[0], 2], float(side))], axis=1)

    first, second = (
        box(x, name) for x, name in zip((corner, corner + offsets), PATCHES, strict=True)
    )
    return first, second, positions


def drop_colors(patches: tf.Tensor, random: StepRandom, name: str) -> tf.Tensor:
    """Replaces all channels of each image except one, drawn at random, by noise.

    The noise is normal, with 1/100 of the kept channel's standard deviation. Images with one
    channel do not change.

    Args:
        patches: float32 [N, H, W, C].
        random: Random numbers of the step.
        name: The patch's name; each patch has its own noise.
    """
    channels = patches.shape[-1]
    if channels == 1:
        return patches
    count = tf.shape(patches)[0]
    drawn = tf.cast(channels * random.uniform(f"{name}: channel", count, ()), tf.int32)
    kept = tf.one_hot(drawn, channels)[:, tf.newaxis, tf.newaxis]  # [N, 1, 1, C]
    std = tf.math.reduce_std(tf.reduce_sum(patches * kept, axis=-1), axis=[1, 2])
    noise = priors.GaussianPrior(1).sample(
        random.uniform(f"{name}: noise", count, tuple(patches.shape[1:]))
    )
    return patches * kept + (1 - kept) * NOISE * std[:, None, None, None] * noise

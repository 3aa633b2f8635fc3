"""How much of an image is left in its feature: a decoder is trained to make it again.

Hjelm et al. 2019, section 4.1. Their column "MS-SSIM" is single-scale (their code's window has
sigma 11 and zero padding) and is not comparable with this one, which is that of Wang et al. 2003.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.fitting import Recipe, minimise
from dim_tf.evaluation.measure import Kind, Result, Uncertainty
from dim_tf.evaluation.pictures import Reconstructions
from dim_tf.evaluation.probes import moments, standardised
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError
from keras_models.nn.decoders import Decoder, filters_for

ENDPOINT = "global"
WINDOW = 7  # pixels a side, of the structural similarity
SCALES = 3
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, of five scales
SHOWN = 16
ROWS = 500


@dataclass(frozen=True)
class Reconstruction:
    """MS-SSIM and squared error of test images that a decoder makes of the global feature.

    The decoder is the paper's (dense 512·4·4, transposed convolutions) or a narrower one, trained
    with the squared error on the frozen features of the training images. Only "global" is measured.

    Attributes:
        representation: what the decoder is trained on and what it is measured on.
        steps: of training.
        batch: images in a step; less where there are fewer.
        narrower: what the paper's numbers of filters are divided by.
        learning_rate: at the first step.
        seed: of the decoder's first weights and of the batches.
    """

    representation: Representation
    steps: int = 600
    batch: int = 64
    narrower: int = 2
    learning_rate: float = 1e-3
    seed: int = 0
    _pictures: list[Reconstructions] = field(default_factory=list, init=False, compare=False)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            "ms_ssim": Kind("", "higher", "MS-SSIM of reconstructions"),
            "reconstruction_error": Kind("", "lower", "squared error of reconstructions"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        shape = self.representation.splits.image_shape
        weights = ", ".join(f"{w:.3f}" for w in scale_weights(shape))
        filters = ", ".join(map(str, self._filters()))
        return {
            "ms_ssim": (
                f"decoder ({filters} filters; the paper's have {self.narrower} times as many) "
                "trained with the squared error on the frozen global feature of the training "
                f"images, {self._recipe()}; mean over the test images of multi-scale structural "
                f"similarity, window {WINDOW}, weights of the scales {weights}; the paper's column "
                "MS-SSIM is single-scale and not comparable"
            ),
            "reconstruction_error": (
                "of the same reconstructions: mean squared difference of a pixel's value, in "
                "[0, 1]; test images"
            ),
        }

    def run(self) -> Iterator[Result]:
        self._pictures.clear()
        splits = self.representation.splits
        scale_weights(splits.image_shape)  # images that are too small fail before the training
        mean, variance = moments(self.representation.train[ENDPOINT])
        decoder = self._trained(mean, variance)
        codes = standardised(self.representation.test[ENDPOINT], mean, variance)
        made: list[np.ndarray] = []
        similarity, error = [], []
        for first in range(0, len(codes), ROWS):
            originals = image_ops.to_unit(splits.test.images[first : first + ROWS])
            images = (decoder(tf.constant(codes[first : first + ROWS])) + 1.0) / 2.0
            similarity.append(ms_ssim(originals, images).numpy())
            error.append(tf.reduce_mean((originals - images) ** 2, axis=(1, 2, 3)).numpy())
            if not made:
                made.append(image_ops.to_bytes(images[:SHOWN] * 255.0).numpy())
        self._pictures.append(
            Reconstructions(
                f"from the {ENDPOINT} feature, by a decoder trained with the squared error",
                splits.test.images[:SHOWN],
                made[0],
            )
        )
        for name, chunks in (("ms_ssim", similarity), ("reconstruction_error", error)):
            values = np.concatenate(chunks)
            uncertainty = Uncertainty(None, 1, bootstrap.of_mean(values))
            yield Result(name, ENDPOINT, float(np.mean(values)), uncertainty)

    def pictures(self) -> list[Reconstructions]:
        return list(self._pictures)

    def _trained(self, mean, variance) -> Decoder:
        splits = self.representation.splits
        features = self.representation.train[ENDPOINT]
        recipe = self._recipe()
        recipe.seed_weights("reconstruction")
        decoder = Decoder(splits.image_shape, features.shape[1], self._filters())
        decoder.build()
        with tf.device("CPU"):
            pixels = tf.constant(splits.train.images)
            codes = tf.constant(standardised(features, mean, variance))

        def loss(random):
            rows = random.choice("rows", len(features), recipe.batch)
            images = image_ops.to_unit(tf.gather(pixels, rows)) * 2.0 - 1.0
            made = decoder(tf.gather(codes, rows), training=True)
            return tf.reduce_mean((made - images) ** 2)

        minimise(decoder.trainable_variables, loss, recipe)
        return decoder

    def _filters(self):
        paper = filters_for(self.representation.splits.image_shape)
        return tuple(filters // self.narrower for filters in paper)

    def _recipe(self):
        batch = min(self.batch, len(self.representation.splits.train))
        return Recipe(self.steps, batch, self.learning_rate, self.seed)


def scale_weights(image_shape: tuple[int, ...]) -> tuple[float, ...]:
    """Of the first scales of Wang et al. 2003, with sum 1.

    Args:
        image_shape: (height, width, ...). Each scale halves it. There are three scales, as far as
            the window fits in the image.

    Raises:
        RunError: not even one does.
    """
    side = min(image_shape[:2])
    scales = sum(side // 2**scale >= WINDOW for scale in range(SCALES))
    if not scales:
        raise RunError(
            f"left out: structural similarity has a window of {WINDOW} pixels a side; the images "
            f"have {image_shape[0]}x{image_shape[1]}: give a larger --image_size"
        )
    weights = np.array(SCALE_WEIGHTS[:scales])
    return tuple(float(w) for w in weights / weights.sum())


def ms_ssim(originals: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Multi-scale structural similarity (Wang et al. 2003), at most 1: equal images.

    TensorFlow's defaults (window 11, five scales) need 176 pixels a side.

    Args:
        originals: float32 [N, H, W, C] in [0, 1].
        others: likewise.

    Returns:
        float32 [N].
    """
    return tf.image.ssim_multiscale(
        originals, others, 1.0, scale_weights(originals.shape[1:]), filter_size=WINDOW
    )

"""How much of an image its feature keeps: a decoder is trained to reconstruct it.

Hjelm et al. 2019, section 4.1. Their column "MS-SSIM" is single-scale (the window in their code has
sigma 11 and zero padding). It is not comparable with this MS-SSIM, which is that of Wang et al.
2003.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.figures import Reconstructions
from dim_tf.evaluation.fitting import MeasureTraining, minimise
from dim_tf.evaluation.measure import MetricInfo, Result, Uncertainty
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments, standardise
from dim_tf.system.errors import RunError
from keras_models.nn.decoders import Decoder, filters_for

ENDPOINT = "global"
WINDOW = 7  # pixels a side, of the structural similarity
SCALES = 3
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, of five scales
NUM_SHOWN = 16
CHUNK_SIZE = 500


@dataclass(frozen=True)
class Reconstruction:
    """MS-SSIM and squared error of test images reconstructed from the global feature.

    The decoder is the paper's (dense 512·4·4, transposed convolutions) or a narrower one. It is
    trained with the squared error on the frozen features of the training images. Only "global" is
    measured.

    Attributes:
        representation: Its training images train the decoder, its test images are measured.
        steps: Training steps.
        batch_size: Images per step, or all images if there are fewer.
        width_divisor: Divides the paper's numbers of filters.
        learning_rate: Learning rate at the first step.
        seed: Seed of the decoder's initial weights and of the batches.
    """

    representation: Representation
    steps: int = 600
    batch_size: int = 64
    width_divisor: int = 2
    learning_rate: float = 1e-3
    seed: int = 0
    _figures: list[Reconstructions] = field(default_factory=list, init=False, compare=False)

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            "ms_ssim": MetricInfo("", "higher", "MS-SSIM of reconstructions"),
            "reconstruction_error": MetricInfo("", "lower", "squared error of reconstructions"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        shape = self.representation.data.image_shape
        weights = ", ".join(f"{w:.3f}" for w in scale_weights(shape))
        filters = ", ".join(map(str, self._filters()))
        return {
            "ms_ssim": (
                f"decoder ({filters} filters; the paper's have {self.width_divisor} times as many) "
                "trained with the squared error on the frozen global feature of the training "
                f"images, {self._training()}; mean over the test images of multi-scale structural "
                f"similarity, window {WINDOW}, weights of the scales {weights}; the paper's column "
                "MS-SSIM is single-scale and not comparable"
            ),
            "reconstruction_error": (
                "of the same reconstructions: mean squared difference of a pixel's value, in "
                "[0, 1]; test images"
            ),
        }

    def run(self) -> Iterator[Result]:
        self._figures.clear()
        data = self.representation.data
        scale_weights(data.image_shape)  # images that are too small fail before the training
        mean, variance = moments(self.representation.train[ENDPOINT])
        decoder = self._fit_decoder(mean, variance)
        codes = standardise(self.representation.test[ENDPOINT], mean, variance)
        shown: list[np.ndarray] = []
        similarity, error = [], []
        for first in range(0, len(codes), CHUNK_SIZE):
            originals = image_ops.to_unit(data.test.images[first : first + CHUNK_SIZE])
            outputs = decoder(tf.constant(codes[first : first + CHUNK_SIZE]))
            reconstructed = (outputs + 1.0) / 2.0
            similarity.append(ms_ssim(originals, reconstructed).numpy())
            error.append(tf.reduce_mean((originals - reconstructed) ** 2, axis=(1, 2, 3)).numpy())
            if not shown:
                shown.append(image_ops.to_shown(reconstructed[:NUM_SHOWN].numpy()))
        self._figures.append(
            Reconstructions(
                f"from the {ENDPOINT} feature, by a decoder trained with the squared error",
                image_ops.to_shown(data.test.images[:NUM_SHOWN]),
                shown[0],
            )
        )
        for name, chunks in (("ms_ssim", similarity), ("reconstruction_error", error)):
            values = np.concatenate(chunks)
            uncertainty = Uncertainty(None, 1, bootstrap.mean_interval(values, data.test.groups))
            yield Result(name, ENDPOINT, float(np.mean(values)), uncertainty)

    def figures(self) -> list[Reconstructions]:
        return list(self._figures)

    def _fit_decoder(self, mean, variance) -> Decoder:
        data = self.representation.data
        features = self.representation.train[ENDPOINT]
        training = self._training()
        training.seed_weights("reconstruction")
        decoder = Decoder(data.image_shape, features.shape[1], self._filters())
        decoder.build()
        with tf.device("CPU"):
            pixels = tf.constant(data.train.images)
            codes = tf.constant(standardise(features, mean, variance))

        def loss(random):
            indices = random.choice("rows", len(features), training.batch_size)
            originals = image_ops.to_unit(tf.gather(pixels, indices)) * 2.0 - 1.0
            reconstructed = decoder(tf.gather(codes, indices), training=True)
            return tf.reduce_mean((reconstructed - originals) ** 2)

        minimise(decoder.trainable_variables, loss, training)
        return decoder

    def _filters(self):
        paper = filters_for(self.representation.data.image_shape)
        return tuple(filters // self.width_divisor for filters in paper)

    def _training(self):
        batch_size = min(self.batch_size, len(self.representation.data.train))
        return MeasureTraining(self.steps, batch_size, self.learning_rate, self.seed)


SPEC = MeasureSpec(lambda context: Reconstruction(context.representation))


def scale_weights(image_shape: tuple[int, ...]) -> tuple[float, ...]:
    """The weights of the first scales of Wang et al. 2003, normalised to sum to 1.

    Args:
        image_shape: (height, width, ...). Each scale halves it.

    Returns:
        The weights of three scales, or of as many as the window fits into.

    Raises:
        RunError: The window does not fit into the image.
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


def ms_ssim(originals: tf.Tensor, reconstructed: tf.Tensor) -> tf.Tensor:
    """Multi-scale structural similarity (Wang et al. 2003), 1 for equal images.

    TensorFlow's defaults (window 11, five scales) need 176 pixels a side.

    Args:
        originals: float32 [N, H, W, C] in [0, 1].
        reconstructed: float32 [N, H, W, C] in [0, 1].

    Returns:
        float32 [N].
    """
    return tf.image.ssim_multiscale(
        originals, reconstructed, 1.0, scale_weights(originals.shape[1:]), filter_size=WINDOW
    )

"""Generated images beside real ones, as figures."""

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Splits
from dim_tf.evaluation.figures import SampleGrid

COUNT = 64


def sample_grids(generated: tf.Tensor, splits: Splits) -> list[SampleGrid]:
    """Grids of generated images and of as many test images, or training images if there are none.

    Args:
        generated: float32 [N, H, W, C] in [-1, 1].
        splits: The data set on which the generator was trained.
    """
    pixels: np.ndarray = image_ops.to_uint8((generated + 1.0) * 127.5).numpy()
    has_test = len(splits.test) > 0
    real = splits.test if has_test else splits.train
    return [
        SampleGrid("generated images", pixels),
        SampleGrid(
            f"{'test' if has_test else 'training'} images",
            image_ops.to_shown(real.images[: len(pixels)]),
        ),
    ]

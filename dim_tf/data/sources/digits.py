"""scikit-learn's 1,797 handwritten digits of 8x8 pixels: the default, without a download."""

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from dim_tf.data import DataRequest, image_ops
from dim_tf.data.splits import Split, Splits

TEST_FRACTION = 1 / 3


def load(request: DataRequest) -> Splits:
    """The digits, resized; their files come with scikit-learn."""
    frame = request.frame
    digits = load_digits()
    sixteenths = digits.images[..., np.newaxis].astype(np.float32)  # 0 to 16
    resized = tf.data.Dataset.from_tensor_slices(sixteenths * (255 / 16)).map(
        lambda image: image_ops.to_uint8(image_ops.fit_image(image, frame))
    )
    pixels = np.stack(list(resized.as_numpy_iterator()))
    labels = digits.target.astype(np.int64)
    indices = np.arange(len(labels))
    train, test = train_test_split(
        indices, test_size=TEST_FRACTION, random_state=0, stratify=labels
    )
    return Splits(
        name="digits",
        train=Split(pixels[train], labels[train]),
        test=Split(pixels[test], labels[test]),
        label_names=tuple(str(name) for name in digits.target_names),
        note=(
            f"scikit-learn's digits, 8x8 pixels resized to {frame}; "
            f"{len(train)} training and {len(test)} test images, stratified by class with seed 0."
        ),
    )

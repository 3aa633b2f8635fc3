import types

import numpy as np
import pytest
import tensorflow as tf

from keras_models import data_checks
from keras_models.batch import Batch

IMAGES = np.linspace(-1, 1, 4 * 12).reshape(4, 2, 2, 3).astype(np.float32)


def test_the_range_allows_only_for_rounding():
    data_checks.check_range(IMAGES * 1.008)
    for images, message in (
        (IMAGES * 1.1, r"reach from -1.1 to 1.1; expected \[-1, 1\]$"),
        ((IMAGES + 1) * 127.5, r"reach from 0 to 255; .*give images / 127.5 - 1"),
        (IMAGES + np.inf, "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            data_checks.check_range(images)


@pytest.mark.parametrize("kind", ["array", "tuple", "Batch", "data set", "generator"])
def test_the_first_batch_is_read_and_no_data_is_lost(kind):
    labels = np.arange(4)
    data = {
        "array": IMAGES,
        "tuple": (IMAGES, labels),
        "Batch": Batch(IMAGES, labels),
        "data set": tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(2),
        "generator": ((part,) for part in np.split(IMAGES, 2)),
    }[kind]
    first, whole = data_checks.first_batch(data, 2)
    (checked,) = data_checks.check_images(first, (2, 2, 3))
    np.testing.assert_array_equal(checked.images, IMAGES[:2])
    if kind == "generator":
        np.testing.assert_array_equal(np.concatenate([part for (part,) in whole]), IMAGES)
    else:
        assert whole is data


@pytest.mark.parametrize(
    ("images", "batch_size", "parts", "wrong"),
    [
        (48, 16, 1, None),
        (50, 16, 1, None),
        (49, 16, 1, 1),
        (5, 16, 1, None),
        (1, 16, 1, 1),
        (52, 16, 2, None),
        (51, 16, 2, 3),
        (50, 16, 2, 2),
        (30, 15, 2, 15),
    ],
)
def test_batches_with_too_few_images_are_refused(images, batch_size, parts, wrong):
    if wrong is None:
        data_checks.check_sizes(images, batch_size, parts)
        return
    with pytest.raises(ValueError, match=f"make one of {wrong}, but"):
        data_checks.check_sizes(images, batch_size, parts)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": IMAGES, "validation_data": (IMAGES[:1],)},
        {"x": IMAGES, "validation_split": 0.25},
        {"x": IMAGES[:1]},
    ],
    ids=["validation data", "validation split", "training data"],
)
def test_training_and_validation_on_one_image_are_refused(arguments):
    strategy = types.SimpleNamespace(num_replicas_in_sync=1)
    model = types.SimpleNamespace(
        evaluates=True,
        micro_batches=1,
        distribute_strategy=strategy,
        image_shape=(2, 2, 3),
        needs_labels=False,
        needs_indices=False,
    )
    with pytest.raises(ValueError, match="1 images in batches of 32 make one of 1"):
        data_checks.check_fit(model, arguments)

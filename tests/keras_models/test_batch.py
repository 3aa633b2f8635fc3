import numpy as np
import pytest
import tensorflow as tf

from keras_models import batch
from keras_models.batch import Batch

IMAGES = np.linspace(-1, 1, 4 * 12).reshape(4, 2, 2, 3).astype(np.float32)


def test_what_keras_hands_to_a_step():
    assert Batch.of(IMAGES).images is IMAGES
    assert Batch.of((IMAGES, [1])).labels == [1]
    assert Batch.of((Batch(IMAGES, [1], [2]),)).rows == [2]
    with pytest.raises(ValueError, match="a batch is a dict of 1; expected images"):
        Batch.of({"image": IMAGES})
    with pytest.raises(ValueError, match="a tuple of 4"):
        Batch.of((IMAGES,) * 4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_floats_are_trained_on_as_float32(dtype):
    found = batch.as_float32(IMAGES.astype(dtype), (2, 2, 3))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, IMAGES, atol=1e-3)


def test_the_range_has_room_for_rounding_alone():
    batch.check_range(IMAGES * 1.008)
    for images, says in (
        (IMAGES * 1.1, r"reach from -1.1 to 1.1; expected \[-1, 1\]$"),
        ((IMAGES + 1) * 127.5, r"reach from 0 to 255; .*give images / 127.5 - 1"),
        (IMAGES + np.inf, "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=says):
            batch.check_range(images)


@pytest.mark.parametrize("kind", ["array", "tuple", "Batch", "data set", "generator"])
def test_the_first_batch_is_seen_and_nothing_is_lost(kind):
    labels = np.arange(4)
    data = {
        "array": IMAGES,
        "tuple": (IMAGES, labels),
        "Batch": Batch(IMAGES, labels),
        "data set": tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(2),
        "generator": ((part,) for part in np.split(IMAGES, 2)),
    }[kind]
    first, whole = batch.first_batch(data, 2)
    (found,) = batch.checked(first, (2, 2, 3))
    np.testing.assert_array_equal(found.images, IMAGES[:2])
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
def test_batches_that_leave_too_few_images(images, batch_size, parts, wrong):
    if wrong is None:
        batch.check_sizes(images, batch_size, parts)
        return
    with pytest.raises(ValueError, match=f"make one of {wrong}, but"):
        batch.check_sizes(images, batch_size, parts)

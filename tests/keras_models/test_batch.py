import numpy as np
import pytest
import tensorflow as tf

from keras_models import batch
from keras_models.batch import Batch

IMAGES = np.linspace(-1, 1, 4 * 12).reshape(4, 2, 2, 3).astype(np.float32)


def test_a_batch_is_built_from_the_arguments_of_a_keras_step():
    assert Batch.from_data(IMAGES).images is IMAGES
    assert Batch.from_data((IMAGES, [1])).labels == [1]
    assert Batch.from_data((Batch(IMAGES, [1], [2]),)).indices == [2]
    with pytest.raises(ValueError, match="a batch is a dict of 1; expected images"):
        Batch.from_data({"image": IMAGES})
    with pytest.raises(ValueError, match="a tuple of 4"):
        Batch.from_data((IMAGES,) * 4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_of_any_precision_become_float32(dtype):
    cast = batch.as_float32(IMAGES.astype(dtype), (2, 2, 3))
    assert cast.dtype == tf.float32
    np.testing.assert_allclose(cast, IMAGES, atol=1e-3)

"""Thumbnails: their size, type and colours."""

import io

import numpy as np
import pytest
from PIL import Image

from dim_tf.collection.thumbnails import jpeg, shrink


@pytest.mark.parametrize(
    ("shape", "size"),
    [((200, 100, 3), (48, 96)), ((30, 20, 3), (20, 30)), ((96, 960, 1), (96, 10))],
)
def test_a_thumbnail_is_small_and_keeps_its_aspect(shape, size):
    image = Image.open(io.BytesIO(jpeg(shrink(np.full(shape, 90, np.uint8)))))
    assert image.format == "JPEG"
    assert image.size == size
    assert np.asarray(image).mean() == pytest.approx(90, abs=2)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 2)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="expected uint8"):
        shrink(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="expected uint8"):
        shrink(np.zeros((8, 8, 3), np.float32))

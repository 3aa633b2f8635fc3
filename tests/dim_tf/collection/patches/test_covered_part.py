"""The part of an image that a local map covers, for each way to fit an image."""

import numpy as np
import pytest

from dim_tf.collection.patches.covered_part import box_in_part, covered_part, covered_pixels
from dim_tf.data import image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.system.errors import InputError

RAMP = np.stack([np.add.outer(np.arange(40), np.zeros(20))] * 3, 2).astype(np.uint8)


@pytest.mark.parametrize(
    ("fit", "part"),
    [
        ("crop", (10, 0, 20, 20)),
        ("stretch", (0, 0, 40, 20)),
        ("pad", (0, -10, 40, 40)),
    ],
)
def test_it_is_what_the_encoder_sees(fit, part):
    frame = ImageFrame(8, 8, 3, fit)
    assert covered_part(frame, 40, 20) == part
    pixels = covered_pixels(RAMP, frame)
    assert pixels.shape == (part[2], part[3], 3)
    # Resized it is the image that the encoder takes.
    seen = image_ops.fit_image(RAMP, frame).numpy()
    whole = image_ops.fit_image(pixels, ImageFrame(8, 8, 3, "stretch")).numpy()
    np.testing.assert_allclose(whole, seen, atol=0.6)


def test_a_box_is_cut_to_what_is_seen():
    box, size = box_in_part((5, 2, 10, 6), ImageFrame(8, 8, 3, "crop"), 40, 20)
    assert (box, size) == ((0, 2, 5, 6), (20, 20))
    box, size = box_in_part((5, 2, 10, 6), ImageFrame(8, 8, 3, "pad"), 40, 20)
    assert (box, size) == ((5, 12, 10, 6), (40, 40))
    whole, size = box_in_part((0, 0, 33, 47), ImageFrame(13, 29, 3, "pad"), 33, 47)
    assert whole[0] + whole[2] <= size[0]
    assert whole[1] + whole[3] <= size[1]
    with pytest.raises(InputError, match="does not see: it takes the centred square of each"):
        box_in_part((0, 0, 10, 20), ImageFrame(8, 8, 3, "crop"), 40, 20)
    with pytest.raises(InputError, match="is not in the image of 40 x 20 pixels"):
        box_in_part((0, 15, 10, 6), ImageFrame(8, 8, 3, "stretch"), 40, 20)

"""A graph decodes .npy files as training does, and refuses all others."""

import numpy as np
import pytest
import tensorflow as tf
from sample_arrays import values

from dim_tf.data import encoded_arrays, npy
from dim_tf.data.folder import decoding
from dim_tf.data.image_frame import FITS, ImageFrame

FRAME = ImageFrame(16, 24, channels=5)
GOOD = npy.to_bytes(values(1))
FLOAT = np.ones((9, 9, 5), np.float32)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 5])
def test_training_and_serving_give_the_same_numbers(tmp_path, fit, dtype, channels):
    frame = ImageFrame(16, 24, channels, fit)
    array = values(3, (20, 30, channels), np.float32).astype(dtype)
    array = array[..., 0] if channels == 1 else array
    np.save(tmp_path / "a.npy", array)
    trained = decoding.decode_array_to_size(tmp_path / "a.npy", frame)
    served = encoded_arrays.decode_all(tf.constant([(tmp_path / "a.npy").read_bytes()]), frame)
    np.testing.assert_allclose(served[0], trained, rtol=1e-6)


REFUSED = {
    "nothing": b"",
    "a beginning": GOOD[:9],
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "cut off": GOOD[:-1],
    "too long": GOOD + b"\0",
    "too many pixels": npy.to_bytes(np.zeros((200, 200, 5), np.uint8)),
    "other channels": npy.to_bytes(values(1, (20, 30, 4))),
    "one channel": npy.to_bytes(values(1)[..., 0]),
    "no pixels": npy.to_bytes(np.zeros((0, 9, 5), np.uint8)),
    "other numbers": npy.to_bytes(FLOAT.astype(np.float64)),
    "Fortran's order": npy.to_bytes(FLOAT).replace(b"False", b"True ", 1),
    "not finite": npy.to_bytes(np.full_like(FLOAT, np.inf)),
    "a huge claim": GOOD.replace(b"(20, 30, 5)", b"(9999999, 9999999, 999)", 1),
    "a later version": GOOD.replace(b"\x01\x00", b"\x02\x00", 1),
}


def test_others_are_refused_and_leave_the_valid_ones():
    files = [GOOD, *REFUSED.values(), GOOD]
    images, valid = encoded_arrays.decode_valid(tf.constant(files), FRAME, max_pixels=1000)
    assert dict(zip(["first", *REFUSED, "last"], valid.numpy().tolist(), strict=True)) == {
        "first": True,
        **dict.fromkeys(REFUSED, False),
        "last": True,
    }
    np.testing.assert_array_equal(images[0], images[-1])
    assert not np.any(images[1:-1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="channels of an image"):
        encoded_arrays.decode_all(tf.constant([REFUSED["other channels"]]), FRAME)

"""Images of any shape in frames of any shape, the same in training and in serving."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sample_images import pixels

from dim_tf.data import encoded_images, image_headers, image_ops
from dim_tf.data.folder import decoding, pillow_decoder
from dim_tf.data.image_frame import FITS, ImageFrame


@pytest.mark.parametrize(
    ("fit", "window", "resized"),
    [
        ("crop", (60, 100), (96, 160)),
        ("pad", (100, 100), (96, 96)),
        ("stretch", (100, 100), (96, 160)),
    ],
)
def test_a_square_in_a_wide_frame(fit, window, resized):
    assert ImageFrame(96, 160, fit=fit).fitted(100, 100) == (window, resized)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_frames_shape_is_used_whole(fit):
    assert ImageFrame(96, 160, fit=fit).fitted(48, 80) == ((48, 80), (96, 160))


@pytest.mark.parametrize("fit", FITS)
def test_a_graph_fits_as_python_does(fit):
    rng = np.random.default_rng(0)
    for height, width, *image in rng.integers(1, 300, (50, 4)).tolist():
        frame = ImageFrame(height, width, fit=fit)
        sides = tf.constant(image, tf.int64)
        graph = frame.fitted(sides[0], sides[1], tf.minimum, tf.maximum)
        python = frame.fitted(*image)
        assert [[int(side) for side in part] for part in graph] == [list(p) for p in python]
        assert all(1 <= side <= most for side, most in zip(python.window, image, strict=True))
        assert all(1 <= s <= m for s, m in zip(python.resized, (height, width), strict=True))


def test_padding_repeats_the_edges():
    image = np.arange(12, dtype=np.float32).reshape(4, 3, 1)
    padded = image_ops.fit_image(tf.constant(image), ImageFrame(4, 8, fit="pad")).numpy()
    np.testing.assert_array_equal(padded, np.pad(image, ((0, 0), (2, 3), (0, 0)), mode="edge"))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(24, 40), (40, 24), (32, 32)])
def test_training_and_serving_fit_alike(tmp_path, fit, orientation, size):
    """A JPEG large enough to be decoded at a reduced scale, and turned."""
    frame = ImageFrame.of(size, fit=fit)
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(pixels(3, 9, 13)).resize((500, 410), Image.Resampling.BICUBIC)
    for name in ("JPEG", "PNG"):
        file = io.BytesIO()
        smooth.save(file, name, exif=exif)
        (tmp_path / "a").write_bytes(file.getvalue())
        trained = decoding.decode_to_size(tmp_path / "a", frame).astype(int)
        served = encoded_images.decode_to_size(tf.constant(file.getvalue()), frame).numpy()
        assert trained.shape == served.shape == frame.shape
        assert np.abs(trained - served).max() <= 1


def test_of_a_turned_jpeg_the_upright_sides_choose_the_scale():
    frame = ImageFrame(16, 4, fit="stretch")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (256, 64)).save(file, "JPEG", exif=exif)
    served = encoded_images.decode(tf.constant(file.getvalue()), frame=frame)
    assert served.shape == (64, 16, 3)  # a quarter of 256x64
    header = image_headers.read(file.getvalue(), 2**20)
    trained, _ = pillow_decoder.decode_upright(header, 2**20, frame=frame)
    assert trained.size == (16, 64)

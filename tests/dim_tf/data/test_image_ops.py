"""Geometry and scale of images."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.image_frame import ImageFrame


def test_fit_takes_the_centred_square():
    image = np.zeros((4, 8, 3), np.float32)
    image[:, 2:6] = 100.0  # the centred square
    np.testing.assert_array_equal(
        image_ops.fit_image(image, ImageFrame.of(4)), np.full((4, 4, 3), 100.0)
    )


def test_fit_averages_where_it_shrinks():
    """Without antialiasing, a fine checkerboard would turn black or white."""
    board = np.indices((32, 32)).sum(0) % 2 * 255.0
    small = image_ops.fit_image(board[..., np.newaxis].astype(np.float32), ImageFrame.of(4)).numpy()
    np.testing.assert_allclose(small[1:3, 1:3], 127.5, atol=1.0)


def test_fit_keeps_what_fits():
    """Whether the size is known when the graph is made or only when it runs."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    when_run = tf.function(
        lambda x: image_ops.fit_image(x, ImageFrame.of(32)),
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
    )
    for fitted in (image_ops.fit_image(tf.constant(image), ImageFrame.of(32)), when_run(image)):
        assert fitted.dtype == tf.float32
        np.testing.assert_array_equal(image_ops.to_uint8(fitted), image)


def test_channels():
    gray = np.random.default_rng(0).random((2, 3, 3, 1)).astype(np.float32)
    rgb = image_ops.with_channels(gray, 3)
    np.testing.assert_array_equal(rgb, np.repeat(gray, 3, -1))
    np.testing.assert_allclose(image_ops.with_channels(rgb, 1), gray, atol=1e-6)
    red = tf.constant([[[[1.0, 0.0, 0.0]]]])
    assert float(image_ops.with_channels(red, 1)[0, 0, 0, 0]) == pytest.approx(0.299)


def test_scales():
    black_and_white = image_ops.to_unit(tf.constant([[0], [255]], tf.uint8))
    np.testing.assert_array_equal(black_and_white, [[0.0], [1.0]])
    np.testing.assert_array_equal(
        image_ops.encoder_input(black_and_white, 3), [[-1, -1, -1], [1, 1, 1]]
    )
    rounded = image_ops.to_uint8(tf.constant([-3.0, 0.4, 0.6, 300.0]))
    np.testing.assert_array_equal(rounded, [0, 0, 1, 255])

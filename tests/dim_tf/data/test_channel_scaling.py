"""Values of arrays become images in [0, 1]."""

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.channel_scaling import ChannelScaling

SCALING = ChannelScaling((0.0, -5.0), (65535.0, 5.0))


def test_the_ends_become_0_and_1_and_what_is_beyond_is_clipped():
    values = np.array([[0, -5], [65535, 5], [-1, 9]], np.float32)
    np.testing.assert_allclose(SCALING.to_unit(values), [[0, 0], [1, 1], [0, 1]])
    np.testing.assert_allclose(SCALING.from_unit(np.float32([[0, 0.5]])), [[0, 0]], atol=1e-6)


def test_a_graph_scales_as_numpy_does():
    values = np.random.default_rng(0).uniform(-9, 7e4, (50, 7, 7, 2)).astype(np.float32)
    graph = tf.function(lambda x: image_ops.scale_to_unit(x, SCALING))
    np.testing.assert_allclose(graph(values), SCALING.to_unit(values), atol=1e-7)


def test_a_single_image_does_not_move_the_range():
    images = np.random.default_rng(0).uniform(10, 20, (200, 16, 16, 2)).astype(np.float32)
    images[..., 1] *= 100
    images[3] = 1e6
    scaling = ChannelScaling.of_images(images)
    np.testing.assert_allclose(scaling.low, [10, 1000], rtol=0.01)
    np.testing.assert_allclose(scaling.high, [20, 2000], rtol=0.01)


def test_a_constant_channel_has_a_range():
    scaling = ChannelScaling.of_images(np.full((30, 8, 8, 1), 7, np.float32))
    assert scaling.to_unit(np.float32([[7]])) == 0
    assert ChannelScaling(**scaling.to_dict()) == scaling

"""4x4 convolutions of stride 2 whose kernel gets its gradient by one matrix product.

On CPUs in bfloat16, TensorFlow's own gradient of the kernel takes much longer on small maps
(benchmarks/kernel_gradient.py). The convolution and the gradient of its input are TensorFlow's.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

KERNEL, STRIDE = 4, 2
LARGEST_SIDE = 8  # of the smaller map; on larger ones TensorFlow's gradient is as fast
FEWEST_CHANNELS = 16  # of the larger map, likewise


def is_faster(layer: keras.layers.Layer, small_sides: Sequence[int | None]) -> bool:
    """Whether `conv2d` or `conv2d_transpose` can stand for a layer's, and is faster here.

    Args:
        layer: a Keras convolution or transposed convolution, built.
        small_sides: of the smaller of its two maps; None: not known, or not half of the larger's.
    """
    return (
        layer.kernel_size == (KERNEL, KERNEL)
        and layer.strides == (STRIDE, STRIDE)
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
        and getattr(layer, "groups", 1) == 1  # a transposed one has none
        and getattr(layer, "output_padding", None) is None  # only that has it
        and layer.compute_dtype == "bfloat16"
        and layer.kernel.shape[2] >= FEWEST_CHANNELS
        and all(side is not None and side <= LARGEST_SIDE for side in small_sides)
        and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
    )


def halved(padded_side: int | None) -> int | None:
    """A side after `conv2d`; None where it is not known or `conv2d` does not take it."""
    return None if padded_side is None or padded_side % 2 else padded_side // STRIDE - 1


@tf.custom_gradient
def conv2d(maps: tf.Tensor, kernel: tf.Tensor):
    """Convolution with stride 2, without padding.

    Args:
        maps: [N, H, W, C], H and W even.
        kernel: [4, 4, C, F].

    Returns:
        [N, H/2 - 1, W/2 - 1, F], and the gradient.
    """

    def gradient(upstream):
        of_maps = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(maps), STRIDE, "VALID")
        return tf.ensure_shape(of_maps, maps.shape), _of_kernel(maps, upstream)

    return tf.nn.conv2d(maps, kernel, STRIDE, "VALID"), gradient


@tf.custom_gradient
def conv2d_transpose(maps: tf.Tensor, kernel: tf.Tensor):
    """Transposed convolution that doubles the sides: of stride 2 and padding 1.

    Args:
        maps: [N, H, W, F].
        kernel: [4, 4, C, F].

    Returns:
        [N, 2H, 2W, C], and the gradient.
    """
    height, width = maps.shape[1:3]
    shape = [tf.shape(maps)[0], STRIDE * height, STRIDE * width, kernel.shape[2]]

    def gradient(upstream):
        of_maps = tf.nn.conv2d(upstream, kernel, STRIDE, "SAME")
        padded = tf.pad(upstream, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.ensure_shape(of_maps, maps.shape), _of_kernel(padded, maps)

    return tf.nn.conv2d_transpose(maps, kernel, shape, STRIDE, "SAME"), gradient


def _of_kernel(large, small):
    """Σ over images and places of (4x4 patch of the large map) ⊗ (small map).

    Args:
        large: [N, H, W, C], padded.
        small: [N, H/2 - 1, W/2 - 1, F].

    Returns:
        [4, 4, C, F].
    """
    channels = large.shape[3]
    height, width, filters = small.shape[1:]
    # Blocks of 2x2 pixels as channels: a patch is then 2x2 of these.
    blocks = tf.nn.space_to_depth(large, STRIDE)
    patches = tf.concat(
        [blocks[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)], axis=3
    )
    patches = tf.reshape(patches, [-1, KERNEL * KERNEL * channels])
    product = tf.matmul(patches, tf.reshape(small, [-1, filters]), transpose_a=True)
    # Its rows are (block's row, block's column, row in it, column in it, channel).
    product = tf.reshape(product, [2, 2, 2, 2, channels, filters])
    product = tf.transpose(product, [0, 2, 1, 3, 4, 5])
    return tf.reshape(product, [KERNEL, KERNEL, channels, filters])

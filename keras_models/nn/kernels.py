"""Operations that exist for speed. A test compares each with its plain equivalent.

| fast | plain | test | benchmarks/ |
|---|---|---|---|
| `FusedAdam`, also with several rates | `keras.optimizers.Adam` | test_optimizers.py | kernels.py |
| `FusedBatchNormalization` | `keras.layers.BatchNormalization` | test_layers.py | kernels.py |
| `sum_of_squares` | `tf.reduce_sum(x**2, axis=-1)` | test_layers.py | kernels.py |
| `conv2d`, `conv2d_transpose` | TensorFlow's | test_kernels.py | kernel_gradient.py |

Results are in docs/PERFORMANCE.md.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.nn import PACKAGE

KERNEL, STRIDE = 4, 2
MAX_SIDE = 8  # of the smaller map; on larger maps TensorFlow's gradient is as fast
MIN_CHANNELS = 16  # of the larger map, likewise


def has_faster_gradient(layer: keras.layers.Layer, small_sides: Sequence[int | None]) -> bool:
    """Whether `conv2d` or `conv2d_transpose` can replace a layer's operation and is faster.

    Args:
        layer: A built Keras convolution or transposed convolution.
        small_sides: Sides of the smaller of its two maps; None: unknown, or not half the larger's.
    """
    return (
        layer.kernel_size == (KERNEL, KERNEL)
        and layer.strides == (STRIDE, STRIDE)
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
        and getattr(layer, "groups", 1) == 1  # transposed convolutions have none
        and getattr(layer, "output_padding", None) is None  # only they have it
        and layer.compute_dtype == "bfloat16"
        and layer.kernel.shape[2] >= MIN_CHANNELS
        and all(side is not None and side <= MAX_SIDE for side in small_sides)
        and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
    )


def halved(padded_side: int | None) -> int | None:
    """The side of `conv2d`'s output; None if it is unknown or `conv2d` does not support it."""
    return None if padded_side is None or padded_side % 2 else padded_side // STRIDE - 1


@tf.custom_gradient
def conv2d(maps: tf.Tensor, kernel: tf.Tensor):
    """Convolution of stride 2 without padding.

    Args:
        maps: [N, H, W, C], H and W even.
        kernel: [4, 4, C, F].

    Returns:
        [N, H/2 - 1, W/2 - 1, F], and the gradient.
    """

    def gradient(upstream):
        maps_gradient = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(maps), STRIDE, "VALID")
        return tf.ensure_shape(maps_gradient, maps.shape), _kernel_gradient(maps, upstream)

    return tf.nn.conv2d(maps, kernel, STRIDE, "VALID"), gradient


@tf.custom_gradient
def conv2d_transpose(maps: tf.Tensor, kernel: tf.Tensor):
    """Transposed convolution of stride 2 and padding 1, which doubles the sides.

    Args:
        maps: [N, H, W, F].
        kernel: [4, 4, C, F].

    Returns:
        [N, 2H, 2W, C], and the gradient.
    """
    height, width = maps.shape[1:3]
    shape = [tf.shape(maps)[0], STRIDE * height, STRIDE * width, kernel.shape[2]]

    def gradient(upstream):
        maps_gradient = tf.nn.conv2d(upstream, kernel, STRIDE, "SAME")
        padded = tf.pad(upstream, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.ensure_shape(maps_gradient, maps.shape), _kernel_gradient(padded, maps)

    return tf.nn.conv2d_transpose(maps, kernel, shape, STRIDE, "SAME"), gradient


def _kernel_gradient(large, small):
    """Σ over images and locations of (4x4 patch of the large map) ⊗ (small map).

    Args:
        large: [N, H, W, C], padded.
        small: [N, H/2 - 1, W/2 - 1, F].

    Returns:
        [4, 4, C, F].
    """
    channels = large.shape[3]
    height, width, filters = small.shape[1:]
    # Blocks of 2x2 pixels become channels: a patch is then 2x2 blocks.
    blocks = tf.nn.space_to_depth(large, STRIDE)
    patches = tf.concat(
        [blocks[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)], axis=3
    )
    patches = tf.reshape(patches, [-1, KERNEL * KERNEL * channels])
    product = tf.matmul(patches, tf.reshape(small, [-1, filters]), transpose_a=True)
    # Rows are ordered by (block's row, block's column, row in block, column in block, channel).
    product = tf.reshape(product, [2, 2, 2, 2, channels, filters])
    product = tf.transpose(product, [0, 2, 1, 3, 4, 5])
    return tf.reshape(product, [KERNEL, KERNEL, channels, filters])


@keras.saving.register_keras_serializable(PACKAGE)
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam with TensorFlow's fused kernel.

    The results are equal up to rounding, and the variables are the same. Keras' implementation runs
    one operation, and one pass over the variable's memory, for each step of the equations.

    `set_rate` gives some variables another learning rate. Scaling the loss or the gradient would
    not do so, because Adam's step does not depend on the gradient's scale.

    Raises:
        ValueError: `amsgrad`, which the kernel does not support.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam knows no amsgrad; take keras.optimizers.Adam")
        self._rates: dict[str, tuple[float, int]] = {}  # by index: (scale, first step)

    def set_rate(self, variables: Sequence, scale: float, first_step: int = 0) -> None:
        """Sets another learning rate, or a later first step, for some variables.

        Args:
            variables: Variables that the optimizer is built on.
            scale: Factor of their learning rate, and therefore of their weight decay.
            first_step: Step of their first update, counted from 0. Adam divides its moving averages
                by 1 - β^t, because they start at 0 (Kingma & Ba 2015, section 3), and t counts from
                this step. If t counted from step 0, the first updates of later variables would be
                (1 - β1) / √(1 - β2) times too large: 16 times with betas of 0.5 and 0.999.
        """
        for variable in variables:
            self._rates[str(self._get_variable_index(variable))] = (scale, first_step)

    def _rate(self, variable) -> tuple[float, int]:
        return self._rates.get(str(self._get_variable_index(variable)), (1.0, 0))

    def _apply_weight_decay(self, variables):
        decay: float | None = self.weight_decay  # type: ignore[has-type]
        if decay is None:
            return
        scales = [self._rate(variable)[0] for variable in variables]
        for scale in sorted(set(scales)):
            self.weight_decay = decay * scale
            group = [v for v, s in zip(variables, scales, strict=True) if s == scale]
            super()._apply_weight_decay(group)
        self.weight_decay = decay

    def update_step(self, gradient, variable, learning_rate):
        scale, first_step = self._rate(variable)
        step = tf.cast(tf.maximum(self.iterations + 1 - first_step, 1), tf.float32)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1), step),
            beta2_power=tf.pow(tf.constant(self.beta_2), step),
            lr=tf.cast(learning_rate, tf.float32) * scale,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


@keras.saving.register_keras_serializable(PACKAGE)
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch norm over all axes but the last, with less work in training."""

    def call(self, inputs, training=None, mask=None):
        """Normalises with the batch's statistics in one operation, if one device has the batch."""
        if not (training and self.trainable) or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        maps = tf.cast(inputs, self.compute_dtype)
        if inputs.shape.rank != 4:
            maps = tf.reshape(maps, [-1, 1, 1, inputs.shape[-1]])
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            maps, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        # The operation returns the unbiased variance; Keras' moving variance is the biased one.
        count = tf.cast(tf.size(maps) // inputs.shape[-1], tf.float32)
        self._update_moving(mean, variance * (count - 1.0) / count)
        return tf.reshape(outputs, tf.shape(inputs))

    def _update_moving(self, mean, variance):
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))


@tf.custom_gradient
def sum_of_squares(x: tf.Tensor):
    """Sum of squares over the last axis, [..., U] -> [...], with a gradient in one pass, 2x."""

    def gradient(upstream):
        return (2.0 * upstream)[..., tf.newaxis] * x

    return tf.reduce_sum(tf.square(x), axis=-1), gradient

"""Dense, convolution and normalisation layers with the numerics of the authors' code.

The authors used PyTorch's defaults, which differ from Keras': kernels and biases uniform in
±1/√fan_in, batch norm with epsilon 1e-5 and momentum 0.9, layer norm with epsilon 1e-5, and
explicit symmetric padding. The results depend on them.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.nn import PACKAGE, kernels

NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9


def fan_in_bias(fan_in: int) -> keras.initializers.Initializer:
    """Uniform in ±1/√fan_in, the authors' initialisation of every bias."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit)


def fan_in_kernel() -> keras.initializers.Initializer:
    """Uniform in ±1/√fan_in, the authors' initialisation of every kernel."""
    # VarianceScaling is uniform in ±√(3·scale/fan_in); scale 1/3 makes that ±1/√fan_in.
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


@keras.saving.register_keras_serializable(PACKAGE)
class Dense(keras.layers.Dense):
    """Dense layer on the last axis; bias, and kernel by default, uniform in ±1/√fan_in."""

    def __init__(self, units, kernel_initializer=None, **kwargs):
        super().__init__(units, kernel_initializer=kernel_initializer or fan_in_kernel(), **kwargs)

    def build(self, input_shape):
        self.bias_initializer = fan_in_bias(input_shape[-1])
        super().build(input_shape)


@keras.saving.register_keras_serializable(PACKAGE)
class DenseStack(keras.layers.Layer):
    """Dense layers with ReLU, then one without it.

    Args:
        hidden_units: Units of each layer with ReLU.
        outputs: Units of the last layer.
    """

    def __init__(self, hidden_units: Sequence[int], outputs: int, **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.outputs = outputs
        hidden = [
            Dense(units, activation="relu", name=f"hidden{i}")
            for i, units in enumerate(self.hidden_units)
        ]
        self.layers = [*hidden, Dense(outputs, name="output")]

    def build(self, input_shape):
        shape = input_shape
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs):
        """[..., F] -> [..., outputs]."""
        x = inputs
        for layer in self.layers:
            x = layer(x)
        return x

    def get_config(self):
        config = super().get_config()
        return {**config, "hidden_units": self.hidden_units, "outputs": self.outputs}


@keras.saving.register_keras_serializable(PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """Convolution after zero padding of `pad` pixels on all four sides.

    Keras' "same" pads asymmetrically for an odd kernel with stride 2; the authors' code does not.
    """

    def __init__(self, filters, kernel_size, strides=1, pad=0, **kwargs):
        kwargs.pop("padding", None)  # from get_config; always "valid" here
        kwargs.setdefault("kernel_initializer", fan_in_kernel())
        super().__init__(filters, kernel_size, strides=strides, padding="valid", **kwargs)
        self.pad = pad

    def _padded(self, shape):
        n, height, width, channels = shape
        grow = 2 * self.pad
        return (
            n,
            None if height is None else height + grow,
            None if width is None else width + grow,
            channels,
        )

    def build(self, input_shape):
        kernel_height, kernel_width = self.kernel_size
        self.bias_initializer = fan_in_bias(kernel_height * kernel_width * input_shape[-1])
        super().build(self._padded(input_shape))

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(self._padded(input_shape))

    def call(self, inputs):
        if self.pad:
            edge = (self.pad, self.pad)
            inputs = keras.ops.pad(inputs, ((0, 0), edge, edge, (0, 0)))
        return super().call(inputs)

    def convolution_op(self, inputs, kernel):
        sides = [kernels.halved(side) for side in inputs.shape[1:3]]
        if kernels.has_faster_gradient(self, sides):
            return kernels.conv2d(inputs, tf.cast(kernel, self.compute_dtype))
        return super().convolution_op(inputs, kernel)

    def get_config(self):
        return {**super().get_config(), "pad": self.pad}


def batch_norm(synchronized: bool, name: str) -> kernels.FusedBatchNormalization:
    """Batch norm with epsilon 1e-5 and momentum 0.9, over all replicas if `synchronized`."""
    return kernels.FusedBatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=NORM_EPSILON, synchronized=synchronized, name=name
    )


def layer_norm(name: str) -> keras.layers.LayerNormalization:
    """Layer norm over the last axis with epsilon 1e-5."""
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)

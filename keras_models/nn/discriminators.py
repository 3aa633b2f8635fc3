"""Discriminators D of samples of the prior, of real images, and of pairs of image and code."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.nn import layers

LEAK = 0.2  # the leaky ReLUs' slope


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Discriminator(keras.Model):
    """Dense layers with ReLU and one logit (Hjelm et al. 2019, appendix A: 1000 -> 200 -> 1).

    Args:
        hidden_units: Units of each hidden layer.
    """

    def __init__(self, hidden_units: Sequence[int] = (1000, 200), **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.stack = layers.DenseStack(self.hidden_units, 1, name="stack")

    def build(self, input_shape):
        self.stack.build(input_shape)
        self.built = True

    def call(self, features):
        """[N, D] -> float32 [N], logits of being a sample of the prior."""
        return tf.cast(self.stack(features)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ImageDiscriminator(keras.Model):
    """Real or generated image: strided convolutions with leaky ReLU (slope 0.2), and one logit.

    There is no batch norm, because the gradient penalty is defined per image.

    Args:
        filters: Filters of the 4x4 convolutions of stride 2.
    """

    def __init__(self, filters: Sequence[int] = (64, 128, 256), **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.convs = _convs(self.filters)
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        self.logit.build((None, _build_convs(self.convs, input_shape)))
        self.built = True

    def call(self, images):
        """[N, H, W, C] -> float32 [N], logits of being real."""
        return tf.cast(self.logit(_features(self.convs, images))[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "filters": self.filters}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PairDiscriminator(keras.Model):
    """Encoded or generated pair of image and code: the discriminator of BiGAN and ALI.

    It is built like ALI's (Dumoulin et al. 2017, https://arxiv.org/abs/1606.00704, appendix A). The
    image passes through the convolutions of `ImageDiscriminator` and a dense layer, and the code
    through its own dense layers. Both results have the same size and are concatenated for the joint
    layers and one logit. If the code has no layers of its own, it is concatenated with the
    flattened output of the convolutions. Leaky ReLU (slope 0.2) follows each layer but the last;
    there is no batch norm, for the same reason as in `ImageDiscriminator`. Kernels before a leaky
    ReLU are initialised by He et al. 2015 (https://arxiv.org/abs/1502.01852, eq. 15), which keeps
    the size of the signal through the layers; with the other networks' initialisation, each layer
    shrinks it to 0.4.

    Args:
        filters: Filters of the 4x4 convolutions of stride 2.
        code_units: Units of the code's dense layers; the image's dense layer has as many as the
            last.
        hidden_units: Units of the joint dense layers.
    """

    def __init__(
        self,
        filters: Sequence[int] = (64, 128, 256),
        code_units: Sequence[int] = (512, 512),
        hidden_units: Sequence[int] = (1024, 1024),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.code_units = tuple(code_units)
        self.hidden_units = tuple(hidden_units)
        self.convs = _convs(self.filters, kernel_initializer=_he())
        self.image_layers = _dense_layers("image", self.code_units[-1:])
        self.code_layers = _dense_layers("code", self.code_units)
        self.joint_layers = _dense_layers("joint", self.hidden_units)
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        """Builds the layers for (shape of the images, shape of the codes)."""
        images, codes = input_shape
        of_image = _build_dense(self.image_layers, _build_convs(self.convs, images))
        of_code = _build_dense(self.code_layers, codes[-1])
        self.logit.build((None, _build_dense(self.joint_layers, of_image + of_code)))
        self.built = True

    def call(self, pair):
        """(images [N, H, W, C], codes [N, D]) -> float32 [N]."""
        images, codes = pair
        x = _apply(self.image_layers, _features(self.convs, images))
        z = _apply(self.code_layers, tf.cast(codes, x.dtype))
        joint = _apply(self.joint_layers, tf.concat([x, z], axis=1))
        return tf.cast(self.logit(joint)[:, 0], tf.float32)

    def get_config(self):
        return {
            "name": self.name,
            "filters": self.filters,
            "code_units": self.code_units,
            "hidden_units": self.hidden_units,
        }


def _he():
    """He et al. 2015, eq. 15: variance 2 / ((1 + slope²)·fan_in)."""
    return keras.initializers.VarianceScaling(2 / (1 + LEAK**2), "fan_in", "untruncated_normal")


def _dense_layers(name, units):
    return [
        layers.Dense(u, kernel_initializer=_he(), name=f"{name}{i}") for i, u in enumerate(units)
    ]


def _build_dense(dense_layers, size: int) -> int:
    """Builds dense layers for that many inputs and returns the number of their outputs."""
    for layer in dense_layers:
        layer.build((None, size))
        size = layer.units
    return size


def _apply(dense_layers, x):
    """Applies each dense layer, with leaky ReLU."""
    for layer in dense_layers:
        x = tf.nn.leaky_relu(layer(x), LEAK)
    return x


def _convs(filters, **arguments):
    return [layers.Conv2D(f, 4, 2, 1, name=f"conv{i}", **arguments) for i, f in enumerate(filters)]


def _build_convs(convs, input_shape) -> int:
    """Builds the convolutions and returns the size of their flattened output."""
    shape = tuple(input_shape)
    for conv in convs:
        conv.build(shape)
        shape = conv.compute_output_shape(shape)
    return math.prod(shape[1:])


def _features(convs, images):
    """[N, H, W, C] -> [N, F]."""
    x = images
    for conv in convs:
        x = tf.nn.leaky_relu(conv(x), LEAK)
    return tf.reshape(x, [tf.shape(x)[0], math.prod(x.shape[1:])])

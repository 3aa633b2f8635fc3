"""The plain convolutional encoder: convolutions, dense layers, a linear global feature."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ConvNet(keras.Model):
    """Encoder E = f ∘ C of Deep InfoMax (Hjelm et al. 2019, section 3 and Table 1).

    Each convolution, and each dense layer but the last, has no bias and is followed by batch norm
    and ReLU; the global feature is a linear map of the last hidden layer.

    Args:
        image_shape: (height, width, channels) of an image.
        convolutions: (filters, kernel, stride, padding) of each convolution.
        dense_units: units of each hidden dense layer.
        local_layer: which convolution, from 0, gives the local feature map.
        latent_dim: units of the global feature.
        synchronized: whether batch norm takes its statistics over all replicas.

    Raises:
        ValueError: `local_layer` is not one of the convolutions.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        convolutions: Sequence[Sequence[int]],
        dense_units: Sequence[int],
        local_layer: int,
        latent_dim: int = 64,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= local_layer < len(convolutions):
            raise ValueError(
                f"local_layer is {local_layer}; there are {len(convolutions)} convolutions, "
                "counted from 0"
            )
        self.image_shape = tuple(image_shape)
        self.convolutions = tuple(tuple(convolution) for convolution in convolutions)
        self.dense_units = tuple(dense_units)
        self.local_layer = local_layer
        self.latent_dim = latent_dim
        self.synchronized = synchronized

        self.convs = [
            layers.Conv2D(filters, kernel, stride, pad, use_bias=False, name=f"conv{i}")
            for i, (filters, kernel, stride, pad) in enumerate(self.convolutions)
        ]
        self.conv_norms = [
            layers.batch_norm(synchronized, f"conv{i}_norm") for i in range(len(self.convs))
        ]
        self.hidden = [
            layers.Dense(units, use_bias=False, name=f"fc{i}")
            for i, units in enumerate(self.dense_units)
        ]
        self.hidden_norms = [
            layers.batch_norm(synchronized, f"fc{i}_norm") for i in range(len(self.hidden))
        ]
        self.flatten = keras.layers.Flatten()
        self.to_global = layers.Dense(latent_dim, name="global")

    def build(self, input_shape=None):
        shape = (None, *self.image_shape)
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        shape = self.flatten.compute_output_shape(shape)
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            dense.build(shape)
            shape = dense.compute_output_shape(shape)
            norm.build(shape)
        self.to_global.build(shape)
        self.built = True

    def call(self, images, training=False):
        """Encodes images.

        Args:
            images: float32 [N, height, width, channels] in [-1, 1].
            training: whether batch norm uses the batch's statistics.

        Returns:
            A dict of the endpoints: "local" [N, M, M, C], "conv" [N, m, m, c] (the last
            convolution), "fc" [N, F] (the last hidden layer), "global" [N, D].

        Raises:
            ValueError: the images have another shape than `image_shape`.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"{self.name} takes images of shape {self.image_shape}, got {images.shape[1:]}"
            )
        endpoints = {}
        x = images
        for i, (conv, norm) in enumerate(zip(self.convs, self.conv_norms, strict=True)):
            x = tf.nn.relu(norm(conv(x), training=training))
            if i == self.local_layer:
                endpoints["local"] = x
        endpoints["conv"] = x
        x = self.flatten(x)
        for dense, norm in zip(self.hidden, self.hidden_norms, strict=True):
            x = tf.nn.relu(norm(dense(x), training=training))
        endpoints["fc"] = x
        endpoints["global"] = self.to_global(x)
        return endpoints

    def get_config(self):
        return {
            "name": self.name,
            "image_shape": self.image_shape,
            "convolutions": self.convolutions,
            "dense_units": self.dense_units,
            "local_layer": self.local_layer,
            "latent_dim": self.latent_dim,
            "synchronized": self.synchronized,
        }

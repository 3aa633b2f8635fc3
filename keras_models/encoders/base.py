"""The interface of every encoder: images in, named endpoints out."""

import abc
from collections.abc import Sequence

import keras

from keras_models import keras_settings
from keras_models.nn import layers

NAMES = ("local", "conv", "fc", "global")  # endpoints, from input to output


class Encoder(keras.Model, abc.ABC):
    """Encoder E = f ∘ C of Deep InfoMax (Hjelm et al. 2019, section 3): images -> endpoints.

    Code outside `keras_models.encoders` uses only this interface.

    Args:
        image_shape: (height, width, channels) of an image.
        global_dim: D, the size of a global feature.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, image_shape: Sequence[int], global_dim: int, synchronized: bool, **kwargs):
        keras_settings.check_numbers()
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.global_dim = global_dim
        self.synchronized = synchronized

    @property
    @abc.abstractmethod
    def endpoint_names(self) -> tuple[str, ...]:
        """The encoder's endpoints, in the order of `NAMES`; always "global"."""

    @abc.abstractmethod
    def encode(self, images, training, random) -> dict:
        """The endpoints of images of the right shape; arguments as for `call`."""

    @abc.abstractmethod
    def freeze_above(self, endpoint: str) -> None:
        """Makes the layers on which the endpoint does not depend untrainable."""

    @property
    def backbone_variables(self) -> list:
        """Variables of the backbone, which can be frozen or have a learning rate of their own.

        Empty for an encoder without a backbone.
        """
        return []

    def set_backbone_trainable(self, trainable: bool) -> None:
        """Freezes the backbone, or unfreezes the layers that were trainable before.

        A frozen backbone has no gradient and computes as in inference: no dropout, and batch norms
        use and keep their moving statistics. An encoder without a backbone does not change.
        """

    def endpoint_shapes(self) -> dict[str, tuple]:
        """Shapes of the endpoints, inferred without running the encoder; batch size None."""
        images = keras.KerasTensor((None, *self.image_shape))
        return {name: x.shape for name, x in self(images).items()}

    def call(self, images, training=False, random=None):
        """Encodes images.

        Args:
            images: float32 [N, height, width, channels] in [-1, 1].
            training: Whether batch norm uses the batch's statistics, and dropout drops.
            random: `StepRandom` of the training step, for dropout; None: TensorFlow's random
                numbers.

        Returns:
            Those endpoints that the encoder has, by name: "local" [N, M, M, C], "conv" [N, m, m, c]
            (the last convolution), "fc" [N, F] (the last hidden layer), "global" [N, D] or [N, g,
            g, D].

        Raises:
            ValueError: The images do not have the shape `image_shape`.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"{self.name} takes images of shape {self.image_shape}, got {images.shape[1:]}"
            )
        return self.encode(images, training, random)

    def encode_unit_range(self, images, training=False) -> dict:
        """Like `call`, but for images in [0, 1], the input of exported encoders."""
        return self(images * 2.0 - 1.0, training=training)


def serializable(encoder_class):
    """Registers an encoder class with Keras, so that saved models find it."""
    return keras.saving.register_keras_serializable(layers.PACKAGE)(encoder_class)

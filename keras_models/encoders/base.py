"""What every encoder is to the rest of the program: images in, named endpoints out."""

import abc
from collections.abc import Sequence

import keras

from keras_models import keras_settings
from keras_models.nn import layers

NAMES = ("local", "conv", "fc", "global")  # endpoints, from the images up


class Encoder(keras.Model, abc.ABC):
    """Encoder E = f ∘ C of Deep InfoMax (Hjelm et al. 2019, section 3): images -> endpoints.

    Nothing outside of `keras_models.encoders` knows more of an encoder than this class.

    Args:
        image_shape: (height, width, channels) of an image.
        global_dim: D, the size of a global feature.
        synchronized: whether batch norm takes its statistics over all replicas.
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
        """Those of `NAMES` that it has, in their order; "local" and "global" always."""

    @abc.abstractmethod
    def encode(self, images, training, random) -> dict:
        """The endpoints of images whose shape has been checked; arguments as `call`."""

    @abc.abstractmethod
    def freeze_above(self, endpoint: str) -> None:
        """Makes all that the endpoint does not depend on untrainable."""

    @property
    def backbone_variables(self) -> list:
        """Those of the backbone, which can be kept still and learn at a rate of their own.

        Empty for an encoder that is one piece.
        """
        return []

    def set_backbone_trainable(self, trainable: bool) -> None:
        """Keeps the backbone still, or lets those parts of it learn that did before.

        A backbone that stands still has no gradient and computes as in inference: no dropout, and
        batch norms use and keep their moving statistics. An encoder that is one piece has none, and
        is not changed.
        """

    def endpoint_shapes(self) -> dict[str, tuple]:
        """The shapes of the endpoints, without running it; the batch's size is None."""
        images = keras.KerasTensor((None, *self.image_shape))
        return {name: x.shape for name, x in self(images).items()}

    def call(self, images, training=False, random=None):
        """Encodes images.

        Args:
            images: float32 [N, height, width, channels] in [-1, 1].
            training: whether batch norm uses the batch's statistics, and dropout drops.
            random: `StepRandom` of the training step, for dropout; without it the numbers are
                TensorFlow's.

        Returns:
            A dict of the endpoints that the encoder has: "local" [N, M, M, C], "conv" [N, m, m, c]
            (the last convolution), "fc" [N, F] (the last hidden layer), "global" [N, D] or
            [N, g, g, D].

        Raises:
            ValueError: the images have another shape than `image_shape`.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"{self.name} takes images of shape {self.image_shape}, got {images.shape[1:]}"
            )
        return self.encode(images, training, random)

    def encode_unit_range(self, images, training=False) -> dict:
        """As `call`, of images in [0, 1], which exported encoders take."""
        return self(images * 2.0 - 1.0, training=training)


def serializable(encoder_class):
    """Registers a family with Keras, so that saved models find it."""
    return keras.saving.register_keras_serializable(layers.PACKAGE)(encoder_class)

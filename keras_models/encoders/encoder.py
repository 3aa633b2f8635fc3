"""What all encoders share: a row of stages, some of whose outputs are the endpoints."""

from collections.abc import Mapping, Sequence

import keras

from keras_models import keras_settings, layers


class Encoder(keras.Model):
    """Encoder E = f ∘ C of Deep InfoMax (Hjelm et al. 2019, section 3): images -> endpoints.

    Its families build the stages from their arguments, which are their configuration.

    Args:
        image_shape: (height, width, channels) of an image.
        stages: layers of `keras_models.encoders.stages` and of the families, in their order.
        endpoints: name -> which stage's output it is, from 0; "local" and "global" must be there,
            "conv" and "fc" where the encoder has them.
        global_dim: D, the size of a global feature.
        synchronized: whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        stages: Sequence[keras.layers.Layer],
        endpoints: Mapping[str, int],
        global_dim: int,
        synchronized: bool,
        **kwargs,
    ):
        keras_settings.check_numbers()
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.stages = list(stages)
        self.endpoints = dict(endpoints)
        self.global_dim = global_dim
        self.synchronized = synchronized

    def build(self, input_shape=None):
        shape = (None, *self.image_shape)
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.built = True

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
        outputs = []
        x = images
        for stage in self.stages:
            x = stage(x, training=training, random=random)
            outputs.append(x)
        return {name: outputs[index] for name, index in self.endpoints.items()}

    def config_of(self, *arguments: str) -> dict:
        """Those constructor arguments, with the ones that all encoders have."""
        shared = ("name", "image_shape", "synchronized")
        return {name: getattr(self, name) for name in (*shared, *arguments)}


def serializable(encoder_class):
    """Registers a family with Keras, so that saved models find it."""
    return keras.saving.register_keras_serializable(layers.PACKAGE)(encoder_class)

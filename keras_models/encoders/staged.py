"""Encoders that are a sequence of stages, some of whose outputs are the endpoints."""

from collections.abc import Mapping, Sequence

import keras

from keras_models.encoders.base import Encoder


class StagedEncoder(Encoder):
    """An encoder made of stages, one after another.

    Subclasses build the stages from their arguments, which are their configuration.

    Args:
        image_shape: (height, width, channels) of an image.
        stages: Layers called with (x, training, random), such as those of
            `keras_models.encoders.blocks`.
        endpoints: Endpoint name -> index of the stage that outputs it; "global" is required.
        global_dim: D, the size of a global feature.
        synchronized: Whether batch norm takes its statistics over all replicas.
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
        super().__init__(image_shape, global_dim, synchronized, **kwargs)
        self.stages = list(stages)
        self.endpoints = dict(endpoints)

    @property
    def endpoint_names(self):
        return tuple(self.endpoints)

    def build(self, input_shape=None):
        shape = (None, *self.image_shape)
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.built = True

    def encode(self, images, training, random):
        outputs = []
        x = images
        for stage in self.stages:
            x = stage(x, training=training, random=random)
            outputs.append(x)
        return {name: outputs[index] for name, index in self.endpoints.items()}

    def freeze_above(self, endpoint):
        for stage in self.stages[self.endpoints[endpoint] + 1 :]:
            stage.trainable = False

    def config_of(self, *arguments: str) -> dict:
        """The configuration: these constructor arguments and those that all encoders have."""
        shared = ("name", "image_shape", "synchronized")
        return {name: getattr(self, name) for name in (*shared, *arguments)}

"""A trained encoder as a Keras model for images in [0, 1]."""

import keras

from dim_tf.data import image_ops
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.export.feature import Feature
from dim_tf.registry import MAX_FEATURES
from keras_models.encoders import Encoder


@keras.saving.register_keras_serializable("dim_tf")
class EncoderModel(keras.Model):
    """An encoder that takes images and returns one feature, like exported encoders.

    Layers on which the feature does not depend become untrainable.

    Args:
        encoder: Built.
        feature: Name of the feature.
        max_features: As for `Feature`.
        channels: C of the images: 1 or 3; they are converted to the encoder's.
        scaling: `ChannelScaling.to_dict` for images that are arrays; None: they are in [0, 1].

    Input:
        float [N, H, W, C].

    Output:
        The feature, float32 [N, D].
    """

    def __init__(
        self,
        encoder: Encoder,
        feature: str = "global",
        max_features: int = MAX_FEATURES,
        channels: int = 3,
        scaling: dict | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.channels = channels
        self.scaling = scaling
        self.feature = Feature(feature, max_features)
        self.feature.freeze_unused(encoder)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        height, width, _ = self.encoder.image_shape
        return height, width, self.channels

    def call(self, images, training=False):
        scaling = ChannelScaling(**self.scaling) if self.scaling else None
        images = image_ops.scale_to_unit(images, scaling)
        images = image_ops.with_channels(images, self.encoder.image_shape[-1])
        return self.feature(self.encoder.encode_unit_range(images, training))

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "feature": self.feature.name,
            "max_features": self.feature.max_features,
            "channels": self.channels,
            "scaling": self.scaling,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"), custom_objects)
        return cls(encoder, **config)

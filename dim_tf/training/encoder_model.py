"""A trained encoder as a Keras model of images in [0, 1]."""

import keras

from dim_tf.data import image_ops
from dim_tf.export.feature import Feature
from dim_tf.registry import MAX_FEATURES
from keras_models.encoders import Encoder


@keras.saving.register_keras_serializable("dim_tf")
class EncoderModel(keras.Model):
    """An encoder that takes images and gives one feature, as exported encoders do.

    Layers on which the feature does not depend are made untrainable.

    Args:
        encoder: Built.
        feature: Name of the feature.
        max_features: As of `Feature`.

    Input:
        float [N, H, W, 3] in [0, 1].

    Output:
        The feature, float32 [N, D].
    """

    def __init__(
        self,
        encoder: Encoder,
        feature: str = "global",
        max_features: int = MAX_FEATURES,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.feature = Feature(feature, max_features)
        self.feature.freeze_unused(encoder)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the images."""
        height, width, _ = self.encoder.image_shape
        return height, width, 3

    def call(self, images, training=False):
        images = image_ops.with_channels(images, self.encoder.image_shape[-1])
        return self.feature(self.encoder.encode_unit_range(images, training))

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "feature": self.feature.name,
            "max_features": self.feature.max_features,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"), custom_objects)
        return cls(encoder, **config)

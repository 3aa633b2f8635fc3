"""Export of an encoder as a SavedModel and as TFLite, each loaded again and compared."""

from dim_tf.export.hub_layer import EncoderLayer, encoder_at

__all__ = ["EncoderLayer", "encoder_at"]

"""Export of an encoder as a SavedModel and as TFLite, each loaded again and compared."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dim_tf.export.hub_layer import EncoderLayer

__all__ = ["EncoderLayer"]


def __getattr__(name: str) -> object:
    # Only when it is asked for: `python -m dim_tf.export.verify` needs no TensorFlow.
    if name == "EncoderLayer":
        from dim_tf.export.hub_layer import EncoderLayer

        return EncoderLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

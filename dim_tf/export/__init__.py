"""Export of an encoder as a SavedModel and as TFLite; each is loaded again and compared."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dim_tf.export.hub_layer import EncoderLayer, encoder_at

__all__ = ["EncoderLayer", "encoder_at"]


def __getattr__(name: str) -> Any:
    """Imports the Keras layer on use, because TensorFlow takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import keras_models  # noqa: F401  refuses other backends before Keras is imported
    from dim_tf.export import hub_layer

    return getattr(hub_layer, name)

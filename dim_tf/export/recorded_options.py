"""How an export prepares encoded images, as its metadata.json records it."""

from typing import Any

from dim_tf.data import image_bounds
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export.saved_model import SavedModelOptions


def recorded_options(metadata: dict[str, Any], channels: int) -> SavedModelOptions:
    """The options for decoding with which an export was saved.

    Args:
        metadata: The content of its metadata.json.
        channels: C of the images that its signatures take.
    """
    low, high = metadata.get("pixel_range", (ALL_16_BITS.low, ALL_16_BITS.high))
    scaling = metadata.get("value_scaling")
    return SavedModelOptions(
        metadata,
        max_pixels=int(metadata.get("max_pixels", image_bounds.MAX_PIXELS)),
        pixel_range=PixelRange(low, high),
        fit=metadata.get("fit", "crop"),
        channels=channels,
        scaling=None if scaling is None else ChannelScaling(**scaling),
    )

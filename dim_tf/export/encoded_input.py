"""The files that an exported encoder takes as bytes: JPEG and PNG; for arrays, .npy."""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from dim_tf.data import encoded_arrays, encoded_images, image_ops, npy
from dim_tf.data.image_frame import ImageFrame

if TYPE_CHECKING:
    from dim_tf.export.saved_model import SavedModelOptions


def decode_all(encoded: tf.Tensor, frame: ImageFrame, options: "SavedModelOptions") -> tf.Tensor:
    """Decodes files, string [N], to the encoder's images; if one is refused, all fail.

    Args:
        encoded: The files.
        frame: What an image becomes.
        options: Options of the export.

    Returns:
        float32 [N, H, W, C].
    """
    if options.scaling is not None:
        return encoded_arrays.decode_all(encoded, frame, options.max_pixels)
    return image_ops.to_unit(
        encoded_images.decode_all(encoded, frame, options.max_pixels, options.pixel_range)
    )


def decode_valid(
    encoded: tf.Tensor, frame: ImageFrame, options: "SavedModelOptions"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Like `decode_all`; and bool [N], whether a file could be decoded; if not, its image is 0."""
    if options.scaling is not None:
        return encoded_arrays.decode_valid(encoded, frame, options.max_pixels)
    pixels, valid = encoded_images.decode_valid(
        encoded, frame, options.max_pixels, options.pixel_range
    )
    return image_ops.to_unit(pixels), valid


def files_of(images: np.ndarray, are_arrays: bool) -> list[bytes]:
    """Encodes images as files, both in the form that the encoder takes.

    Args:
        images: float32 [N, H, W, C]; in [0, 1] unless they are arrays.
        are_arrays: Whether the encoder takes arrays.
    """
    return [npy.to_bytes(image) for image in images] if are_arrays else png_images(images)


def png_images(pixels: np.ndarray) -> list[bytes]:
    """Images, float [N, H, W, 1 or 3] in [0, 1], as PNG files."""
    return [tf.io.encode_png((p * 255.0).round().astype(np.uint8)).numpy() for p in pixels]

"""The pixel values that a Keras model takes: (pixel - offset) / scale of pixels in 0..255."""

from collections.abc import Sequence

import keras
import numpy as np

# (offset, scale) per RGB channel. "torch" and "caffe" are those of
# keras.applications.imagenet_utils.preprocess_input.
INPUT_SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "0..1": ((0.0,) * 3, (255.0,) * 3),
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": ((123.68, 116.779, 103.939), (1.0,) * 3),
}


def offset_and_scale(scaling: str | Sequence, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale of an input scaling, float32 [1] or [channels] each.

    Args:
        scaling: A key of `INPUT_SCALINGS`, or (offset, scale), numbers or one per channel.
        channels: Channels of the images.

    Raises:
        ValueError: The scaling is neither, is for another number of channels, or is not finite.
    """
    if isinstance(scaling, str):
        if scaling not in INPUT_SCALINGS:
            raise ValueError(
                f"input_scaling {scaling!r}; expected one of {', '.join(INPUT_SCALINGS)}"
            )
        if channels not in (1, 3):
            raise ValueError(
                f"input_scaling {scaling!r} is for images of 1 or 3 channels, not {channels}; give "
                "(offset, scale)"
            )
        scaling = [numbers[:channels] for numbers in INPUT_SCALINGS[scaling]]
    try:
        offset, scale = (np.ravel(np.array(numbers, np.float64)) for numbers in scaling)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"input_scaling {scaling!r}; expected (offset, scale) in numbers"
        ) from error
    for numbers in (offset, scale):
        if len(numbers) not in (1, channels):
            raise ValueError(
                f"input_scaling {scaling}; expected a number or {channels}, one a channel"
            )
    if (scale == 0).any():
        raise ValueError(f"input_scaling {scaling}; a scale of 0 divides by nothing")
    with np.errstate(all="ignore"):
        offset, scale = offset.astype(np.float32), scale.astype(np.float32)
        bounds = [(pixel - offset) / scale for pixel in (np.float32(0), np.float32(255))]
    if not np.isfinite([*offset, *scale, *np.ravel(bounds)]).all():
        raise ValueError(f"input_scaling {scaling}; expected finite numbers that fit into float32")
    return offset, scale


def as_lists(scaling: Sequence) -> list:
    """(offset, scale) as lists of numbers, for JSON."""
    return [np.array(numbers, np.float64).tolist() for numbers in scaling]


def integer_dtype(backbone: keras.Model, offset: np.ndarray, scale: np.ndarray) -> str | None:
    """The integer dtype of the pixels that a backbone takes; None if it takes floats.

    Raises:
        ValueError: The dtype cannot hold pixels in 0..255, or the pixels are to be scaled.
    """
    dtype = backbone.inputs[0].dtype
    if keras.backend.is_float_dtype(dtype):
        return None
    if not keras.backend.is_int_dtype(dtype) or np.iinfo(dtype).max < 255:
        raise ValueError(
            f"{backbone.name} takes {dtype}, which does not hold pixels of 0..255; build it from "
            "keras.Input of floating-point numbers"
        )
    if offset.any() or (scale != 1).any():
        raise ValueError(
            f"{backbone.name} takes whole numbers ({dtype}), so pixels of 0..255 alone; give "
            "input_scaling 0..255"
        )
    return dtype

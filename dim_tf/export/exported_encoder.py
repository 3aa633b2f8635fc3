"""An exported encoder as a function of images of any kind and size."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from dim_tf.data import image_headers, image_ops
from dim_tf.data.folder import decoding, file_bytes
from dim_tf.data.image_faults import UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.export import saved_model
from dim_tf.export.recorded_options import recorded_options
from dim_tf.system.errors import InputError
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import read_json

BATCH_SIZE = 64
_FORMATS = (
    "a path, bytes of a JPEG or PNG file, a PIL image, or an array [H, W], [H, W, 1] or [H, W, 3]"
)
_ARRAY_FORMATS = "a path or bytes of a .npy file, or an array [H, W, {channels}]"
_KINDS = "uint8, uint16, or floats in [0, 1]"


def load(path: str | os.PathLike) -> "ExportedEncoder":
    """Loads an exported encoder.

    Args:
        path: One version, such as exported/photos/1; or "zoo:NAME", an encoder of the zoo at
            $DIM_TF_ZOO (docs/ZOO.md).

    Raises:
        InputError: There is no encoder, or it is damaged.
    """
    from dim_tf.zoo import PREFIX  # the zoo imports `dim_tf.export`

    if isinstance(path, str) and path.startswith(PREFIX):
        from dim_tf.zoo.resolve import resolve  # with what it needs for the network

        path = resolve(path)
    return ExportedEncoder(path)


class ExportedEncoder:
    """An exported encoder: images -> float32 [N, D].

        encoder = dim_tf.load("exported/photos/1")
        features = encoder(["a.jpg", PIL.Image.open("b.png"), array])

    Images of another size than `image_size` are prepared as in training and in serving: cropped,
    padded or stretched as set by --fit, and resized bilinearly with antialiasing.

    Args:
        path: One version of an export.

    Attributes:
        path: The same path.
        metadata: What the export says about itself.
        image_size: Pixels a side that the encoder takes, or height and width if they differ.
        feature: The feature that it returns, such as "global" or "conv".
        dimension: D.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._model = saved_model.load(os.fspath(path), "serving_bytes")
        self.metadata = read_json(self.path / "assets" / "metadata.json", "export again")
        signature = self._model.signatures["serving_default"]
        height, width, channels = signature.structured_input_signature[1]["images"].shape[1:]
        options = recorded_options(self.metadata, channels)
        self._frame = ImageFrame(height, width, channels, options.fit)
        self.image_size = self._frame.size
        self.feature = saved_model.feature_in(signature.structured_outputs)
        self.dimension = int(signature.structured_outputs[self.feature].shape[-1])
        self._pixel_range = options.pixel_range
        self._takes_arrays = options.scaling is not None
        self._max_pixels = options.max_pixels

    def __repr__(self):
        return f"ExportedEncoder({str(self.path)!r})"

    def __call__(self, images: Any) -> np.ndarray:
        """The features of images.

        Args:
            images: An image, a batch [N, H, W, 1 or 3], or a list of images of any kinds and sizes.
                An image is a path, encoded bytes, a PIL image, or an array or tensor [H, W], [H, W,
                1] or [H, W, 3] of uint8, of uint16, or of floats in [0, 1]. For an encoder of
                arrays: a path or bytes of a .npy file, the path of a TIFF, or an array [H, W, C] of
                values like those that it was trained on.

        Returns:
            float32 [N, D]; N is 1 for one image.

        Raises:
            InputError: Something is not an image, or cannot be decoded.
        """
        features = [np.empty([0, self.dimension], np.float32)]
        prepared = map(self._prepared, _each(images))
        for kind, group in itertools.groupby(prepared, type):
            of_batch = self._of_encoded if kind is _Encoded else self._of_pixels
            while batch := list(itertools.islice(group, BATCH_SIZE)):
                features.append(of_batch(batch))
        return np.concatenate(features)

    def _prepared(self, image: Any) -> "_Encoded | tf.Tensor":
        """An image as an encoded file, or float32 [H, W, C] in [0, 1]."""
        if isinstance(image, str | os.PathLike):
            return _Encoded(os.fspath(image), read_served(Path(image), self._max_pixels))
        if isinstance(image, bytes):
            return _Encoded("an image", image)
        if isinstance(image, Image.Image):
            return self._resized(_of_pillow(image))
        array = _as_array(image)
        if array.ndim == 2:
            array = array[:, :, np.newaxis]
        channels = (self._frame.channels,) if self._takes_arrays else (1, 3)
        if array.ndim != 3 or array.shape[-1] not in channels or 0 in array.shape:
            expected = _ARRAY_FORMATS if self._takes_arrays else _FORMATS
            raise InputError(
                f"an image has the shape {list(array.shape)}; expected "
                + expected.format(channels=self._frame.channels)
            )
        return self._resized(array)

    def _of_pixels(self, pixels: list[tf.Tensor]) -> np.ndarray:
        signature = self._model.signatures["serving_default"]
        return signature(images=tf.stack(pixels))[self.feature].numpy()

    def _of_encoded(self, files: "list[_Encoded]") -> np.ndarray:
        signature = self._model.signatures["serving_bytes"]
        try:
            outputs = signature(image_bytes=tf.constant([x.content for x in files]))
            return outputs[self.feature].numpy()
        except tf.errors.InvalidArgumentError as error:  # one of them fails all
            if len(files) == 1:
                raise InputError(f"{files[0].name} cannot be decoded ({reason(error)})") from error
            return np.concatenate([self._of_encoded([file]) for file in files])

    def _resized(self, array: np.ndarray) -> tf.Tensor:
        if self._takes_arrays:
            if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
                raise InputError(
                    f"an image has the type {array.dtype}; expected uint8, uint16 or floats"
                )
            values = array.astype(np.float32)
            if not np.isfinite(values).all():
                raise InputError("an image has values that are not finite")
            return image_ops.fit_image(values, self._frame)
        channels = self._frame.channels
        if array.dtype == np.uint16:
            array = self._pixel_range.to_uint8(array)
        if array.dtype == np.uint8:
            pixels = tf.constant(array)
            if array.shape[-1] > channels:
                pixels = image_ops.to_luma(pixels)
            fitted = image_ops.to_uint8(image_ops.fit_image(pixels, self._frame))
            return image_ops.with_channels(image_ops.to_unit(fitted), channels)
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(f"an image has the type {array.dtype}; expected {_KINDS}")
        if not (array.min() >= 0 and array.max() <= 1):  # also true for NaN
            raise InputError(
                f"an image has values from {array.min():g} to {array.max():g}; expected {_KINDS}"
            )
        fitted = image_ops.fit_image(tf.constant(array.astype(np.float32)), self._frame)
        return image_ops.with_channels(tf.clip_by_value(fitted, 0.0, 1.0), channels)


class _Encoded(NamedTuple):
    """An image file, JPEG or PNG."""

    name: str
    content: bytes


def _each(images: Any) -> Iterable[Any]:
    """The single images of the argument."""
    if isinstance(images, str | bytes | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, list | tuple):
        return images
    array = _as_array(images)
    return array if array.ndim == 4 else [array]


def _as_array(image: Any) -> np.ndarray:
    if isinstance(image, tf.Tensor) and image.dtype == tf.bfloat16:
        image = tf.cast(image, tf.float32)
    array = np.asarray(image)
    if array.dtype == object or array.dtype.kind in "US":
        raise InputError(f"{type(image).__name__} is no image; expected {_FORMATS}")
    return array


def _of_pillow(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3], or uint16 [H, W, 1] for 16 bits; upright, without transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[:, :, np.newaxis]
    return np.asarray(image.convert("RGB"))


def read_served(path: Path, max_pixels: int) -> bytes:
    """A file in the form that signatures on bytes take: non-JPEG images as PNG, arrays as .npy.

    Args:
        path: Path of the file.
        max_pixels: Files with more pixels are not converted.

    Raises:
        InputError: It cannot be read or decoded.
    """
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; dim_tf.embed embeds the images of a folder")
    try:
        content = file_bytes.read_image_file(path)
        if image_headers.format_of(content) in ("JPEG", "PNG"):
            return content
        return decoding.to_served(path, max_pixels=max_pixels)
    except UndecodableError as error:
        raise InputError(f"{path} cannot be decoded ({error})") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{str(path)!r} cannot be read ({error})") from error

"""The local maps of encoded images, computed by an export: a feature for each location."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.data.image_frame import ImageFrame
from dim_tf.export import encoded_input, saved_model
from dim_tf.export.exported_encoder import read_served
from dim_tf.export.recorded_options import recorded_options
from dim_tf.export.saved_model import VALID
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import read_json

LOCAL = "local"
SIGNATURE = "endpoints"


class LocalMaps:
    """Encoded images -> local maps, in half precision.

    The images are decoded as by the export's signatures on bytes, and go through its signature
    `endpoints`. So every export has local maps, and no additional signature is needed.

        local_maps = LocalMaps("exported/photos/1")
        outputs = local_maps(image_bytes=tf.constant([Path("a.jpg").read_bytes()]))
        outputs["local"]  # float16 [1, H, W, D]

    Args:
        path: One version of an export.

    Attributes:
        model: The loaded SavedModel.
        shape: H, W and D.
        options: Options with which the export was saved.
        frame: What an encoded image becomes.

    Raises:
        InputError: There is no export, or its encoder has no local map.
    """

    def __init__(self, path: str | os.PathLike):
        self.model: Any = saved_model.load(os.fspath(path), SIGNATURE)
        endpoints = self.model.signatures[SIGNATURE]
        shape = endpoints.structured_outputs.get(LOCAL, tf.TensorSpec([])).shape
        if len(shape) != 4 or None in shape[1:]:
            raise InputError(
                f"the encoder in {path} has no local map of a fixed size, but the endpoints "
                f"{', '.join(endpoints.structured_outputs)}; give an export of an encoder that has "
                "one, as --mode=train,export --encoder=basic makes it"
            )
        self.shape: tuple[int, int, int] = tuple(shape[1:])
        metadata = read_json(Path(path) / "assets" / "metadata.json", "export again")
        height, width, channels = endpoints.structured_input_signature[1]["images"].shape[1:]
        self.options = options = recorded_options(metadata, channels)
        self.frame = frame = ImageFrame(height, width, channels, options.fit)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def of_bytes(image_bytes):
            images, valid = encoded_input.decode_valid(image_bytes, frame, options)
            return {LOCAL: tf.cast(endpoints(images=images)[LOCAL], tf.float16), VALID: valid}

        # Traced here: TensorFlow warns if the calls of several encoders are traced.
        self._of_bytes = of_bytes.get_concrete_function()

    def of_files(self, files: Sequence[Path]) -> np.ndarray:
        """The local maps of a few image files, of any format that training reads.

        Args:
            files: N paths.

        Returns:
            float16 [N, H, W, D].

        Raises:
            InputError: A file cannot be read or decoded.
        """
        maps = np.empty((len(files), *self.shape), np.float16)
        for number, path in enumerate(files):
            content = read_served(path, self.options.max_pixels)
            outputs = self(tf.constant([content]))
            if not outputs[VALID][0]:
                raise InputError(f"{path} cannot be decoded; give another image")
            maps[number] = outputs[LOCAL][0]
        return maps

    def pixels_of(self, files: Sequence[Path]) -> np.ndarray:
        """Image files in the form that the encoder takes, without those that cannot be decoded.

        Args:
            files: Paths of the files.

        Returns:
            float32 [N, H, W, C]; multiples of 1/255 unless they are arrays.
        """

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def decode(image_bytes):
            return encoded_input.decode_valid(image_bytes, self.frame, self.options)

        contents = [read_served(path, self.options.max_pixels) for path in files]
        pixels, valid = decode(tf.constant(contents))
        return pixels.numpy()[valid.numpy()]

    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """The local maps, in the form of a signature's output.

        Args:
            image_bytes: string [N], files in the form that the export's signatures on bytes take.

        Returns:
            "local": float16 [N, H, W, D], infinite if a number is too large for float16; "valid":
            bool [N], whether the file could be decoded; if not, its map means nothing.
        """
        return self._of_bytes(tf.convert_to_tensor(image_bytes))

"""The trained Keras model inside a `BackboneEncoder`, as a .keras file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.export import saved_model
from dim_tf.system.errors import RunError
from keras_models.encoders import BackboneEncoder, keras_file

FILE = "backbone.keras"


def settings(encoder: BackboneEncoder) -> dict[str, Any]:
    """The settings of an encoder's Keras model as in metadata.json."""
    config = encoder.get_config()
    names = ("input_scaling", "local_layer", "conv_layer", "head", "batch_norm")
    return {name: config[name] for name in names}


def scaling_flag(scaling: str | Sequence[float | Sequence[float]]) -> str:
    """The value of --input_scaling for a scaling in the settings: a name, or (offset, scale)."""
    if isinstance(scaling, str):
        return scaling
    parts = [list(part) if isinstance(part, Sequence) else [part] for part in scaling]
    channels = max(map(len, parts))
    numbers = [x for part in parts for x in part * (channels // len(part))]
    return ",".join(f"{x:.9g}" for x in numbers)


def write(encoder: BackboneEncoder, folder: Path) -> None:
    """Writes the encoder's Keras model, without the head, into a folder.

    All its layers are trainable in the file, as in a new model, whichever of them were trained.

    Args:
        encoder: Built, in float32.
        folder: Folder of the version.
    """
    backbone = encoder.backbone
    layers = list(backbone._flatten_layers())  # parents before children
    trainable_before = [layer.trainable for layer in layers]
    try:
        for layer in layers:  # a trainable model's own setter would skip them
            layer.trainable = True
        backbone.save(folder / FILE)
    finally:
        for layer, trainable in zip(layers, trainable_before, strict=True):
            layer.trainable = trainable


def check(encoder: BackboneEncoder, folder: Path, pixels: np.ndarray) -> float:
    """Loads the file and compares its maps with the encoder's.

    Args:
        encoder: The encoder that was written.
        folder: Folder of the version.
        pixels: float32 [N, H, W, 3] in [0, 1].

    Returns:
        The largest difference, relative to the largest feature.

    Raises:
        RunError: The file cannot be loaded in Keras' safe mode, or differs by more than
            `saved_model.TOLERANCE`.
    """
    try:
        backbone = keras_file.load(str(folder / FILE))
    except Exception as error:  # Keras raises errors of any type
        line = str(error).strip().partition("\n")[0][:300]
        raise RunError(
            f"{FILE} cannot be loaded again ({line}); nothing was published: register the classes "
            "of its layers with keras.saving.register_keras_serializable, and use no Lambda layer"
        ) from error
    config = encoder.get_config() | {"backbone": backbone, "name": None}
    loaded = BackboneEncoder(**config)
    loaded.build()
    images = image_ops.encoder_input(tf.constant(pixels), encoder.image_shape[-1])
    expected, actual = encoder(images, training=False), loaded(images, training=False)
    return max(
        saved_model.check_difference(
            f"{FILE}, {name}", actual[name].numpy(), expected[name].numpy()
        )
        for name in ("local", "conv")
    )

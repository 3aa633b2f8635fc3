"""The encoder as TFLite."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf.export import saved_model


def convert(saved_model_path: str, path: Path) -> None:
    """Writes `path`, float32 TFLite, from the SavedModel's serving_default signature."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model_path, signature_keys=["serving_default"]
    )
    path.write_bytes(converter.convert())


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The global features [N, D] of images, float32 [N, H, W, 3] in [0, 1], by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return runner(images=pixels)["global"]


def check(path: Path, pixels: np.ndarray, wanted: np.ndarray) -> float:
    """Runs the TFLite file on images and compares it with the Keras model's features.

    Returns:
        The largest difference, as a share of the largest feature.

    Raises:
        RunError: it exceeds the tolerance.
    """
    return saved_model.difference("TFLite file", run(path, pixels), wanted)

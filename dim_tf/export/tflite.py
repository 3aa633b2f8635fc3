"""An exported model as TFLite, in several precisions."""

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.lite.python.util import modify_model_io_type

from dim_tf.export import saved_model, tflite_metadata
from dim_tf.export.feature import Feature
from dim_tf.export.tflite_metadata import Task
from dim_tf.system.errors import RunError
from dim_tf.system.io_errors import reason

# The largest loss, 1 - mean cosine of the features, by precision.
MAX_COSINE_LOSS = {"float16": 1e-4, "dynamic": 0.02, "int8": 0.1}
# How the converter's error lists each operation that TFLite lacks, with the types of its operands.
_MISSING_OPERATION = re.compile(r"^\s+tf\.(\w+\(.*?\)) -> ", re.MULTILINE)
_MAX_LISTED = 3  # operations that an error lists
# Lines that TFLite writes to stderr at any log level although nothing is wrong.
_HARMLESS_LINE = re.compile(rb"fully_quantize: |INFO: Created TensorFlow Lite ")


@dataclass(frozen=True)
class Variant:
    """A TFLite file.

    Attributes:
        file: Its name.
        signature: Signature of the SavedModel that is converted.
        precision: "float32", "float16" (weights), "dynamic" (int8 weights) or "int8" (everything).
        single_image: Whether it takes one image at a time, so that all its shapes are static, which
            delegates require.
        dtype: Type of its input and output: float32, int8 or uint8.
        min_runtime: The oldest TensorFlow Lite that loads it; empty: the one that the converter
            states.
    """

    file: str
    signature: str = "serving_default"
    precision: str = "float32"
    single_image: bool = False
    dtype: str = "float32"
    min_runtime: str = ""

    @property
    def name(self) -> str:
        """Its name in --tflite."""
        return self.file.partition("_")[2].removesuffix(".tflite")

    @property
    def for_mediapipe(self) -> bool:
        """Whether it has the metadata that MediaPipe's tasks need, if it takes RGB."""
        return self.signature != ENDPOINTS.signature and self.dtype != "int8"

    @property
    def remedy(self) -> str:
        """What to do if the conversion fails."""
        if self == ENDPOINTS:
            return "nothing was published: leave --tflite_endpoints out"
        return f"nothing was published: leave {self.name} out of --tflite"


VARIANTS = (
    Variant("encoder_float32.tflite"),
    Variant("encoder_float16.tflite", precision="float16"),
    # The converter says 2.17.0. TensorFlow 2.13 and 2.16 cannot load it, nor can 2.17, by a public
    # report; 2.20 can.
    Variant("encoder_dynamic.tflite", precision="dynamic", min_runtime="2.20.0"),
    Variant("encoder_int8.tflite", precision="int8", single_image=True, dtype="int8"),
    Variant("encoder_float32_batch1.tflite", single_image=True),
    Variant("encoder_uint8_batch1.tflite", precision="int8", single_image=True, dtype="uint8"),
)
ENDPOINTS = Variant("encoder_endpoints.tflite", signature="endpoints")


def write(
    folder: Path,
    variants: Iterable[Variant],
    pixels: np.ndarray,
    name: str,
    license: str,
    task: Task,
) -> None:
    """Converts the SavedModel in `folder` to TFLite files beside it.

    Files that differ only in the dtype of input and output share one conversion.

    Args:
        folder: Folder of the SavedModel.
        variants: The files.
        pixels: float32 [N, H, W, C] in [0, 1], real images that calibrate the ranges of int8.
        name: Name of the model, for the metadata.
        license: License of the model, for the metadata.
        task: Task of the model, for the metadata.

    Raises:
        RunError: The model cannot be converted.
    """
    converted: dict[tuple, bytes] = {}
    for variant in variants:
        graph = (variant.signature, variant.precision, variant.single_image)
        if graph not in converted:
            converted[graph] = _convert(folder, variant, pixels)
        # From float32 to the graph's own dtype, and from int8 to uint8.
        dtype = tf.dtypes.as_dtype(variant.dtype)
        model = modify_model_io_type(converted[graph], dtype, dtype)
        if variant.min_runtime:
            model = tflite_metadata.with_min_runtime(model, variant.min_runtime)
        if variant.for_mediapipe and pixels.shape[-1] == tflite_metadata.CHANNELS:
            model = tflite_metadata.with_image_metadata(
                model,
                task,
                name=name,
                license=license,
                mean=0.0,
                std=255.0,  # the model takes [0, 1]
                size=pixels.shape[1:3],
            )
        (folder / variant.file).write_bytes(model)


def _convert(folder, variant, pixels):
    """The TFLite model, with float32 input and output."""
    converter = _converter(folder, variant)
    if variant.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant.precision == "int8":
        converter.representative_dataset = lambda: _calibration_inputs(pixels)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        # The converter calibrates with its own interpreter.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        try:
            with _without_harmless_lines():
                return converter.convert()
        except (ConverterError, RuntimeError, ValueError, TypeError) as error:
            raise RunError(
                f"{variant.file}: the model cannot be converted ({_failure(error)}); "
                f"{variant.remedy}, or give --tflite=none"
            ) from error


def _failure(error):
    """Why the converter failed: the operations that TFLite lacks, if the error lists them."""
    missing = list(dict.fromkeys(_MISSING_OPERATION.findall(str(error))))
    if not missing:
        return reason(error)
    more = f" and {len(missing) - _MAX_LISTED} more" if len(missing) > _MAX_LISTED else ""
    return f"TFLite has no operation {', '.join(missing[:_MAX_LISTED])}{more}"


@contextlib.contextmanager
def _without_harmless_lines() -> Iterator[None]:
    """Holds back output to file descriptor 2, then writes it without the harmless lines.

    When the converter fails, nothing is written: the error repeats it.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 2)
        try:
            yield
        except ConverterError:
            output.truncate(0)
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            output.seek(0)
            for line in output:
                if not _HARMLESS_LINE.match(line):
                    os.write(2, line)


def _converter(folder, variant):
    if not variant.single_image:
        return tf.lite.TFLiteConverter.from_saved_model(
            str(folder), signature_keys=[variant.signature]
        )
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures[variant.signature]
    spec = signature.structured_input_signature[1]["images"]
    feature = saved_model.feature_in(signature.structured_outputs)
    function = tf.function(lambda images: {feature: loaded(images)}).get_concrete_function(
        tf.TensorSpec([1, *spec.shape[1:]], tf.float32, name="images")
    )
    return tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)


def _calibration_inputs(pixels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for image in pixels:
        yield {"images": image[np.newaxis]}
    if pixels.min() >= 0 and pixels.max() <= 1:
        # Makes the input's range [0, 1] whatever range the images use, so that an input byte equals
        # the byte of the pixel, which is what MediaPipe feeds.
        full_range = pixels[:1].copy()
        full_range[0, 0, 0], full_range[0, -1, -1] = 0, 1
        yield {"images": full_range}


def runner(path: Path, threads: int = 1) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The function that a TFLite file holds, run by LiteRT.

    Args:
        path: Path of the file.
        threads: Number of threads of the interpreter.

    Returns:
        images, float32 [N, H, W, C] in [0, 1] -> the file's outputs as float32. In int8 and uint8
        files, input and output are converted by their scales.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _without_harmless_lines():
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()  # which logs that it creates a delegate
    signature = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    input_details = signature.get_input_details()["images"]
    output_details = signature.get_output_details()

    def run_batch(pixels):
        outputs = signature(images=_quantize(pixels, input_details))
        return {name: _dequantize(x, output_details[name]) for name, x in outputs.items()}

    def run_one_by_one(pixels):
        outputs = [run_batch(image[np.newaxis]) for image in pixels]
        return {name: np.concatenate([x[name] for x in outputs]) for name in output_details}

    return run_one_by_one if input_details["shape_signature"][0] == 1 else run_batch


def _quantize(values, details):
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    limits = np.iinfo(details["dtype"])
    steps = np.round(values / scale) + zero
    return np.clip(steps, limits.min, limits.max).astype(details["dtype"])


def _dequantize(values, details):
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


def encode(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The features [N, D] of images, float32 [N, H, W, C], computed by a TFLite file.

    Raises:
        ValueError: It is the file of all endpoints; use `runner` for these.
    """
    outputs = runner(path)(pixels)
    return outputs[saved_model.feature_in(outputs)]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine similarity [N] of each row of a [N, D] with the same row of b [N, D]."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.maximum(lengths, 1e-12)


def check(
    path: Path,
    variant: Variant,
    pixels: np.ndarray,
    expected: dict[str, np.ndarray],
    feature: Feature,
) -> float:
    """Runs a TFLite file on images and compares it with the Keras model's features.

    Args:
        path: Path of the file.
        variant: The variant as which the file was converted.
        pixels: float32 [N, H, W, C] in [0, 1].
        expected: The Keras model's endpoints, float32.
        feature: The feature that the file returns, unless it returns all endpoints.

    Returns:
        The mean cosine between its features and the Keras model's.

    Raises:
        RunError: A float32 file differs by more than `saved_model.TOLERANCE`, another file loses
            more than `MAX_COSINE_LOSS`, or a uint8 file does not take the bytes of the pixels.
    """
    if variant.dtype == "uint8":
        check_byte_input(path)
    outputs = runner(path)(pixels)
    expected_features = feature(expected).numpy()
    if variant.signature == "endpoints":
        features = feature(outputs).numpy()
    else:
        features = outputs[feature.name]
    cosine = float(cosines(features, expected_features).mean())
    if variant.precision == "float32":
        saved_model.check_difference(variant.file, features, expected_features)
        for name in set(outputs) if variant.signature == "endpoints" else ():
            saved_model.check_difference(f"{variant.file}, {name}", outputs[name], expected[name])
    elif not cosine >= 1 - MAX_COSINE_LOSS[variant.precision]:
        raise RunError(
            f"{variant.file}: its features' mean cosine with the Keras model's is {cosine:.4f}, "
            f"less than {1 - MAX_COSINE_LOSS[variant.precision]}; {variant.remedy}"
        )
    return cosine


def check_byte_input(path: Path) -> None:
    """Checks the scale of the input, because MediaPipe feeds bytes whatever scale the file states.

    Args:
        path: Path of a file that takes uint8.

    Raises:
        RunError: It does not take the bytes of the pixels.
    """
    from ai_edge_litert.interpreter import Interpreter

    scale, zero = Interpreter(model_path=str(path)).get_input_details()[0]["quantization"]
    if zero != 0 or not np.isclose(scale, 1 / 255, rtol=1e-5):
        raise RunError(
            f"{path.name} takes bytes of scale {scale:.6f} and zero {zero}, not of 1/255 and 0; "
            "nothing was published"
        )

"""The encoder as TFLite, in several precisions."""

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

from dim_tf.export import lite_metadata, saved_model
from dim_tf.system.errors import RunError
from dim_tf.system.io_errors import reason

# Largest share of the direction of a feature vector that a file may lose: 1 - mean cosine.
LOST = {"float16": 1e-4, "dynamic": 0.02, "int8": 0.1}
# How the converter's error lists each operation that TFLite lacks, with its operands' types.
_LACKING = re.compile(r"^\s+tf\.(\w+\(.*?\)) -> ", re.MULTILINE)
_LISTED = 3  # operations that an error lists
# What TFLite writes to stderr, whatever the log level, where nothing is wrong.
_REMARK = re.compile(rb"fully_quantize: |INFO: Created TensorFlow Lite ")


@dataclass(frozen=True)
class Variant:
    """A TFLite file.

    Attributes:
        file: its name.
        signature: of the SavedModel that it is made from.
        precision: float32, float16 (weights), dynamic (int8 weights) or int8 (all).
        fixed: whether it takes one image at a time and all its shapes are static, as delegates ask
            for.
        type: of its input and its output: float32, int8 or uint8.
        min_runtime: the oldest TensorFlow Lite that loads it; empty: the one that the converter
            writes into the file.
    """

    file: str
    signature: str = "serving_default"
    precision: str = "float32"
    fixed: bool = False
    type: str = "float32"
    min_runtime: str = ""

    @property
    def name(self) -> str:
        """What --tflite calls it."""
        return self.file.removeprefix("encoder_").removesuffix(".tflite")

    @property
    def for_mediapipe(self) -> bool:
        """Whether it has the metadata by which MediaPipe's ImageEmbedder loads it."""
        return self.signature == "serving_default" and self.type != "int8"

    @property
    def remedy(self) -> str:
        """What to do where it cannot be made."""
        if self == ENDPOINTS:
            return "nothing was published: leave --tflite_endpoints out"
        return f"nothing was published: leave {self.name} out of --tflite"


VARIANTS = (
    Variant("encoder_float32.tflite"),
    Variant("encoder_float16.tflite", precision="float16"),
    # The converter says 2.17.0. TensorFlow 2.13 and 2.16 cannot load it, nor, by a public report,
    # 2.17; 2.20 can.
    Variant("encoder_dynamic.tflite", precision="dynamic", min_runtime="2.20.0"),
    Variant("encoder_int8.tflite", precision="int8", fixed=True, type="int8"),
    Variant("encoder_float32_batch1.tflite", fixed=True),
    Variant("encoder_uint8_batch1.tflite", precision="int8", fixed=True, type="uint8"),
)
ENDPOINTS = Variant("encoder_endpoints.tflite", signature="endpoints")


def write(
    folder: Path, variants: Iterable[Variant], pixels: np.ndarray, name: str, license: str
) -> None:
    """Converts the SavedModel in `folder` to TFLite files beside it.

    Files that differ in the type of input and output alone come of one conversion.

    Args:
        folder: of the SavedModel.
        variants: which files.
        pixels: float32 [N, H, W, 3] in [0, 1], real images, from which int8 takes its ranges.
        name: of the model, for the metadata.
        license: of the model, for the metadata.

    Raises:
        RunError: the model cannot be converted.
    """
    converted: dict[tuple, bytes] = {}
    for variant in variants:
        graph = (variant.signature, variant.precision, variant.fixed)
        if graph not in converted:
            converted[graph] = _convert(folder, variant, pixels)
        # float32 becomes the type that the graph has inside, and that another's sign.
        kind = tf.dtypes.as_dtype(variant.type)
        model = modify_model_io_type(converted[graph], kind, kind)
        if variant.for_mediapipe:
            model = lite_metadata.with_image_metadata(
                model,
                name=name,
                description="Image encoder: an image to its global feature",
                license=license,
                mean=0.0,
                std=255.0,  # the model takes [0, 1]
                size=pixels.shape[1],
            )
        if variant.min_runtime:
            model = lite_metadata.with_min_runtime(model, variant.min_runtime)
        (folder / variant.file).write_bytes(model)


def _convert(folder, variant, pixels):
    """The TFLite model, with float32 input and output."""
    converter = _converter(folder, variant)
    if variant.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant.precision == "int8":
        converter.representative_dataset = lambda: _one_by_one(pixels)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        # Of what the converter itself calibrates with.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        try:
            with _without_remarks():
                return converter.convert()
        except (ConverterError, RuntimeError, ValueError, TypeError) as error:
            raise RunError(
                f"{variant.file}: the encoder cannot be converted ({_refusal(error)}); "
                f"{variant.remedy}, or give --tflite=none"
            ) from error


def _refusal(error):
    """Why the converter failed: the operations that TFLite lacks, if the error lists them."""
    lacking = list(dict.fromkeys(_LACKING.findall(str(error))))
    if not lacking:
        return reason(error)
    more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
    return f"TFLite has no operation {', '.join(lacking[:_LISTED])}{more}"


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Within it, what goes to file descriptor 2 is held back; then it appears, but for remarks.

    Nothing of it appears where the converter fails: the error repeats it.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ConverterError:
            held.truncate(0)
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _REMARK.match(line):
                    os.write(2, line)


def _converter(folder, variant):
    if not variant.fixed:
        return tf.lite.TFLiteConverter.from_saved_model(
            str(folder), signature_keys=[variant.signature]
        )
    loaded = tf.saved_model.load(str(folder))
    spec = loaded.signatures[variant.signature].structured_input_signature[1]["images"]
    one = tf.function(lambda images: {"global": loaded(images)}).get_concrete_function(
        tf.TensorSpec([1, *spec.shape[1:]], tf.float32, name="images")
    )
    return tf.lite.TFLiteConverter.from_concrete_functions([one], loaded)


def _one_by_one(pixels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for image in pixels:
        yield {"images": image[np.newaxis]}
    # The input's range is [0, 1] whatever range the images use: a byte is then the pixel's, as
    # MediaPipe feeds it.
    ends = pixels[:1].copy()
    ends[0, 0, 0], ends[0, -1, -1] = 0, 1
    yield {"images": ends}


def runner(path: Path, threads: int = 1) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The function that a TFLite file holds, run by LiteRT.

    Args:
        path: of the file.
        threads: that it may use.

    Returns:
        images, float32 [N, H, W, 3] in [0, 1] -> its outputs as float32; of int8 and uint8 files,
        input and output are converted by their scales.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _without_remarks():
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()  # which makes the delegate that a remark is on
    signature = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    given, answered = signature.get_input_details()["images"], signature.get_output_details()
    fixed = given["shape_signature"][0] == 1

    def run_once(pixels):
        found = signature(images=_to_stored(pixels, given))
        return {name: _from_stored(x, answered[name]) for name, x in found.items()}

    def run_one_by_one(pixels):
        found = [run_once(image[np.newaxis]) for image in pixels]
        return {name: np.concatenate([one[name] for one in found]) for name in answered}

    return run_one_by_one if fixed else run_once


def _to_stored(values, details):
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    limits = np.iinfo(details["dtype"])
    steps = np.round(values / scale) + zero
    return np.clip(steps, limits.min, limits.max).astype(details["dtype"])


def _from_stored(values, details):
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The global features [N, D] of images, float32 [N, H, W, 3] in [0, 1]."""
    return _global(runner(path)(pixels))


def _global(endpoints: dict[str, np.ndarray]) -> np.ndarray:
    return saved_model.global_features(endpoints).numpy()


def cosines(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The cosine [N] of each of two rows of features [N, D]."""
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(wanted, axis=-1)
    return np.sum(found * wanted, axis=-1) / np.maximum(lengths, 1e-12)


def check(path: Path, variant: Variant, pixels: np.ndarray, wanted: dict[str, np.ndarray]) -> float:
    """Runs a TFLite file on images and compares it with the Keras model's features.

    Args:
        path: of the file.
        variant: what it is.
        pixels: float32 [N, H, W, 3] in [0, 1].
        wanted: the Keras model's endpoints, float32.

    Returns:
        The mean cosine of its global features and the Keras model's.

    Raises:
        RunError: a float32 file differs by more than `saved_model.TOLERANCE`, another one loses
            more of the direction than `LOST` allows, or a uint8 file does not take a pixel's byte.
    """
    if variant.type == "uint8":
        _check_takes_bytes(path)
    found = runner(path)(pixels)
    features, wanted_features = _global(found), _global(wanted)
    cosine = float(cosines(features, wanted_features).mean())
    if variant.precision == "float32":
        saved_model.difference(variant.file, features, wanted_features)
        for name in set(found) - {"global"}:
            saved_model.difference(f"{variant.file}, {name}", found[name], wanted[name])
    elif not cosine >= 1 - LOST[variant.precision]:
        raise RunError(
            f"{variant.file}: its features' mean cosine with the Keras model's is {cosine:.4f}, "
            f"less than {1 - LOST[variant.precision]}; {variant.remedy}"
        )
    return cosine


def _check_takes_bytes(path):
    """MediaPipe feeds bytes as they are, whatever scale the file states."""
    from ai_edge_litert.interpreter import Interpreter

    scale, zero = Interpreter(model_path=str(path)).get_input_details()[0]["quantization"]
    if zero != 0 or not np.isclose(scale, 1 / 255, rtol=1e-5):
        raise RunError(
            f"{path.name} takes bytes of scale {scale:.6f} and zero {zero}, not of 1/255 and 0; "
            "nothing was published"
        )

"""Publishes a model as exported/<name>/<version>/, complete and checked, or not at all."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dim_tf.data import image_bounds, image_ops
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export import (
    backbone_file,
    card,
    saved_model,
    serving,
    tflite,
    tflite_metadata,
    verify,
    version_folders,
)
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.card_sections import TFLiteFile
from dim_tf.export.feature import GLOBAL, Feature
from dim_tf.export.saved_model import NeighboursIndex, Quantization, SavedModelOptions
from dim_tf.export.tflite_metadata import Task, embedding
from dim_tf.export.whole_version import CARD
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.source_date import source_date_epoch
from dim_tf.system.versions import versions
from keras_models.encoders import BackboneEncoder

WARMUP_IMAGES = 8
TIMED_RUNS = 30


@dataclass(frozen=True)
class ExportOptions:
    """What is published beside the encoder, and how many versions are kept.

    Attributes:
        feature: The feature that the encoder returns.
        label_names: Names of the data set's labels.
        calibration: float32 [N, H, W, C], training images that give the ranges of int8 and of
            `quantized`; None: the images on which the export is checked.
        max_pixels: Encoded images with more pixels are refused.
        pixel_range: Range of encoded images of 16 bits, as in training.
        fit: How encoded images of another shape are fitted, as in training.
        channels: C of the images that the export takes.
        scaling: Scaling of images that are arrays; None: they are in [0, 1].
        quantized: Whether to add a signature that returns features as bytes.
        neighbours: What the signature `neighbours` searches; None: without the signature.
        tflite: Names of the TFLite files, from `tflite.VARIANTS`; None: all.
        tflite_endpoints: Whether to add a TFLite file of all endpoints.
        keep_versions: Number of newest versions that are kept; 0: all.
    """

    feature: Feature = GLOBAL
    label_names: tuple[str, ...] = ()
    calibration: np.ndarray | None = None
    max_pixels: int = image_bounds.MAX_PIXELS
    pixel_range: PixelRange = ALL_16_BITS
    fit: str = "crop"
    channels: int = 3
    scaling: ChannelScaling | None = None
    quantized: bool = False
    neighbours: NeighboursIndex | None = None
    tflite: tuple[str, ...] | None = None
    tflite_endpoints: bool = False
    keep_versions: int = 0


def publish(
    encoder: keras.Model,
    folder: Path,
    pixels: np.ndarray,
    info: ModelCardInfo | None = None,
    options: ExportOptions | None = None,
) -> tuple[Path, float]:
    """Writes the next version of an exported encoder.

    The SavedModel and the TFLite files are written to a hidden folder, loaded again, and compared
    with the Keras model on real images. Only then is the folder renamed to the version's number,
    which a polling server looks for. Earlier versions do not change, except those that
    `options.keep_versions` removes. SHA256SUMS, written last, lists the version's files (`verify`).

    Args:
        encoder: Built, in float32.
        folder: exported/<name>.
        pixels: float32 [N, H, W, C], real images of the encoder's size, in the form that the export
            takes.
        info: Entries of the model card; None: the defaults.
        options: The options; None: the defaults.

    Returns:
        The folder of the version, and the largest difference from the Keras model, relative to the
        largest feature.

    Raises:
        InputError: The folder cannot be written, or `options.max_pixels` is too small.
        RunError: The export differs from the Keras model, TFLite cannot convert it, the disk is
            full, or an old version could not be removed after the new one was published.
    """
    info, options = info or ModelCardInfo(), options or ExportOptions()
    check_max_pixels(encoder, options)
    return publish_version(
        folder,
        lambda staging: _write_version(staging, encoder, folder.name, pixels, info, options),
        options.keep_versions,
    )


def check_max_pixels(encoder: keras.Model, options: ExportOptions) -> None:
    """Raises InputError if an export would refuse images of the encoder's own size."""
    height, width, _ = encoder.image_shape
    if options.max_pixels < height * width:
        raise InputError(
            f"--max_pixels={options.max_pixels} refuses images of the encoder's own size, {height} "
            f"x {width}; give at least {height * width}"
        )


def publish_version(
    folder: Path, write: Callable[[Path], float], keep_versions: int
) -> tuple[Path, float]:
    """Writes the next version in a folder, whole or not at all; configures a server for it.

    Args:
        folder: exported/<name>.
        write: Writes and checks everything in the folder that it is given.
        keep_versions: Number of newest versions that are kept; 0: all.

    Returns:
        The folder of the version, and what `write` returned.

    Raises:
        InputError: The folder cannot be written.
        RunError: Raised by `write`; or the disk is full, or an old version could not be removed
            after the new one was published.
    """
    with version_folders.staging_folder(folder) as staging:
        advice = "what was published before is intact; make room and run --mode=export again"
        with translate_write_errors(f"the export to {folder}", folder, advice):
            difference = write(staging)
            staging.chmod(0o755)  # mkdtemp makes it for this user alone; a server may be another
            target = version_folders.rename_to_next(staging, folder)
    config = folder.parent / serving.CONFIG_FOLDER
    with translate_write_errors(
        str(config), folder.parent, f"{target} is published; make room, export again"
    ):
        serving.write_config(folder.parent)
    try:
        version_folders.remove_old_versions(folder, keep_versions)
    except OSError as error:
        raise RunError(
            f"{target} is published; {error.filename}, which is older than the newest "
            f"{keep_versions} of --keep_versions, could not be removed: "
            f"{error.strerror}; remove it by hand"
        ) from error
    return target, difference


def _write_version(folder, encoder, name, pixels, info, options):
    """Writes and checks everything in the folder of a version; returns the largest difference."""
    calibration = pixels if options.calibration is None else options.calibration
    quantization = None
    if options.quantized:
        unit = image_ops.scale_to_unit(calibration, options.scaling)
        quantization = Quantization.fit(saved_model.keras_features(encoder, unit, options.feature))
    saved_model_options = SavedModelOptions(
        describe(encoder, name, info, options, quantization),
        options.label_names,
        options.max_pixels,
        quantization,
        options.neighbours,
        options.pixel_range,
        options.fit,
        options.channels,
        options.scaling,
        options.feature,
    )
    metadata = saved_model.save(encoder, folder, saved_model_options)
    difference = saved_model.check(folder, encoder, pixels, saved_model_options)
    if isinstance(encoder, BackboneEncoder):
        backbone_file.write(encoder, folder)
        unit = image_ops.scale_to_unit(pixels, options.scaling)
        difference = max(difference, backbone_file.check(encoder, folder, unit))
    files = _write_tflite(folder, encoder, name, pixels, calibration, info.license, options)
    serving.write_warmup(folder, name, pixels[:WARMUP_IMAGES], options.scaling is not None)
    text = card.render(metadata, info.metrics, files, len(pixels), len(calibration))
    (folder / CARD).write_text(text, encoding="utf-8")
    verify.write_sums(folder)
    return difference


def _write_tflite(folder, encoder, name, pixels, calibration, license, options):
    """Writes and checks the encoder's TFLite files; returns the rows of the card."""
    expected = saved_model.keras_endpoints(
        encoder, image_ops.scale_to_unit(pixels, options.scaling)
    )
    variants = list(tflite_variants(options, tflite.VARIANTS))
    if options.tflite_endpoints:
        variants.append(tflite.ENDPOINTS)

    def fidelity(path, variant):
        cosine = tflite.check(path, variant, pixels, expected, options.feature)
        return {"mean cosine": f"{cosine:.5f}"}

    task = embedding(options.feature.name)
    return write_tflite(folder, variants, pixels, calibration, name, license, task, fidelity)


def write_tflite(
    folder: Path,
    variants: Sequence[tflite.Variant],
    pixels: np.ndarray,
    calibration: np.ndarray,
    name: str,
    license: str,
    task: Task,
    fidelity: Callable[[Path, tflite.Variant], dict[str, str]],
) -> list[TFLiteFile]:
    """Writes, checks and times the TFLite files of a SavedModel.

    With $SOURCE_DATE_EPOCH set they are not timed, because no two times are the same.

    Args:
        folder: Folder of the SavedModel.
        variants: The files.
        pixels: float32 [N, H, W, C], images on which they are timed.
        calibration: float32 [N, H, W, C], images that give the ranges of int8.
        name: Name of the model.
        license: License of the model.
        task: Task of the model.
        fidelity: Checks a file; returns how closely it reproduces the Keras model, as the card
            shows it.

    Returns:
        The rows of the card.
    """
    is_timed = source_date_epoch() is None
    tflite.write(folder, variants, calibration, name, license, task)
    files = []
    for variant in variants:
        path = folder / variant.file
        cells = fidelity(path, variant)
        run = tflite.runner(path)
        milliseconds = _median_milliseconds(run, pixels[:1]) if is_timed else None
        runtime = tflite_metadata.min_runtime(path.read_bytes())
        files.append(TFLiteFile(variant, path.stat().st_size, cells, milliseconds, runtime))
    return files


def tflite_variants(
    options: ExportOptions, available: Sequence[tflite.Variant]
) -> Iterator[tflite.Variant]:
    """The TFLite files that an export gets.

    Args:
        options: Options of the export.
        available: All of them.

    Raises:
        InputError: A requested file cannot take what the encoder takes.
    """
    for variant in available:
        if options.scaling is not None and variant.dtype != "float32":
            if variant.name in (options.tflite or ()):
                raise InputError(
                    f"--tflite={variant.name} takes 8 bits, which do not hold the values of "
                    "arrays; leave it out"
                )
        elif options.tflite is None or variant.name in options.tflite:
            yield variant


def describe(
    encoder: keras.Model,
    name: str,
    info: ModelCardInfo,
    options: ExportOptions,
    quantization: Quantization | None = None,
) -> dict[str, Any]:
    """What metadata.json says about an exported encoder, besides its signatures.

    Args:
        encoder: The exported encoder.
        name: Name of the export.
        info: Entries of the card.
        options: Options of the export.
        quantization: Quantization of the signature `quantized`; None: without it.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "versions": versions(),
        "training_data": info.training_data,
        "method": info.method,
        "objective": info.objective,
        "encoder": info.encoder or type(encoder).__name__,
        "initial_weights": info.initial_weights,
        "parameters": int(encoder.count_params()),
        "image_size": ImageFrame(*encoder.image_shape).size,
        "channels": options.channels,
        "fit": options.fit,
        "feature": info.feature_choice | {"name": options.feature.name},
        "dimension": options.feature.dimension(encoder),
        "steps": info.steps,
        "batch_size": info.batch_size,
        "fitted_images": info.fitted_images,
        "license": info.license,
        "note": info.note,
        "max_pixels": options.max_pixels,
        "pixel_range": [options.pixel_range.low, options.pixel_range.high],
        "experiment": info.experiment,
        "evaluation": info.evaluation,
    }
    if options.scaling is not None:
        metadata["value_scaling"] = options.scaling.to_dict()
    if isinstance(encoder, BackboneEncoder):
        metadata["backbone"] = backbone_file.settings(encoder)
    if quantization is not None:
        metadata["quantization"] = {
            options.feature.name: "offset + scale * byte",
            "offset": quantization.offset.tolist(),
            "scale": quantization.scale.tolist(),
        }
    return metadata


def _median_milliseconds(run, image):
    """The median time for one image, after a first call that does not count."""
    run(image)
    times = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))

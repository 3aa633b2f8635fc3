"""Exports a classifier to exported/<name>/<version>/: an encoder with a linear head."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dim_tf.export import (
    classifier_card,
    classifier_saved_model,
    publish,
    serving,
    tflite,
    verify,
)
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.classifier_saved_model import PROBABILITIES
from dim_tf.export.linear_head import LinearHead
from dim_tf.export.publish import ExportOptions
from dim_tf.export.saved_model import SavedModelOptions
from dim_tf.export.tflite_metadata import classification
from dim_tf.export.whole_version import CARD
from dim_tf.settings.finetuning import check_classifier_export
from dim_tf.system.errors import RunError

VARIANTS = tuple(
    dataclasses.replace(
        variant, file=variant.file.replace("encoder_", "classifier_"), signature=PROBABILITIES
    )
    for variant in tflite.VARIANTS
)
# The largest mean distance of the probabilities from those of the Keras model, by precision.
MAX_DISTANCE = {"float16": 0.002, "dynamic": 0.05, "int8": 0.1}


@dataclass(frozen=True)
class ClassifierInfo:
    """Content of a classifier's card and metadata.json.

    Attributes:
        encoder: Entries on its encoder. `license`, `note` and `experiment` are the classifier's.
        labelled_data: One sentence on the labelled images.
        report: How it was trained and how good it is, as written by `finetuning.report`; it becomes
            the entry "classifier" of metadata.json.
    """

    encoder: ModelCardInfo = field(default_factory=ModelCardInfo)
    labelled_data: str = ""
    report: dict[str, Any] = field(default_factory=dict)


def publish_classifier(
    encoder: keras.Model,
    head: LinearHead,
    folder: Path,
    pixels: np.ndarray,
    info: ClassifierInfo | None = None,
    options: ExportOptions | None = None,
) -> tuple[Path, float]:
    """Writes the next version of an exported classifier, as `publish.publish` does for an encoder.

    Args:
        encoder: Built, in float32.
        head: The head on `options.feature`, with its temperature folded in.
        folder: exported/<name>.
        pixels: float32 [N, H, W, C], real images of the encoder's size, in the form that the export
            takes.
        info: Entries of the card; None: the defaults.
        options: The options; None: the defaults. The names of the labels are the head's.

    Returns:
        The folder of the version, and the largest difference of a probability from the Keras
        model's.

    Raises:
        InputError: The folder cannot be written, `options.max_pixels` is too small, or an option is
            for encoders only.
        RunError: The export differs from the Keras model, TFLite cannot convert it, the disk is
            full, or an old version could not be removed after the new one was published.
    """
    info, options = info or ClassifierInfo(), options or ExportOptions()
    check_classifier_export(
        {
            "quantized": options.quantized,
            "neighbours_index": options.neighbours is not None,
            "tflite_endpoints": options.tflite_endpoints,
        }
    )
    publish.check_max_pixels(encoder, options)
    return publish.publish_version(
        folder,
        lambda staging: _write_version(staging, encoder, head, folder.name, pixels, info, options),
        options.keep_versions,
    )


def _write_version(folder, encoder, head, name, pixels, info, options):
    """Writes and checks everything in the folder of a version; returns the largest difference."""
    calibration = pixels if options.calibration is None else options.calibration
    metadata = publish.describe(encoder, name, info.encoder, options) | {
        "labels": list(head.label_names),
        "multi_label": head.multi_label,
        "labelled_data": info.labelled_data,
        "classifier": info.report,
    }
    saved = SavedModelOptions(
        metadata,
        head.label_names,
        options.max_pixels,
        pixel_range=options.pixel_range,
        fit=options.fit,
        channels=options.channels,
        scaling=options.scaling,
        feature=options.feature,
    )
    content = classifier_saved_model.save(encoder, head, folder, saved)
    difference = classifier_saved_model.check(folder, encoder, head, pixels, saved)
    expected = classifier_saved_model.keras_probabilities(encoder, head, pixels, saved)
    files = publish.write_tflite(
        folder,
        list(publish.tflite_variants(options, VARIANTS)),
        pixels,
        calibration,
        name,
        info.encoder.license,
        classification(head.label_names),
        lambda path, variant: _fidelity(path, variant, pixels, expected, head.multi_label),
    )
    serving.write_warmup(folder, name, pixels[: publish.WARMUP_IMAGES], options.scaling is not None)
    text = classifier_card.render(content, files, len(pixels), len(calibration))
    (folder / CARD).write_text(text, encoding="utf-8")
    verify.write_sums(folder)
    return difference


def _fidelity(path, variant, pixels, expected, multi_label) -> dict[str, str]:
    """How close the probabilities of a TFLite file are to those of the Keras model.

    Raises:
        RunError: They are too far apart.
    """
    if variant.dtype == "uint8":
        tflite.check_byte_input(path)
    probabilities = tflite.runner(path)(pixels)[PROBABILITIES]
    distance = mean_distance(probabilities, expected, multi_label)
    if variant.precision == "float32":
        classifier_saved_model.check_difference(variant.file, probabilities, expected)
    elif not distance <= MAX_DISTANCE[variant.precision]:
        raise RunError(
            f"{variant.file}: its probabilities have a mean distance of {distance:.3f} from the "
            f"Keras model's, more than {MAX_DISTANCE[variant.precision]}; {variant.remedy}"
        )
    if multi_label:
        same = np.mean((probabilities > 0.5) == (expected > 0.5))
    else:
        same = np.mean(probabilities.argmax(axis=1) == expected.argmax(axis=1))
    return {"mean distance": f"{distance:.5f}", "same label": f"{100 * same:.1f} %"}


def mean_distance(probabilities: np.ndarray, expected: np.ndarray, multi_label: bool) -> float:
    """The mean total variation distance between the images' distributions, both [N, labels].

    That is half the sum of the absolute differences; for attributes, the mean of these.
    """
    differences = np.abs(probabilities - expected)
    return float(differences.mean() if multi_label else differences.sum(axis=1).mean() / 2)

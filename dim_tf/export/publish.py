"""Publishes an encoder as exported/<name>/<version>/, checked and whole, or not at all."""

import contextlib
import errno
import itertools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from dim_tf.data import image_bounds
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export import backbone_file, card, lite, lite_metadata, saved_model, serving, verify
from dim_tf.export.saved_model import Extent, Quantization, Reference
from dim_tf.export.version_folders import published
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.versions import versions
from keras_models.encoders import BackboneEncoder

CARD_FILE = "README.md"
WARMUP_IMAGES = 8
TIMED_RUNS = 30
# A reader that began to load a version may go on for so long after a newer one was published.
GRACE_SECONDS = 600


@dataclass(frozen=True)
class Details:
    """What is told of an encoder, and what is published beside what every export has.

    Attributes:
        data: one sentence on the images that it learned from.
        learned: from what, and by which method.
        objective: one line on the objective.
        encoder: the preset's name.
        began_with: weights, where they were not drawn from the run's seed; empty: they were.
        steps: steps of training.
        batch_size: images in a step.
        licence: of the encoder's weights; empty: not stated.
        note: a sentence for the model card; empty: none.
        experiment: the settings that it was trained with.
        evaluation: of evaluation.json; empty: not measured.
        label_names: of the data set.
        calibration: float32 [N, H, W, 3] in [0, 1], training images from which int8 and
            quantization take their ranges; None: the images that the export is checked on.
        max_pixels: larger encoded images are refused.
        pixel_range: of encoded images of 16 bits, as the encoder learned from them.
        quantized: whether there is a signature with features as bytes.
        reference: among which the signature `neighbours` looks; None: without.
        tflite: names of the TFLite files, of `lite.VARIANTS`; None: all.
        tflite_endpoints: whether there is a TFLite file of all endpoints.
        keep: newest versions that stay; 0: all.
    """

    data: str = ""
    learned: str = "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)"
    objective: str = ""
    encoder: str = ""
    began_with: str = ""
    steps: int = 0
    batch_size: int = 0
    licence: str = ""
    note: str = ""
    experiment: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    calibration: np.ndarray | None = None
    max_pixels: int = image_bounds.MAX_PIXELS
    pixel_range: PixelRange = ALL_16_BITS
    quantized: bool = False
    reference: Reference | None = None
    tflite: tuple[str, ...] | None = None
    tflite_endpoints: bool = False
    keep: int = 0


def publish(
    encoder: keras.Model, folder: Path, pixels: np.ndarray, details: Details | None = None
) -> tuple[Path, float]:
    """Writes the next version of an exported encoder.

    The SavedModel and the TFLite files are written to a hidden folder, loaded again, compared with
    the Keras model on real images, and only then renamed to the version's number, which a polling
    server looks for. What was published before stays as it is, but for the versions that
    `details.keep` lets go. SHA256SUMS, written last, lists the version's files (`verify`).

    Args:
        encoder: built, in float32.
        folder: exported/<name>.
        pixels: float32 [N, H, W, 3] in [0, 1], real images of the encoder's size.
        details: what is told of it; None: nothing.

    Returns:
        The version's folder, and the largest difference from the Keras model as a share of the
        largest feature.

    Raises:
        InputError: the folder cannot be written, or `details.max_pixels` is too small.
        RunError: the export differs from the Keras model, TFLite cannot convert it, the disk is
            full, or an old version could not be removed, after the new one was published.
    """
    details = details or Details()
    height, width, _ = encoder.image_shape
    if details.max_pixels < height * width:
        raise InputError(
            f"--max_pixels={details.max_pixels} refuses images of the encoder's own size, {height} "
            f"x {width}; give at least {height * width}"
        )
    with _hidden(folder) as hidden:
        again = "what was published before is intact; make room and run --mode=export again"
        with translate_write_errors(f"the export to {folder}", folder, again):
            worst = _write(hidden, encoder, folder.name, pixels, details)
            hidden.chmod(0o755)  # mkdtemp makes it for this user alone; a server may be another
            target = _rename_to_next(hidden, folder)
    settings = folder.parent / serving.CONFIG_FOLDER
    with translate_write_errors(
        str(settings), folder.parent, f"{target} is published; make room, export again"
    ):
        serving.write_config(folder.parent)
    try:
        remove_old(folder, details.keep)
    except OSError as error:
        raise RunError(
            f"{target} is published; {error.filename}, which is older than the newest "
            f"{details.keep} of --keep_versions, could not be removed: {error.strerror}; remove it "
            "by hand"
        ) from error
    return target, worst


@contextlib.contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    """A new hidden folder in `folder`, removed at the end; those of killed processes go too.

    A `folder` that is new and stays empty is removed too.

    Raises:
        InputError: it cannot be made.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as alone:  # else another's might be removed before it is locked
            for left in folder.glob(".unpublished-*") if alone else ():
                with _locked(left, wait=False) as unused:
                    if unused:
                        shutil.rmtree(left, ignore_errors=True)
            hidden = Path(tempfile.mkdtemp(prefix=".unpublished-", dir=folder))
            in_use = contextlib.ExitStack()
            in_use.enter_context(_locked(hidden))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); give another --export_dir"
        ) from error
    with in_use:
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Whether the folder could be locked; it is held until the end, that of the process too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            is_locked = filelock.lock_descriptor(descriptor, blocking=wait)
        except OSError:  # the file system does not lock folders
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def _write(hidden, encoder, name, pixels, details):
    calibration = pixels if details.calibration is None else details.calibration
    quantization = None
    if details.quantized:
        quantization = Quantization.of(saved_model.expected(encoder, calibration))
    extent = Extent(
        _metadata(encoder, name, details, quantization),
        details.label_names,
        details.max_pixels,
        quantization,
        details.reference,
        details.pixel_range,
    )
    metadata = saved_model.save(encoder, hidden, extent)
    worst = saved_model.check(hidden, encoder, pixels, extent)
    if isinstance(encoder, BackboneEncoder):
        backbone_file.write(encoder, hidden)
        worst = max(worst, backbone_file.check(encoder, hidden, pixels))
    wanted = saved_model.expected_endpoints(encoder, pixels)
    variants = list(_variants(details))
    lite.write(hidden, variants, calibration, name, details.licence)
    files = []
    for variant in variants:
        path = hidden / variant.file
        cosine = lite.check(path, variant, pixels, wanted)
        milliseconds = _milliseconds(lite.runner(path), pixels[:1])
        runtime = lite_metadata.min_runtime(path.read_bytes())
        files.append(card.LiteFile(variant, path.stat().st_size, cosine, milliseconds, runtime))
    serving.write_warmup(hidden, name, pixels[:WARMUP_IMAGES])
    text = card.render(metadata, files, len(pixels), len(calibration))
    (hidden / CARD_FILE).write_text(text, encoding="utf-8")
    verify.write_sums(hidden)
    return worst


def _variants(details: Details) -> Iterator[lite.Variant]:
    for variant in lite.VARIANTS:
        if details.tflite is None or variant.name in details.tflite:
            yield variant
    if details.tflite_endpoints:
        yield lite.ENDPOINTS


def _metadata(encoder, name, details, quantization):
    told = {
        "name": name,
        "versions": versions(),
        "data": details.data,
        "learned": details.learned,
        "objective": details.objective,
        "encoder": details.encoder or type(encoder).__name__,
        "began_with": details.began_with,
        "parameters": int(encoder.count_params()),
        "image_size": encoder.image_shape[0],
        "dimension": encoder.global_dim,
        "steps": details.steps,
        "batch_size": details.batch_size,
        "licence": details.licence,
        "note": details.note,
        "max_pixels": details.max_pixels,
        "pixel_range": [details.pixel_range.low, details.pixel_range.high],
        "experiment": details.experiment,
        "evaluation": details.evaluation,
    }
    if isinstance(encoder, BackboneEncoder):
        told["backbone"] = backbone_file.settings(encoder)
    if quantization is not None:
        told["quantization"] = {
            "global": "offset + scale * byte",
            "offset": quantization.offset.tolist(),
            "scale": quantization.scale.tolist(),
        }
    return told


def _milliseconds(run, one):
    """The median time of one image."""
    run(one)
    times = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        run(one)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def _rename_to_next(hidden: Path, folder: Path) -> Path:
    """Renames a folder to the next version's number, also where another run does the same."""
    while True:
        target = folder / str(max(published(folder), default=0) + 1)
        try:
            os.rename(hidden, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def remove_old(folder: Path, keep: int) -> None:
    """Removes all but the newest versions, of those that no reader can still be loading.

    Args:
        folder: exported/<name>.
        keep: newest versions that stay; 0: all.

    Raises:
        OSError: one cannot be renamed and is whole; the rest were removed.
    """
    if not keep:
        return
    pairs = list(itertools.pairwise(published(folder)))
    kept = []
    for version, successor in pairs[: max(0, len(pairs) + 1 - keep)]:
        try:
            replaced = (folder / str(successor)).stat().st_ctime
            if time.time() - replaced >= GRACE_SECONDS:
                # No half a version is seen while it is deleted. A name that none has: of a stopped
                # run the same number may still lie there, after all versions had been removed.
                doomed = folder / f".removed-{version}-{uuid.uuid4().hex}"
                os.rename(folder / str(version), doomed)
        except FileNotFoundError:  # another run may do the same
            pass
        except OSError as error:
            kept.append(error)
    for doomed in folder.glob(".removed-*"):  # also one that a stopped run left half deleted
        _remove(doomed)
    if kept:
        raise kept[0]


def _remove(doomed: Path) -> None:
    """Removes a folder, or a file in its place; what cannot be removed stays, under its name."""
    if doomed.is_dir() and not doomed.is_symlink():
        shutil.rmtree(doomed, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            doomed.unlink()

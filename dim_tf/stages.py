"""The stages beside training. They meet in the run folder."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf import metrics_file
from dim_tf.console import say
from dim_tf.data import image_ops
from dim_tf.data.splits import Splits
from dim_tf.errors import InputError, MeasureError
from dim_tf.evaluation import (
    compare,
    projector,
    report,
    representation,
    samples,
    saved_encoder,
)
from dim_tf.evaluation.evaluate import Networks
from dim_tf.evaluation.evaluate import evaluate as measure
from dim_tf.evaluation.evaluate import write as write_evaluation
from dim_tf.evaluation.report import results
from dim_tf.experiment import Experiment
from dim_tf.export import embed, image_collection, publish, saved_model
from dim_tf.export.version_folders import published
from dim_tf.files import read_json, replace_text
from dim_tf.training import images_seen, start_weights
from dim_tf.training.budget import last_step
from dim_tf.training.model import encoder_name, load_trained, random_encoder
from dim_tf.versions import versions
from dim_tf.writing import writing

CHECKED_IMAGES = 32
CALIBRATION_IMAGES = 256


def evaluate(experiment: Experiment, splits: Splits) -> None:
    """Measures the trained encoder; writes evaluation.json and report.html.

    Raises:
        MeasureError: a measure failed; all others are written before.
        RunError: there is no good checkpoint, or the files cannot be written.
    """
    model, step = load_trained(experiment, splits)
    of_encoder = partial(representation.of_encoder, max_features=experiment.evaluation.max_features)
    untrained = random_encoder(experiment, splits.train.images)
    floors = {"random_encoder": partial(of_encoder, untrained)}
    if experiment.evaluation.references and start_weights.exists(experiment.run_path):
        start_encoder = random_encoder(experiment, splits.train.images)
        start_weights.restore(start_encoder, experiment.run_path)
        floors["start_weights"] = partial(of_encoder, start_encoder)
    elif experiment.evaluation.references and start_weights.begins_with_given_weights(experiment):
        say(
            "evaluate: the weights that training began with are not measured: "
            f"{start_weights.FILE} is missing in {experiment.run_path}; put a copy back"
        )
    floors["pixels"] = _of_pixels(experiment)
    protocol: dict[str, Any] = {
        "step": step,
        "budget_steps": last_step(experiment, splits),
        "seed": experiment.training.seed,
    }
    if "start_weights" in floors:
        protocol["start_weights"] = start_weights.described(experiment)
    before = images_seen.begun_on(experiment.run_path)
    changed = before.differences(images_seen.Seen.of(splits))
    if changed:
        what = " and ".join(f"{one}, fingerprint {getattr(before, one)}" for one in changed)
        protocol["trained_on"] = f"other data than those measured here: {what}"
        say(f"evaluate: trained on other data than these: {what}")
    _evaluate(
        experiment,
        splits,
        partial(of_encoder, model.encoder),
        floors if experiment.evaluation.references else {},
        Networks(model.encoder, untrained),
        protocol,
    )


def _of_pixels(experiment):
    return partial(representation.of_pixels, max_features=experiment.evaluation.max_features)


def evaluate_saved(experiment: Experiment, splits: Splits) -> None:
    """Measures the encoder of --encoder_path; writes evaluation.json and report.html.

    Raises:
        InputError: it cannot be loaded, or the run folder holds a run.
        MeasureError: a measure failed; all others are written before.
        RunError: the files cannot be written.
    """
    folder = experiment.run_path
    if (folder / "checkpoints").exists():
        raise InputError(
            f"{folder} holds a run, whose evaluation would be lost; give another --name or "
            "--run_dir for --encoder_path"
        )
    encoder = saved_encoder.load(experiment.evaluation.encoder_path)
    with _writing("experiment.json", folder):
        replace_text(folder / "experiment.json", experiment.to_json())
    _evaluate(
        experiment,
        splits,
        partial(representation.of_saved, encoder, max_features=experiment.evaluation.max_features),
        {"pixels": _of_pixels(experiment)} if experiment.evaluation.references else {},
        None,
        {"encoder": encoder.description},
    )


def _evaluate(experiment, splits, encode, floors, networks, protocol):
    if splits.report:
        with _writing("the report of the data", experiment.run_path):
            splits.report.write(experiment.run_path)
    say("evaluate: whose features, measure, endpoint, value")
    found = measure(encode, floors, splits, experiment, networks)
    found.figures["protocol"] |= protocol | {"test_images": len(splits.test.images)}
    folder = experiment.run_path
    with _writing("evaluation.json", folder):
        write_evaluation(folder, found.figures)
    if found.projected is not None:
        with _writing("TensorBoard's projection", folder):
            projector.write(folder / "tensorboard", found.projected)
    _write_report(experiment, protocol.get("step", 0), found.figures, found.pictures)
    if found.failed:
        told = "; ".join(f"{name}: {why}" for name, why in found.failed.items())
        raise MeasureError(f"all was written but the figures of what failed: {told}")


def show_samples(experiment: Experiment, splits: Splits) -> None:
    """Draws images from the trained generator; writes evaluation.json and report.html."""
    generator, step = load_trained(experiment, splits)
    evaluation = {"protocol": {"data": splits.note, "step": step, "seed": experiment.training.seed}}
    with _writing("evaluation.json", experiment.run_path):
        write_evaluation(experiment.run_path, evaluation)
    pictures = samples.panels(generator.samples(samples.COUNT, experiment.training.seed), splits)
    _write_report(experiment, step, evaluation, pictures)


def _write_report(experiment, step, evaluation, pictures):
    path = experiment.run_path / "report.html"
    with _writing("report.html", experiment.run_path):
        report.write(
            path,
            experiment=experiment.to_dict(),
            evaluation=evaluation,
            metrics=metrics_file.read(experiment.run_path / "metrics.jsonl", step),
            panels=pictures,
            versions=versions(),
        )
    say(f"report: {path}")


def _writing(name: str, folder: Path) -> AbstractContextManager[None]:
    return writing(
        name, folder, "the file before, if there was one, is intact; make room and evaluate again"
    )


def export(experiment: Experiment, splits: Splits) -> None:
    """Publishes the trained encoder as SavedModel and TFLite."""
    model, step = load_trained(experiment, splits)
    pixels = _pixels(splits.test.images[:CHECKED_IMAGES])
    details = publish.Details(
        data=splits.note,
        learned=experiment.model.LEARNED,
        objective=experiment.model.summary,
        encoder=encoder_name(experiment, splits.image_shape[0]),
        began_with=_began_with(experiment, step),
        steps=step,
        batch_size=experiment.training.batch_size,
        licence=experiment.export.license,
        note=experiment.export.card_note,
        experiment=experiment.hyperparameters,
        evaluation=_evaluation_of(experiment, step),
        label_names=splits.label_names,
        calibration=_pixels(splits.train.images[:CALIBRATION_IMAGES]),
        max_pixels=experiment.data.max_pixels,
        pixel_range=splits.pixel_range,
        quantized=experiment.export.quantized,
        reference=_reference(experiment, model.encoder, splits),
        tflite=experiment.export.tflite_names,
        tflite_endpoints=experiment.export.tflite_endpoints,
        keep=experiment.export.keep_versions,
    )
    folder = Path(experiment.export.export_dir) / experiment.name
    target, worst = publish.publish(model.encoder, folder, pixels, details)
    say(f"exported: {target} (largest difference from the Keras model {worst:.1e})")


def _began_with(experiment: Experiment, step: int) -> str:
    """A line of the card: the weights that training began with; empty where they were random."""
    weights = start_weights.described(experiment)
    return f"{weights}{start_weights.schedule(experiment, step)}" if weights else ""


def _pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 1 or 3] as exported models take it: float32 [N, H, W, 3] in [0, 1]."""
    return image_ops.with_channels(image_ops.to_unit(tf.constant(images)), 3).numpy()


def _evaluation_of(experiment: Experiment, step: int) -> dict[str, Any]:
    """evaluation.json of the same training step; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = experiment.run_path / "evaluation.json"
    if not path.exists():
        return {}
    found = read_json(path, "run --mode=evaluate again")
    results.check(found, path)
    return found if found.get("protocol", {}).get("step") == step else {}


def _reference(
    experiment: Experiment, encoder: keras.Model, splits: Splits
) -> saved_model.Reference | None:
    """The embeddings among which the signature `neighbours` looks; None without one."""
    where = experiment.export.neighbours_index
    if not where:
        return None
    if where == "train":
        images = splits.train.images
        batches = [
            saved_model.expected(encoder, _pixels(images[first : first + representation.BATCH]))
            for first in range(0, len(images), representation.BATCH)
        ]
        features = np.concatenate(batches)
        ids = tuple(f"train:{number}" for number in range(len(images)))
    else:
        found, features = embed.read(Path(where))
        ids = tuple(found)
        embed.check_encoder(Path(where), encoder.variables)
        if features.shape[1] != encoder.global_dim:
            raise InputError(
                f"the embeddings in {where} have {features.shape[1]} numbers, the encoder's "
                f"{encoder.global_dim}; embed the images by an export of this run"
            )
    return saved_model.Reference(ids, features, min(experiment.export.neighbours, len(ids)))


def compare_runs(experiment: Experiment) -> None:
    """Writes one page on the runs of --runs."""
    folders = compare.folders(experiment.evaluation.runs)
    path = compare.target(folders, experiment.run_dir)
    with writing(str(path), path.parent, "the runs are intact; make room and compare again"):
        compare.write(path, folders)
    say(f"comparison: {path}")


def embed_collection(experiment: Experiment) -> None:
    """Writes the embeddings of --embed_input by an exported encoder."""
    images = image_collection.open_collection(
        experiment.collection.input,
        experiment.data.data_dir,
        experiment.data.download,
        experiment.data.max_pixels,
    )
    folder = Path(experiment.export.export_dir) / experiment.name
    path = Path(
        experiment.collection.saved_model or folder / str(max(published(folder), default=1))
    )
    out = Path(experiment.collection.output or experiment.run_path / "embeddings")
    say(f"embed: {images.description}, by {path}")
    found = embed.embed(
        path, images, out, experiment.collection.format, experiment.collection.shard_size
    )
    say(f"embed: {found['images']:,} images, {found['refused']:,} refused: {out}")

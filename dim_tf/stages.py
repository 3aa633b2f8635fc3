"""The stages of a run, in their order: train, evaluate, export. They meet in the run folder."""

import dataclasses
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf import __version__, data
from dim_tf.data import image_ops
from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.evaluation import report, samples
from dim_tf.evaluation.evaluate import evaluate as measure
from dim_tf.evaluation.evaluate import write as write_evaluation
from dim_tf.experiment import Experiment
from dim_tf.export.publish import publish
from dim_tf.training import loop, monitors, strategy
from dim_tf.training.model import load_trained, make_encoder
from keras_models.randomness import derive_seed

CHECKED_IMAGES = 32
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "tensorflow-probability")


def run(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Raises:
        InputError: wrong settings, or missing data.
        RunError: a stage failed.
    """
    if experiment.model == "generator" and "export" in modes:
        raise InputError("--model=generator has no encoder to export; give --mode=train,evaluate")
    if experiment.replicas:
        strategy.make_logical_cpus(experiment.replicas)  # before anything uses the CPU
    splits = data.load(
        experiment.dataset, experiment.data_dir, experiment.image_size, experiment.download
    )
    print(f"data: {splits.note}", flush=True)
    if "train" in modes:
        try:
            loop.train(experiment, splits)
        except loop.Stopped as stopped:
            print(stopped)
            return True
    if "evaluate" in modes:
        if experiment.model == "generator":
            show_samples(experiment, splits)
        else:
            evaluate(experiment, splits)
    if "export" in modes:
        export(experiment, splits)
    return False


def evaluate(experiment: Experiment, splits: Splits) -> None:
    """Measures the trained encoder; writes evaluation.json and report.html."""
    model, step = load_trained(experiment, splits.image_shape)
    print("evaluate: whose features, measure, endpoint, value", flush=True)
    other_seed = derive_seed(experiment.seed, "random encoder")
    random_encoder = make_encoder(
        dataclasses.replace(experiment, seed=other_seed), splits.image_shape
    )
    random_encoder.build()
    evaluation, pictures = measure(
        model.encoder,
        random_encoder,
        splits,
        experiment.probe_epochs,
        experiment.probe_seeds,
        experiment.probe_learning_rate,
    )
    evaluation["protocol"] |= {"step": step, "seed": experiment.seed}
    write_evaluation(experiment.run_path, evaluation)
    _write_report(experiment, step, evaluation, pictures)


def show_samples(experiment: Experiment, splits: Splits) -> None:
    """Draws images from the trained generator; writes evaluation.json and report.html."""
    generator, step = load_trained(experiment, splits.image_shape)
    evaluation = {"protocol": {"data": splits.note, "step": step, "seed": experiment.seed}}
    write_evaluation(experiment.run_path, evaluation)
    pictures = samples.panels(generator.samples(samples.COUNT, experiment.seed), splits)
    _write_report(experiment, step, evaluation, pictures)


def _write_report(experiment, step, evaluation, pictures):
    path = experiment.run_path / "report.html"
    report.write(
        path,
        experiment=dataclasses.asdict(experiment),
        evaluation=evaluation,
        metrics=monitors.read_metrics(experiment.run_path / "metrics.jsonl", step),
        panels=pictures,
        versions=_versions(),
    )
    print(f"report: {path}")


def _versions() -> dict[str, str]:
    ours = {"dim_tf": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in PACKAGES}


def export(experiment: Experiment, splits: Splits) -> None:
    """Publishes the trained encoder as SavedModel and TFLite."""
    model, _ = load_trained(experiment, splits.image_shape)
    real = tf.constant(splits.test.images[:CHECKED_IMAGES])
    pixels: np.ndarray = image_ops.with_channels(image_ops.to_unit(real), 3).numpy()
    folder = Path(experiment.export_dir) / experiment.name
    target, worst = publish(model.encoder, folder, pixels)
    print(f"exported: {target} (largest difference from the Keras model {worst:.1e})")

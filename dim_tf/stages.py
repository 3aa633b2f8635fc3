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
from dim_tf.evaluation import report
from dim_tf.evaluation.evaluate import evaluate as measure
from dim_tf.evaluation.evaluate import write as write_evaluation
from dim_tf.experiment import Experiment
from dim_tf.export.publish import publish
from dim_tf.training import loop, monitors, strategy
from keras_models.randomness import derive_seed

CHECKED_IMAGES = 32
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "tensorflow-probability")


def run(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Raises:
        InputError: wrong settings, or missing data.
        RunError: a stage failed.
    """
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
        evaluate(experiment, splits)
    if "export" in modes:
        export(experiment, splits)
    return False


def evaluate(experiment: Experiment, splits: Splits) -> None:
    """Measures the trained encoder; writes evaluation.json and report.html."""
    size = splits.image_shape[0]
    encoder, step = loop.load_trained(experiment, size)
    print("evaluate: whose features, measure, endpoint, value", flush=True)
    other_seed = derive_seed(experiment.seed, "random encoder")
    random_encoder = loop.make_encoder(dataclasses.replace(experiment, seed=other_seed), size)
    random_encoder.build()
    evaluation, pictures = measure(
        encoder,
        random_encoder,
        splits,
        experiment.probe_epochs,
        experiment.probe_seeds,
        experiment.probe_learning_rate,
    )
    evaluation["protocol"] |= {"step": step, "seed": experiment.seed}
    write_evaluation(experiment.run_path, evaluation)
    report.write(
        experiment.run_path / "report.html",
        experiment=dataclasses.asdict(experiment),
        evaluation=evaluation,
        metrics=monitors.read_metrics(experiment.run_path / "metrics.jsonl", step),
        panels=pictures,
        versions=_versions(),
    )
    print(f"report: {experiment.run_path / 'report.html'}")


def _versions() -> dict[str, str]:
    ours = {"dim_tf": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in PACKAGES}


def export(experiment: Experiment, splits: Splits) -> None:
    """Publishes the trained encoder as SavedModel and TFLite."""
    encoder, _ = loop.load_trained(experiment, splits.image_shape[0])
    real = tf.constant(splits.test.images[:CHECKED_IMAGES])
    pixels: np.ndarray = image_ops.with_channels(image_ops.to_unit(real), 3).numpy()
    folder = Path(experiment.export_dir) / experiment.name
    target, worst = publish(encoder, folder, pixels)
    print(f"exported: {target} (largest difference from the Keras model {worst:.1e})")

"""Measures an encoder, or draws images from a generator: evaluation.json and report.html."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from dim_tf.data.splits import Splits
from dim_tf.evaluation import (
    evaluation_file,
    generated_samples,
    label_free_verdict,
    projector,
    representation,
    saved_encoder,
    verdict,
)
from dim_tf.evaluation.evaluate import run_measures
from dim_tf.evaluation.measure_spec import TrainableEncoders
from dim_tf.evaluation.references import load_named, references
from dim_tf.evaluation.report.run_report import write_run_report
from dim_tf.experiment import Experiment
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, MeasureError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.versions import versions
from dim_tf.training import data_fingerprint, fit, metrics_file, plan, start_weights
from dim_tf.training.model import load_trained, random_encoder
from dim_tf.training.schedule import last_step
from keras_models.clustering.cluster_model import ClusterModel
from keras_models.views import KINDS

NOTHING_TO_MEASURE = (
    "evaluate: there is nothing to measure: there are no test images (--test_fraction=0); "
    "give --validation_fraction to hold out some of the training images"
)


def evaluate(experiment: Experiment, splits: Splits) -> None:
    """Measures the trained encoder; writes evaluation.json and report.html.

    Raises:
        InputError: An encoder of --reference cannot be measured.
        MeasureError: A measure failed. The results of all others have been written.
        RunError: There is no good checkpoint, or the files cannot be written.
    """
    named = load_named(experiment, splits)
    model, step = load_trained(experiment, splits)
    untrained = random_encoder(experiment, splits.train.images)
    start_encoder = None
    if experiment.evaluation.references and start_weights.exists(experiment.run_path):
        start_encoder = random_encoder(experiment, splits.train.images)
        start_weights.restore(start_encoder, experiment.run_path)
    elif experiment.evaluation.references and start_weights.begins_pretrained(experiment):
        say(
            "evaluate: the weights that training began with are not measured: "
            f"{start_weights.FILE} is missing in {experiment.run_path}; put a copy back"
        )
    protocol: dict[str, Any] = {
        "step": step,
        "budget_steps": last_step(experiment, splits),
        "seed": experiment.training.seed,
    }
    if start_encoder is not None:
        protocol["start_weights"] = start_weights.describe(experiment)
    if fitted := fit.describe(experiment):
        protocol["fitted"] = fitted
    before = data_fingerprint.read(experiment.run_path)
    changed = before.differences(data_fingerprint.DataFingerprint.of(splits))
    if changed:
        changes = " and ".join(f"{one}, fingerprint {getattr(before, one)}" for one in changed)
        protocol["trained_on"] = f"other data than those measured here: {changes}"
        say(f"evaluate: trained on other data than these: {changes}")
    _evaluate(
        experiment,
        splits,
        partial(
            representation.from_encoder,
            model.encoder,
            max_features=experiment.evaluation.max_features,
        ),
        references(experiment.evaluation.max_features, untrained, start_encoder, named)
        if experiment.evaluation.references
        else {},
        TrainableEncoders(model.encoder, untrained),
        protocol,
        model.assign if isinstance(model, ClusterModel) else None,
    )


def evaluate_saved(experiment: Experiment, splits: Splits) -> None:
    """Measures the encoder of --encoder_path; writes evaluation.json and report.html.

    Raises:
        InputError: This encoder or one of --reference cannot be loaded, or the run folder holds a
            run.
        MeasureError: A measure failed. The results of all others have been written.
        RunError: The files cannot be written.
    """
    folder = experiment.run_path
    if (folder / "checkpoints").exists():
        raise InputError(
            f"{folder} holds a run, whose evaluation would be lost; give another --name or "
            "--run_dir for --encoder_path"
        )
    named = load_named(experiment, splits)
    encoder = saved_encoder.load(experiment.evaluation.encoder_path)
    with _writing("experiment.json", folder):
        atomic_write_text(folder / "experiment.json", experiment.to_json())
    _evaluate(
        experiment,
        splits,
        partial(
            representation.from_saved_encoder,
            encoder,
            max_features=experiment.evaluation.max_features,
        ),
        references(experiment.evaluation.max_features, named=named)
        if experiment.evaluation.references
        else {},
        None,
        {"encoder": encoder.description},
    )


def show_samples(experiment: Experiment, splits: Splits) -> None:
    """Draws images from the trained generator; writes evaluation.json and report.html."""
    generator, step = load_trained(experiment, splits)
    evaluation = {"protocol": {"data": splits.note, "step": step, "seed": experiment.training.seed}}
    with _writing("evaluation.json", experiment.run_path):
        evaluation_file.write(experiment.run_path, evaluation)
    generated = generator.samples(generated_samples.COUNT, experiment.training.seed)
    figures = generated_samples.sample_grids(generated, splits)
    _write_report(experiment, step, evaluation, figures)


def _evaluate(experiment, splits, encode, references, encoders, protocol, assign_clusters=None):
    if splits.report:
        with _writing("the report of the data", experiment.run_path):
            splits.report.write(experiment.run_path)
    say("evaluate: whose features, measure, endpoint, value")
    evaluation = run_measures(encode, references, splits, experiment, encoders, assign_clusters)
    decision = verdict.decide(
        evaluation.results,
        evaluation.reference_results,
        evaluation.content.get("feature", {}).get("name", "global"),
        was_trained=not experiment.evaluation.encoder_path,
    )
    if decision and decision["metric"] == label_free_verdict.METRIC:
        kind = KINDS.get(experiment.augmentation)
        decision = label_free_verdict.qualify(
            decision,
            trained_on_rotations=kind is not None and (kind.is_turned or kind.rotation >= 90),
        )
    elif decision and splits.label_names and not splits.multi_label:
        assert splits.test.labels is not None
        decision = verdict.with_most_frequent_class(
            decision, splits.test.labels, splits.label_names
        )
    evaluation.content["verdict"] = decision
    evaluation.content["protocol"] |= protocol | {
        "test_images": len(splits.test.images),
        "verdict": verdict.protocol(
            evaluation.content["verdict"],
            has_labels=bool(splits.label_names),
            has_references=bool(references),
        ),
    }
    folder = experiment.run_path
    with _writing("evaluation.json", folder):
        lost = evaluation_file.keep_previous(folder, evaluation.content)
        evaluation_file.write(folder, evaluation.content)
    if lost:
        say(
            f"evaluate: {', '.join(lost)} were not measured again; they are in "
            f"{folder / evaluation_file.PREVIOUS_FILE}"
        )
    if evaluation.projected is not None:
        with _writing("TensorBoard's projection", folder):
            projector.write(folder / "tensorboard", evaluation.projected)
    _write_report(experiment, protocol.get("step", 0), evaluation.content, evaluation.figures)
    for line in verdict.lines(evaluation.content):
        say(line)
    if evaluation.failed:
        reasons = "; ".join(f"{name}: {why}" for name, why in evaluation.failed.items())
        raise MeasureError(f"all was written but the values of what failed: {reasons}")


def _write_report(experiment, step, evaluation, figures):
    path = experiment.run_path / "report.html"
    with _writing("report.html", experiment.run_path):
        write_run_report(
            path,
            experiment=experiment.used_settings | plan.describe(experiment),
            evaluation=evaluation,
            metrics=metrics_file.read(experiment.run_path / "metrics.jsonl", step),
            figures=figures,
            versions=versions(),
        )
    say(f"report: {path}")


def _writing(name: str, folder: Path) -> AbstractContextManager[None]:
    return translate_write_errors(
        name, folder, "the file before, if there was one, is intact; make room and evaluate again"
    )

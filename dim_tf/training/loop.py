"""Training: from an experiment and its data to the last checkpoint."""

import contextlib
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from dim_tf import metrics_file
from dim_tf.console import say
from dim_tf.data import folder_report, pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.ending import Signals
from dim_tf.errors import InputError, NotFinite, RunError
from dim_tf.experiment import Experiment
from dim_tf.export import backbone_file
from dim_tf.files import replace_text
from dim_tf.training import (
    checkpoint_files,
    encoder_record,
    images_seen,
    initial_weights,
    monitors,
    nan_restores,
    online_probe,
    start_weights,
    strategy,
)
from dim_tf.training.budget import last_step, trained_on
from dim_tf.training.checkpoint import Checkpoints
from dim_tf.training.model import check_same_experiment, make_model
from dim_tf.writing import reason, writing
from keras_models.encoders import BackboneEncoder
from keras_models.objective_model import ObjectiveModel

_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
_FOLDERS = ("checkpoints", "tensorboard")
_FILES = (
    "experiment.json",
    "metrics.jsonl",
    "evaluation.json",
    "report.html",
    folder_report.REPORT,
    folder_report.BAD_IMAGES,
    folder_report.TRAINED,
    images_seen.FILE,
    nan_restores.FILE,
    encoder_record.FILE,
    start_weights.FILE,
    start_weights.SOURCE_FILE,
)


class Stopped(Exception):
    """A signal ended training, after a checkpoint."""


def open_run_folder(experiment: Experiment, splits: Splits | None = None) -> Path:
    """Makes the run folder and writes what it begins with; without --resume, empties it before.

    Args:
        experiment: for experiment.json.
        splits: the data, of which it keeps the fingerprint, and the report if there is one; None:
            nothing is kept of them.

    Raises:
        InputError: it cannot be written, or should be emptied and is no run's.
    """
    folder = experiment.run_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not experiment.training.resume:
            _check_is_a_run(folder)
            for stage in _FOLDERS:
                if (folder / stage).exists():
                    shutil.rmtree(folder / stage)
            for file in _FILES:
                (folder / file).unlink(missing_ok=True)
        replace_text(folder / "experiment.json", experiment.to_json())
        if splits:
            images_seen.note(folder, splits)
            if splits.report:
                splits.report.write(folder)
                splits.report.note_training(folder)
    except OSError as error:
        raise InputError(
            f"the run folder {folder} cannot be written ({error.strerror}); give another --run_dir"
        ) from error
    return folder


def _check_is_a_run(folder):
    """A folder of somebody's own `checkpoints` is not emptied, whatever --run_dir says."""
    there = [name for name in _FOLDERS if (folder / name).exists()]
    if there and not (folder / "experiment.json").is_file():
        raise InputError(
            f"--noresume would remove {folder / there[0]}, but {folder} is no run folder: it has "
            "no experiment.json; give another --run_dir"
        )


def train(
    experiment: Experiment, splits: Splits, devices: tf.distribute.Strategy | None = None
) -> ObjectiveModel:
    """Trains to the experiment's end, from the newest checkpoint in the run folder.

    Args:
        experiment: the settings.
        splits: the data.
        devices: the strategy, where it had to be made before the data; None: makes it.

    Raises:
        InputError: settings that do not fit the data, the run folder or the devices.
        RunError: a loss or a weight is not finite, a checkpoint or a metric cannot be written, or
            another worker is gone.
        Stopped: by SIGTERM or SIGINT, after saving a checkpoint.
    """
    split = trained_on(experiment, splits)
    per_epoch = pipeline.steps_per_epoch(len(split), experiment.training.batch_size)
    if devices is None:
        devices = strategy.get(
            experiment.training.strategy,
            experiment.training.replicas,
            experiment.training.cluster,
            experiment.training.worker_timeout,
        )
    replicas = devices.num_replicas_in_sync
    chief = strategy.is_chief(devices)
    _check(experiment, replicas, per_epoch)
    if experiment.training.resume:
        check_same_experiment(experiment, splits)
    record = encoder_record.read(experiment.run_path) if experiment.training.resume else None
    with devices.scope():
        model = make_model(experiment, splits, replicas, record)
        begins_with = _init(model, experiment)
        if experiment.training.online_probe and experiment.model.HAS_ENCODER:
            model.probe = online_probe.of_encoder(model.encoder, splits, split, replicas > 1)
        folder = experiment.run_path
        if experiment.training.resume:
            learns_labels = model.probe is not None or model.needs_labels
            images_seen.check(folder, splits, model.needs_rows, learns_labels)
        if chief:  # only now: settings that do not fit leave no trace
            open_run_folder(experiment, splits)
            if experiment.model.HAS_ENCODER:
                with writing(
                    encoder_record.FILE, folder, "make room and give the same command again"
                ):
                    encoder_record.write(folder, experiment, model.encoder)
        with _tensorflow_may_fail(devices):
            strategy.mean_of_processes(devices, 0.0)  # the others look into it after the chief
            checkpoints = Checkpoints(
                model, folder / "checkpoints", experiment.training.keep_checkpoints, chief
            )
            step = _restore(checkpoints, devices, folder)
            if chief and not step and start_weights.begins_with_given_weights(experiment):
                start_weights.save(model.encoder, folder, begins_with)
            restores = nan_restores.NanRestores(
                folder, experiment.training.seed, _allowed_restores(experiment), chief
            )
    for name, why in experiment.model.without_effect.items():
        say(f"train: --{name} has no effect: {why}")
    last = last_step(experiment, splits)
    if begins_with:
        say(f"train: the encoder begins with the weights {begins_with}")
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, BackboneEncoder):
        say(f"train: {features_of(encoder)}")
    if experiment.encoder.frozen_steps >= last and experiment.encoder.frozen_steps:
        say(f"train: the backbone stands still for all {last} steps (--frozen_steps)")
    begin = f"from step {step} " if step else ""
    say(f"train: {begin}to step {last}, {per_epoch} steps an epoch")
    with Signals() as signals:
        if experiment.training.on_nan == "restore" and checkpoints.latest is None:
            checkpoints.save(0)  # so that there is one to go back to
        while True:
            restores.cut_back(step)
            try:
                run = _Run(model, experiment, split, checkpoints, restores.data_seed, signals)
                _train_on(run, step, last, per_epoch)
                return model
            except NotFinite as error:
                restores.allow(error, checkpoints.latest)
                with devices.scope(), _tensorflow_may_fail(devices):
                    step = _restore(checkpoints, devices, folder)
                restores.went_back(error, step)


def features_of(encoder: BackboneEncoder) -> str:
    """Which layers of a Keras model are its features, what it takes, and what is not used of it."""
    maps = ", ".join(
        f"{endpoint} {layer} {'x'.join(map(str, grid))}"
        for endpoint, (layer, grid) in encoder.layers_of_maps.items()
    )
    scaling = backbone_file.scaling_flag(encoder.input_scaling)
    cut_off, all_of_it = encoder.cut_off_weights, encoder.backbone.count_params()
    warning = (
        f"; {cut_off:,} of its {all_of_it:,} weights come after conv and are neither used nor "
        "trained: give a larger --image_size or another --conv_layer"
    ) * bool(cut_off)
    if encoder.still_weights:
        warning += (
            f"; {encoder.still_weights:,} weights are of layers that came with trainable=False and "
            "are not trained"
        )
    return f"{encoder.backbone.name}: {maps}, --input_scaling={scaling}{warning}"


def _init(model, experiment) -> initial_weights.Source | None:
    """Gives the encoder of a run that begins the weights of --init_from; says whose."""
    goes_on = experiment.training.resume and checkpoint_files.steps(
        experiment.run_path / "checkpoints"
    )
    if not experiment.encoder.init_from or goes_on:
        return None
    return initial_weights.assign(model.encoder, experiment)


def _allowed_restores(experiment):
    return experiment.training.nan_restores if experiment.training.on_nan == "restore" else 0


def _restore(checkpoints, devices, folder) -> int:
    """The step that all workers go on from."""
    step = checkpoints.restore()
    if strategy.mean_of_processes(devices, step) != step:
        raise RunError(
            f"the workers do not find the same checkpoint in {folder}; --run_dir must be a "
            "folder that all of them share"
        )
    return step


class _Run(NamedTuple):
    """What trains on what."""

    model: ObjectiveModel
    experiment: Experiment
    split: Split
    checkpoints: Checkpoints
    data_seed: int
    signals: Signals


def _train_on(run: _Run, step: int, last: int, per_epoch: int) -> None:
    """Trains from `step` to `last`, and saves.

    Raises:
        NotFinite: a loss or a weight is not finite.
        Stopped: by a signal.
    """
    experiment, devices = run.experiment, run.model.distribute_strategy
    chief = strategy.is_chief(devices)
    folder = experiment.run_path
    if chief:
        with writing("metrics.jsonl", folder, "make room and give the same command again"):
            metrics_file.cut_back(folder / "metrics.jsonl", step)
    progress = monitors.Progress(step, per_epoch)
    recorder = monitors.Recorder(
        progress,
        folder if chief else None,
        experiment.training.batch_size,
        experiment.training.log_every,
        experiment.training.steps_per_execution,
    )
    every = experiment.training.checkpoint_every
    saver = monitors.Saver(progress, run.checkpoints, every, run.signals)
    try:
        for segment in segments(step, last, per_epoch):
            with _tensorflow_may_fail(devices):
                _fit(run, segment, progress.step, [recorder, saver])
            if run.signals.received:
                break
        saver.save()
    finally:
        recorder.close()
    if run.signals.received:
        saved = f"which is saved in {folder}" if chief else "the chief saves"
        raise Stopped(f"stopped at step {progress.step}, {saved}")


def _check(experiment, replicas, per_epoch):
    """Raises InputError where the settings do not fit the devices or the data."""
    parts = replicas * experiment.training.micro_batches
    kinds = f"{replicas} replicas" + f" x {experiment.training.micro_batches} micro-batches" * (
        experiment.training.micro_batches > 1
    )
    if experiment.training.batch_size % parts or experiment.training.batch_size < 2 * parts:
        raise InputError(
            f"--batch_size={experiment.training.batch_size} must give each of {kinds} the same "
            "number of images, at least 2"
        )
    images = experiment.training.batch_size // parts
    experiment.model.check_batch(images - (replicas == 1))
    if per_epoch % experiment.training.steps_per_execution:
        divisors = [str(n) for n in range(1, 101) if per_epoch % n == 0]
        raise InputError(
            f"--steps_per_execution={experiment.training.steps_per_execution} does not divide the "
            f"{per_epoch} steps of an epoch; give one of {', '.join(divisors)}"
        )


@contextlib.contextmanager
def _tensorflow_may_fail(devices):
    """Raises RunError where TensorFlow fails, and says so if another worker is the reason."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # told of by who knows what to lower
        raise
    except tf.errors.OpError as error:
        aborted = [line for line in error.message.splitlines() if "is aborted by" in line]
        told = next(iter(aborted), reason(error))
        gone = isinstance(error, _GONE) or aborted
        if strategy.is_multi_worker(devices) and gone:
            raise RunError(
                "another worker is gone or cannot be reached, so this one ends; start all of them "
                f"again, they go on from the last checkpoint. TensorFlow says: {told}"
            ) from error
        raise RunError(f"a step failed ({type(error).__name__}): {told}") from error


class Segment(NamedTuple):
    """One call of `fit`: `epochs` runs of `steps` steps each, from epoch `first_epoch` on."""

    first_epoch: int
    epochs: int
    steps: int


def segments(step: int, last: int, per_epoch: int) -> list[Segment]:
    """From `step` to `last`: the rest of a begun epoch, whole epochs, a last part of one."""
    found = []
    rest = min(-step % per_epoch, last - step)
    if rest > 0:
        found.append(Segment(step // per_epoch, 1, rest))
        step += rest
    whole = (last - step) // per_epoch
    if whole > 0:
        found.append(Segment(step // per_epoch, whole, per_epoch))
        step += whole * per_epoch
    if step < last:
        found.append(Segment(step // per_epoch, 1, last - step))
    return found


def _fit(run, segment, step, callbacks):
    model, experiment = run.model, run.experiment
    batches = pipeline.training_batches(
        run.split,
        experiment.training.batch_size,
        model.image_shape[-1],
        run.data_seed,
        step,
        experiment.data.augmentation,
        labelled=model.probe is not None or model.needs_labels,
        numbered=model.needs_rows,
    )
    model.fit(
        batches,
        shuffle=False,
        initial_epoch=segment.first_epoch,
        epochs=segment.first_epoch + segment.epochs,
        steps_per_epoch=segment.steps,
        callbacks=callbacks,
        verbose=_verbosity(model),
    )


def _verbosity(model):
    """Of Keras: a progress bar on a terminal, a line an epoch elsewhere, of one worker alone."""
    if not strategy.is_chief(model.distribute_strategy):
        return 0
    return 1 if sys.stdout.isatty() else 2

"""Training: from an experiment and its data to the last checkpoint."""

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import keras

from dim_tf.data import pipeline
from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from dim_tf.files import replace_text
from dim_tf.training import monitors, strategy
from dim_tf.training.checkpoint import Checkpoints, restore_weights
from keras_models import DeepInfoMax, encoders, terms

_FOLDERS = ("checkpoints", "tensorboard")
_FILES = ("experiment.json", "metrics.jsonl", "evaluation.json", "report.html")


class Stopped(Exception):
    """A signal ended training, after a checkpoint."""


def make_encoder(experiment: Experiment, image_size: int, replicas: int = 1) -> encoders.ConvNet:
    """The experiment's encoder, its weights drawn from its seed.

    Raises:
        InputError: the images do not fit the encoder, or no encoder fits them.
    """
    try:
        name = experiment.encoder or encoders.for_image_size(image_size)
    except ValueError as error:
        raise InputError(f"{error}; give another --image_size") from error
    takes = encoders.PRESETS[name].image_size
    if takes != image_size:
        raise InputError(
            f"--encoder={name} takes images of {takes}x{takes} pixels, the images have "
            f"{image_size}x{image_size}; give --image_size={takes} or leave --encoder out"
        )
    keras.utils.set_random_seed(experiment.seed)
    return encoders.get(
        name,
        latent_dim=experiment.latent_dim,
        synchronized=experiment.sync_batch_norm and replicas > 1,
    )


def make_model(experiment: Experiment, image_size: int, replicas: int = 1) -> DeepInfoMax:
    """The experiment's model, built and compiled; call it in the strategy's scope.

    Raises:
        InputError: as `make_encoder`.
    """
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[experiment.precision]
    keras.mixed_precision.set_global_policy(policy)
    encoder = make_encoder(experiment, image_size, replicas)
    objective = [
        terms.local_mutual_information(
            experiment.local_critic,
            experiment.mi_units,
            experiment.estimator,
            experiment.beta,
            encoder.synchronized,
        )
    ]
    if experiment.gamma:
        objective.append(
            terms.prior_matching(
                experiment.prior, experiment.latent_dim, experiment.prior_penalty, experiment.gamma
            )
        )
    model = DeepInfoMax(encoder, objective, seed=experiment.seed, name="deep_infomax")
    model.compile(
        experiment.learning_rate,
        jit_compile=strategy.jit_compile(experiment.jit_compile, experiment.replicas),
    )
    model.build()
    return model


def check_same_experiment(experiment: Experiment) -> None:
    """Compares with the experiment that the run folder holds, if it holds one; writes nothing.

    Raises:
        InputError: it is another one, or its file cannot be read.
    """
    saved = experiment.run_path / "experiment.json"
    if not saved.exists():
        return
    try:
        before = Experiment.from_json(saved.read_text(encoding="utf-8"))
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{saved} cannot be read ({error}); give another --run_dir, or --noresume to start anew"
        ) from error
    differences = experiment.differences(before)
    if differences:
        raise InputError(
            f"{experiment.run_path} holds another experiment ({'; '.join(differences)}); give "
            "another --run_dir or --name, or --noresume to start anew there"
        )


def open_run_folder(experiment: Experiment) -> Path:
    """Makes the run folder and writes experiment.json; without --resume, empties it before.

    Raises:
        InputError: it cannot be written.
    """
    folder = experiment.run_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not experiment.resume:
            for stage in _FOLDERS:
                if (folder / stage).exists():
                    shutil.rmtree(folder / stage)
            for file in _FILES:
                (folder / file).unlink(missing_ok=True)
        replace_text(folder / "experiment.json", experiment.to_json())
    except OSError as error:
        raise InputError(
            f"the run folder {folder} cannot be written ({error.strerror}); give another --run_dir"
        ) from error
    return folder


def train(experiment: Experiment, splits: Splits) -> DeepInfoMax:
    """Trains to the experiment's end, from the newest checkpoint in the run folder.

    Raises:
        InputError: settings that do not fit the data, the run folder or the devices.
        RunError: a loss or a weight is not finite.
        Stopped: by SIGTERM or SIGINT, after saving a checkpoint.
    """
    per_epoch = pipeline.steps_per_epoch(len(splits.train), experiment.batch_size)
    devices = strategy.get(experiment.strategy, experiment.replicas)
    replicas = devices.num_replicas_in_sync
    if experiment.batch_size % replicas or experiment.batch_size < 2 * replicas:
        raise InputError(
            f"--batch_size={experiment.batch_size} must give each of {replicas} replicas the same "
            "number of images, at least 2"
        )
    if experiment.resume:
        check_same_experiment(experiment)
    with devices.scope():
        model = make_model(experiment, splits.image_shape[0], replicas)
        folder = open_run_folder(experiment)  # only now: settings that do not fit leave no trace
        checkpoints = Checkpoints(model, folder / "checkpoints", experiment.keep_checkpoints)
        step = checkpoints.restore()
    monitors.cut_back(folder / "metrics.jsonl", step)

    last = experiment.epochs * per_epoch
    if experiment.steps:
        last = min(last, experiment.steps)
    begin = f"from step {step} " if step else ""
    print(f"train: {begin}to step {last}, {per_epoch} steps an epoch", flush=True)
    progress = monitors.Progress(step, per_epoch)
    recorder = monitors.Recorder(
        progress, folder, experiment.batch_size, experiment.log_every, checkpoints
    )
    with monitors.Signals() as signals:
        saver = monitors.Saver(progress, checkpoints, experiment.checkpoint_every, signals)
        try:
            for segment in segments(step, last, per_epoch):
                _fit(model, experiment, splits, segment, progress.step, [recorder, saver])
                if signals.received:
                    saver.save()
                    raise Stopped(f"stopped at step {progress.step}, which is saved in {folder}")
            saver.save()
        finally:
            recorder.close()
    return model


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


def _fit(model, experiment, splits, segment, step, callbacks):
    batches = pipeline.training_batches(
        splits.train,
        experiment.batch_size,
        model.encoder.image_shape[-1],
        experiment.seed,
        step,
        experiment.augment,
    )
    model.fit(
        batches,
        shuffle=False,
        initial_epoch=segment.first_epoch,
        epochs=segment.first_epoch + segment.epochs,
        steps_per_epoch=segment.steps,
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
    )


def load_trained(experiment: Experiment, image_size: int) -> tuple[encoders.ConvNet, int]:
    """The encoder of the newest checkpoint in the run folder, in float32, and its step.

    Raises:
        InputError: there is no checkpoint, or it is another experiment's.
        RunError: it cannot be restored.
    """
    folder = experiment.run_path
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    check_same_experiment(experiment)
    # Weights are float32 in every precision; measured and exported encoders compute in it too.
    model = make_model(dataclasses.replace(experiment, precision="float32"), image_size)
    step = restore_weights(model, folder / "checkpoints")
    if step is None:
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    return model.encoder, step

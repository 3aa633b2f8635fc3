"""Training: from an experiment and its data to the last checkpoint."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import tensorflow as tf

from dim_tf import recipes
from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.export import backbone_file
from dim_tf.system.console import keras_verbosity, say
from dim_tf.system.errors import InputError, NonFiniteError, RunError
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.signals import Stopped, StopSignal
from dim_tf.training import (
    checkpoint_files,
    data_fingerprint,
    encoder_config,
    init_from,
    metrics_file,
    online_probe,
    run_folder,
    start_weights,
    strategy,
    trackers,
)
from dim_tf.training.callbacks import CheckpointCallback, MetricsLogger, StepCounter
from dim_tf.training.checkpoints import Checkpoints
from dim_tf.training.model import check_same_experiment, make_model
from dim_tf.training.nan_restores import NanRestores
from dim_tf.training.schedule import last_step, training_split
from dim_tf.training.user_callbacks import UserCallbacks
from keras_models.encoders import BackboneEncoder
from keras_models.objective_model import ObjectiveModel

_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
_ADVICE = "make room and give the same command again"


def train(
    experiment: Experiment,
    splits: Splits,
    devices: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> ObjectiveModel:
    """Trains to the experiment's last step, from the newest checkpoint in the run folder.

    Args:
        experiment: The settings, resolved (`plan.resolve`).
        splits: The data.
        devices: The strategy, if it had to be created before the data; None: it is created here.
        callbacks: Additional Keras callbacks. A callback that sets `model.stop_training` ends
            training after a checkpoint.

    Raises:
        InputError: Settings do not fit the data, the run folder or the devices.
        RunError: A loss or a weight is not finite, a checkpoint or a metric cannot be written, or
            another worker is gone.
        Stopped: SIGTERM or SIGINT arrived; a checkpoint was saved.
    """
    if devices is None:
        devices = strategy.get(
            experiment.training.strategy,
            experiment.training.replicas,
            experiment.training.cluster,
            experiment.training.worker_timeout,
        )
    run, step = _prepare(experiment, splits, devices)
    last = last_step(experiment, splits)
    _say_steps(run, step, last)
    epochs = experiment.training.epochs or math.ceil(last / run.steps_per_epoch)
    user_callbacks = UserCallbacks(callbacks, epochs, run.steps_per_epoch)
    verbosity = keras_verbosity() if strategy.is_chief(devices) else 0  # of one worker alone
    with StopSignal() as stop_signal:
        if experiment.training.on_nan == "restore" and run.checkpoints.latest is None:
            run.checkpoints.save(0)  # to go back to
        while True:
            try:
                with _recorded(run, step, stop_signal, user_callbacks) as (counter, recorders):
                    for segment in segments(step, last, run.steps_per_epoch):
                        run.model.fit(
                            _batches(run, counter.step),
                            shuffle=False,
                            initial_epoch=segment.first_epoch,
                            epochs=segment.first_epoch + segment.epochs,
                            steps_per_epoch=segment.steps,
                            callbacks=recorders,
                            verbose=verbosity,
                        )
                        if run.model.stop_training or stop_signal.received:
                            break
                return run.model
            except NonFiniteError as error:
                run.nan_restores.check_limit(error, run.checkpoints.latest)
                with devices.scope(), _translate_tensorflow_errors(devices):
                    step = _restore(run.checkpoints, experiment, devices)
                run.nan_restores.record(error, step)


@dataclass(frozen=True)
class _Run:
    """A model with the data and files of its training.

    Attributes:
        experiment: The settings.
        model: The model to train, with the weights of the step from which training continues.
        split: The training images.
        steps_per_epoch: Steps per epoch of the split.
        checkpoints: Checkpoints in the run folder.
        nan_restores: Restores recorded in the run folder.
    """

    experiment: Experiment
    model: ObjectiveModel
    split: Split
    steps_per_epoch: int
    checkpoints: Checkpoints
    nan_restores: NanRestores


def _prepare(
    experiment: Experiment, splits: Splits, devices: tf.distribute.Strategy
) -> tuple[_Run, int]:
    """Creates the model, opens the run folder and restores the step to continue from."""
    split = training_split(experiment, splits)
    steps_per_epoch = pipeline.steps_per_epoch(len(split), experiment.training.batch_size)
    replicas = devices.num_replicas_in_sync
    is_chief = strategy.is_chief(devices)
    folder = experiment.run_path
    _check_batch(experiment, replicas, steps_per_epoch)
    config = None
    if experiment.training.resume:
        check_same_experiment(experiment, splits)
        config = encoder_config.read(folder)
    with devices.scope():
        model = make_model(experiment, splits, replicas, config)
        source = _load_init_from(model, experiment)
        if experiment.training.online_probe and experiment.model.HAS_ENCODER:
            model.probe = online_probe.for_encoder(model.encoder, splits, split, replicas > 1)
        if experiment.training.resume:
            learns_labels = model.probe is not None or model.needs_labels
            data_fingerprint.check(folder, splits, model.needs_indices, learns_labels)
        if is_chief:  # only now: settings that do not fit leave no trace
            run_folder.prepare(experiment, splits)
            if experiment.model.HAS_ENCODER:
                with translate_write_errors(encoder_config.FILE, folder, _ADVICE):
                    encoder_config.write(folder, experiment, model.encoder)
        with _translate_tensorflow_errors(devices):
            strategy.mean_over_replicas(devices, 0.0)  # workers read the folder after the chief
            checkpoints = Checkpoints(
                model, folder / "checkpoints", experiment.training.keep_checkpoints, is_chief
            )
            step = _restore(checkpoints, experiment, devices)
            if is_chief and not step and start_weights.begins_pretrained(experiment):
                start_weights.save(model.encoder, folder, source)
        limit = experiment.training.nan_restores if experiment.training.on_nan == "restore" else 0
        nan_restores = NanRestores(folder, experiment.training.seed, limit, is_chief)
    _print_settings(experiment, model, source)
    return _Run(experiment, model, split, steps_per_epoch, checkpoints, nan_restores), step


def _load_init_from(model, experiment) -> init_from.WeightsSource | None:
    """Loads the weights of --init_from into the encoder of a new run."""
    resumes = experiment.training.resume and checkpoint_files.steps(
        experiment.run_path / "checkpoints"
    )
    if not experiment.encoder.init_from or resumes:
        return None
    return init_from.load_weights(model.encoder, experiment)


def _restore(checkpoints, experiment, devices) -> int:
    """Restores the newest checkpoint; returns its step, from which all workers continue."""
    step = checkpoints.restore()
    if strategy.mean_over_replicas(devices, step) != step:
        raise RunError(
            f"the workers do not find the same checkpoint in {experiment.run_path}; --run_dir must "
            "be a folder that all of them share"
        )
    return step


def _print_settings(experiment, model, source):
    if experiment.model.NAME in recipes.TWO_VIEWS.models:  # others have their own defaults alone
        say(f"train: {recipes.describe(experiment.recipe, experiment.to_dict())}")
    for name, why in experiment.model.without_effect.items():
        say(f"train: --{name} has no effect: {why}")
    if source:
        say(f"train: the encoder begins with the weights {source}")
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, BackboneEncoder):
        say(f"train: {describe_backbone(encoder)}")


def describe_backbone(encoder: BackboneEncoder) -> str:
    """Which layers of a Keras model are features, its input scaling, and what is not trained."""
    maps = ", ".join(
        f"{endpoint} {layer} {'x'.join(map(str, grid))}"
        for endpoint, (layer, grid) in encoder.endpoint_layers.items()
    )
    scaling = backbone_file.scaling_flag(encoder.input_scaling)
    unused, weights = encoder.unused_weights, encoder.backbone.count_params()
    warning = (
        f"; {unused:,} of its {weights:,} weights come after conv and are neither used nor "
        "trained: give a larger --image_size or another --conv_layer"
    ) * bool(unused)
    if encoder.frozen_weights:
        warning += (
            f"; {encoder.frozen_weights:,} weights are of layers that came with trainable=False "
            "and are not trained"
        )
    return f"{encoder.backbone.name}: {maps}, --input_scaling={scaling}{warning}"


def _say_steps(run: _Run, step: int, last: int) -> None:
    frozen_steps = run.experiment.encoder.frozen_steps
    if frozen_steps >= last and frozen_steps:
        say(f"train: the backbone stays frozen for all {last} steps (--frozen_steps)")
    if left_out := run.experiment.model.left_out(last):
        say(f"train: {left_out}")
    begin = f"from step {step} " if step else ""
    steps = run.steps_per_epoch
    say(f"train: {begin}to step {last}, {steps} step{'s' * (steps != 1)} an epoch")


@contextlib.contextmanager
def _recorded(
    run: _Run, step: int, stop_signal: StopSignal, user_callbacks: UserCallbacks
) -> Iterator[tuple[StepCounter, list[keras.callbacks.Callback]]]:
    """Yields the step and the callbacks of training from `step` on; saves at the end.

    Raises:
        NonFiniteError: A loss or a weight is not finite.
        Stopped: A signal arrived.
    """
    experiment, model = run.experiment, run.model
    devices = model.distribute_strategy
    is_chief = strategy.is_chief(devices)
    folder = experiment.run_path
    run.nan_restores.forget_after(step)
    if is_chief:
        with translate_write_errors("metrics.jsonl", folder, _ADVICE):
            metrics_file.truncate_after(folder / "metrics.jsonl", step)
    counter = StepCounter(step, run.steps_per_epoch)
    logger = MetricsLogger(
        counter,
        folder if is_chief else None,
        experiment.training.batch_size,
        experiment.training.log_every,
        experiment.training.steps_per_execution,
    )
    saver = CheckpointCallback(
        counter, run.checkpoints, experiment.training.checkpoint_every, stop_signal
    )
    model.stop_training = False
    with contextlib.ExitStack() as stack:
        stack.callback(logger.close)
        tracking = stack.enter_context(trackers.opened(experiment, counter)) if is_chief else []
        with _translate_tensorflow_errors(devices):
            yield counter, [logger, *tracking, saver, user_callbacks]
        # A callback may have set other weights at the end.
        saver.save(again=user_callbacks.end())
    if stop_signal.received:
        saved = f"which is saved in {folder}" if is_chief else "the chief saves"
        raise Stopped(f"stopped at step {counter.step}, {saved}")
    if model.stop_training:
        say(f"train: a callback ended training at step {counter.step}, which is saved")


def _batches(run: _Run, step: int) -> tf.data.Dataset:
    """The training batches from `step` on."""
    return pipeline.training_batches(
        run.split,
        run.experiment.training.batch_size,
        run.model.image_shape[-1],
        run.nan_restores.data_seed,
        step,
        run.experiment.pipeline_augmentation,
        with_labels=run.model.probe is not None or run.model.needs_labels,
        with_indices=run.model.needs_indices,
    )


class Segment(NamedTuple):
    """One call of `fit`: `epochs` times `steps` steps, from epoch `first_epoch` on."""

    first_epoch: int
    epochs: int
    steps: int


def segments(step: int, last: int, steps_per_epoch: int) -> list[Segment]:
    """From `step` to `last`: the rest of a started epoch, whole epochs, the start of another."""
    parts = []
    rest = min(-step % steps_per_epoch, last - step)
    if rest > 0:
        parts.append(Segment(step // steps_per_epoch, 1, rest))
        step += rest
    whole = (last - step) // steps_per_epoch
    if whole > 0:
        parts.append(Segment(step // steps_per_epoch, whole, steps_per_epoch))
        step += whole * steps_per_epoch
    if step < last:
        parts.append(Segment(step // steps_per_epoch, 1, last - step))
    return parts


def _check_batch(experiment, replicas, steps_per_epoch):
    """Raises InputError if the batch does not fit the devices or the data."""
    parts = replicas * experiment.training.micro_batches
    divisions = f"{replicas} replicas" + f" x {experiment.training.micro_batches} micro-batches" * (
        experiment.training.micro_batches > 1
    )
    if experiment.training.batch_size % parts or experiment.training.batch_size < 2 * parts:
        raise InputError(
            f"--batch_size={experiment.training.batch_size} must give each of {divisions} the same "
            "number of images, at least 2"
        )
    images = experiment.training.batch_size // parts
    experiment.model.check_batch(images - (replicas == 1))
    if steps_per_epoch % experiment.training.steps_per_execution:
        divisors = [str(n) for n in range(1, 101) if steps_per_epoch % n == 0]
        raise InputError(
            f"--steps_per_execution={experiment.training.steps_per_execution} does not divide the "
            f"{steps_per_epoch} steps of an epoch; give one of {', '.join(divisors)}"
        )


@contextlib.contextmanager
def _translate_tensorflow_errors(devices) -> Iterator[None]:
    """Raises RunError if TensorFlow fails, and says so if another worker is the reason."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # `dim_tf.run` names the flags to lower
        raise
    except tf.errors.OpError as error:
        aborted = [line for line in error.message.splitlines() if "is aborted by" in line]
        message = next(iter(aborted), reason(error))
        if strategy.is_multi_worker(devices) and (isinstance(error, _WORKER_ERRORS) or aborted):
            raise RunError(
                "another worker is gone or cannot be reached, so this one ends; start all of them "
                f"again, they continue from the last checkpoint. TensorFlow says: {message}"
            ) from error
        raise RunError(f"a step failed ({type(error).__name__}): {message}") from error

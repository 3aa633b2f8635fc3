"""Runs the stages that were asked for, in their order."""

import contextlib
from collections.abc import Iterator
from types import ModuleType

import tensorflow as tf

from dim_tf import data
from dim_tf.data import validation_split
from dim_tf.experiment import Experiment
from dim_tf.system.console import say
from dim_tf.system.errors import MeasureError, RunError
from dim_tf.system.io_errors import reason
from dim_tf.system.locks import locked_folder
from dim_tf.training import loop, strategy

_WRITING = {"train", "evaluate"}  # into the run folder


def run_stages(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Args:
        experiment: the settings.
        modes: the stages, in their order, which `preconditions.check` has let through.

    Raises:
        InputError: wrong settings, missing data, or another process uses the run folder.
        RunError: a stage failed.
    """
    with _memory_may_end():
        return _run_stages(experiment, modes)


def _run_stages(experiment, modes):
    if modes == ["embed"]:  # needs no data set
        _others().embed_collection(experiment)
        return False
    if "compare" in modes:
        _others().compare_runs(experiment)
        return False
    devices = None
    if experiment.training.strategy == "multi_worker":
        devices = strategy.get(
            experiment.training.strategy,
            0,
            experiment.training.cluster,
            experiment.training.worker_timeout,
        )
    if experiment.training.replicas:
        strategy.make_logical_cpus(experiment.training.replicas)  # before anything uses the CPU
    with contextlib.ExitStack() as held:
        if _WRITING & set(modes) and (devices is None or strategy.is_chief(devices)):
            held.enter_context(locked_folder(experiment.run_path, "--run_dir or --name"))
        return _run_on_data(experiment, modes, devices)


def _run_on_data(experiment, modes, devices):
    splits = data.load(experiment.data.dataset, experiment.data.request)
    splits = validation_split.hold_out(splits, experiment.data.validation_fraction)
    say(f"data: {splits.note}")
    if "train" in modes:
        try:
            loop.train(experiment, splits, devices)
        except loop.Stopped as stopped:
            say(stopped)
            return True
    failed = None
    if "evaluate" in modes:
        try:
            _evaluate(experiment, splits)
        except MeasureError as error:  # the encoder is as good as before
            failed = error
    if "export" in modes:
        _others().export(experiment, splits)
    if "embed" in modes:
        _others().embed_collection(experiment)
    if failed:
        raise failed
    return False


def _evaluate(experiment, splits):
    if experiment.evaluation.encoder_path:
        _others().evaluate_saved(experiment, splits)
    elif not experiment.model.HAS_ENCODER:
        _others().show_samples(experiment, splits)
    else:
        _others().evaluate(experiment, splits)


@contextlib.contextmanager
def _memory_may_end() -> Iterator[None]:
    """Raises RunError, of one line, where memory does not suffice."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise RunError(
            f"the memory does not suffice ({reason(error)}); in training give a smaller "
            "--batch_size or --critic_units, or more --micro_batches; in evaluation fewer "
            "--measures"
        ) from error


def _others() -> ModuleType:
    """The stages beside training; what they need takes seconds to import, so only in their turn."""
    from dim_tf import stages

    return stages

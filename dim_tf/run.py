"""Runs the stages that were asked for, in their order."""

import contextlib
from collections.abc import Iterator
from types import ModuleType

import tensorflow as tf

from dim_tf import data
from dim_tf.data import holdout
from dim_tf.errors import InputError, MeasureError, RunError
from dim_tf.experiment import Experiment
from dim_tf.run_lock import locked
from dim_tf.training import loop, strategy
from dim_tf.writing import reason

_WRITING = {"train", "evaluate"}  # into the run folder


def run_stages(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Raises:
        InputError: wrong settings, missing data, or another process uses the run folder.
        RunError: a stage failed.
    """
    with _memory_may_end():
        return _run_stages(experiment, modes)


def _run_stages(experiment, modes):
    if experiment.model == "generator" and "export" in modes:
        raise InputError("--model=generator has no encoder to export; give --mode=train,evaluate")
    if experiment.encoder_path and modes != ["evaluate"]:
        raise InputError("--encoder_path is for --mode=evaluate alone; give that --mode")
    if modes == ["embed"]:  # needs no data set
        _others().embed_collection(experiment)
        return False
    if "compare" in modes:
        if modes != ["compare"]:
            raise InputError("--mode=compare stands alone; run the other stages first")
        _others().compare_runs(experiment)
        return False
    devices = None
    if experiment.strategy == "multi_worker":
        if modes != ["train"]:
            raise InputError(
                "--strategy=multi_worker is for --mode=train alone; give that, and afterwards one "
                "process --mode=evaluate,export without --strategy"
            )
        devices = strategy.get(experiment.strategy, 0, experiment.cluster)
    if experiment.replicas:
        strategy.make_logical_cpus(experiment.replicas)  # before anything uses the CPU
    with contextlib.ExitStack() as held:
        if _WRITING & set(modes) and (devices is None or strategy.is_chief(devices)):
            held.enter_context(locked(experiment.run_path, "--run_dir or --name"))
        return _run_on_data(experiment, modes, devices)


def _run_on_data(experiment, modes, devices):
    splits = holdout.of(data.load(experiment.dataset, experiment.data_request), experiment.holdout)
    print(f"data: {splits.note}", flush=True)
    if "train" in modes:
        try:
            loop.train(experiment, splits, devices)
        except loop.Stopped as stopped:
            print(stopped)
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
    if experiment.encoder_path:
        _others().evaluate_saved(experiment, splits)
    elif experiment.model == "generator":
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
            "--batch_size or --mi_units, or more --micro_batches; in evaluation fewer --measures"
        ) from error


def _others() -> ModuleType:
    """The stages beside training; what they need takes seconds to import, so only in their turn."""
    from dim_tf import stages

    return stages

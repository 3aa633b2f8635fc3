"""Runs the stages that were asked for, in their order."""

from types import ModuleType

from dim_tf import data
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from dim_tf.training import loop, strategy


def run_stages(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Raises:
        InputError: wrong settings, or missing data.
        RunError: a stage failed.
    """
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
    splits = data.load(experiment.dataset, experiment.data_request)
    print(f"data: {splits.note}", flush=True)
    if "train" in modes:
        try:
            loop.train(experiment, splits, devices)
        except loop.Stopped as stopped:
            print(stopped)
            return True
    if "evaluate" in modes:
        if experiment.encoder_path:
            _others().evaluate_saved(experiment, splits)
        elif experiment.model == "generator":
            _others().show_samples(experiment, splits)
        else:
            _others().evaluate(experiment, splits)
    if "export" in modes:
        _others().export(experiment, splits)
    if "embed" in modes:
        _others().embed_collection(experiment)
    return False


def _others() -> ModuleType:
    """The stages beside training; what they need takes seconds to import, so only in their turn."""
    from dim_tf import stages

    return stages

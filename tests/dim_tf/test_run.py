"""The stages in their order, whatever one of them ends with."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from dim_tf import run
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, MeasureError, RunError
from dim_tf.system.locks import locked_folder


@pytest.fixture
def stages(monkeypatch):
    """Stages that do nothing, and a list of those that ran."""
    made = SimpleNamespace(ran=[])
    made.evaluate = lambda *_: made.ran.append("evaluate")
    made.export = lambda *_: made.ran.append("export")
    monkeypatch.setattr(run, "_others", lambda: made)
    monkeypatch.setattr(run.data, "load", lambda *_: SimpleNamespace(note="a note"))
    return made


def fail(error):
    def stage(*_):
        raise error

    return stage


def test_a_failed_measure_does_not_keep_the_export_away(stages, tmp_path):
    stages.evaluate = fail(MeasureError("knn: it diverged"))
    with pytest.raises(MeasureError, match="it diverged"):
        run.run_stages(Experiment.of(name="a", run_dir=str(tmp_path)), ["evaluate", "export"])
    assert stages.ran == ["export"]


def test_without_a_good_checkpoint_nothing_follows(stages, tmp_path):
    stages.evaluate = fail(RunError("no checkpoint is good"))
    with pytest.raises(RunError, match="no checkpoint"):
        run.run_stages(Experiment.of(name="a", run_dir=str(tmp_path)), ["evaluate", "export"])
    assert stages.ran == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        tf.errors.ResourceExhaustedError(None, None, "Unable to allocate 9 TiB"),
    ],
    ids=["Python", "TensorFlow"],
)
def test_too_little_memory_is_told_in_a_line(stages, tmp_path, error):
    stages.evaluate = fail(error)
    expected = r"^the memory does not suffice \(.*Unable to allocate 9 TiB.*--critic_units"
    with pytest.raises(RunError, match=expected):
        run.run_stages(Experiment.of(name="a", run_dir=str(tmp_path)), ["evaluate"])


def test_a_run_folder_takes_one_run_that_writes_to_it(stages, tmp_path):
    experiment = Experiment.of(name="a", run_dir=str(tmp_path))
    with locked_folder(tmp_path, "--run_dir"):
        with pytest.raises(InputError, match="is in use by another run"):
            run.run_stages(experiment, ["evaluate"])
        run.run_stages(experiment, ["export"])
    assert stages.ran == ["export"]
    run.run_stages(experiment, ["evaluate"])
    assert stages.ran == ["export", "evaluate"]

"""--track: what is written where, whether or not training resumes or the service fails."""

import json
import sys
import time
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from dim_tf import preconditions
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.training import trackers
from dim_tf.training.callbacks import StepCounter


def experiment(folder, track, **settings):
    return Experiment.of(name="a", run_dir=str(folder), track=track, **settings)


def track(folder, names, steps, **settings):
    """Writes a loss of step / 10 at each of the steps; begins at the step before them."""
    counter = StepCounter(steps[0] - 1, 10)
    with trackers.opened(experiment(folder, names, **settings), counter) as opened:
        for counter.step in steps:
            for tracker in opened:
                tracker.on_train_batch_end(0, {"loss": counter.step / 10})


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path):
    track(tmp_path, "tensorboard", range(1, 5))
    time.sleep(1.1)  # the files are ordered by their second
    track(tmp_path, "tensorboard", range(3, 6))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [(e.step, tf.make_ndarray(e.tensor_proto).item()) for e in events.Tensors("loss")]
    assert losses == [(n, pytest.approx(n / 10)) for n in range(1, 6)]


def test_none_writes_nothing(tmp_path):
    track(tmp_path, "none", [1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("comet", "--track has no 'comet'; expected none, or a list of tensorboard, wandb, mlflow"),
        ("tensorboard,tensorboard", "names a tracker twice"),
        ("", "--track has no ''"),
    ],
)
def test_unknown_names_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        Experiment.of(name="a", track=names)


def test_a_missing_package_is_an_input_error_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--track=wandb needs .*pip install 'dim_tf\[wandb\]'"):
        preconditions.check(experiment(tmp_path, "wandb"), ["train"])
    preconditions.check(experiment(tmp_path, "none"), ["train"])


class FakeWandb:
    """wandb's functions that are used; records what it is given."""

    Settings = SimpleNamespace

    def __init__(self):
        self.began, self.logged, self.ended = [], [], []

    def init(self, **settings):
        self.began.append(settings)
        return SimpleNamespace(
            log=lambda metrics, step: self.logged.append((step, metrics["loss"])),
            finish=lambda exit_code: self.ended.append(exit_code),
        )


@pytest.fixture
def wandb_calls(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_a_resumed_run_is_the_same_run_in_the_service(tmp_path, wandb_calls):
    track(tmp_path, "wandb", [1, 2, 3, 4], log_every=2)
    track(tmp_path, "wandb", [5, 6])
    first, second = wandb_calls.began
    assert (
        first["id"] == second["id"] == json.loads((tmp_path / trackers.FILE).read_text())["wandb"]
    )
    assert (first["project"], first["config"]["batch_size"]) == ("dim_tf", 64)
    assert [step for step, _ in wandb_calls.logged] == [2, 4, 5, 6]
    assert wandb_calls.ended == [0, 0]


def test_the_service_learns_that_a_run_failed(tmp_path, wandb_calls):
    with (
        pytest.raises(RunError, match="diverged"),
        trackers.opened(experiment(tmp_path, "wandb"), StepCounter(0, 10)),
    ):
        raise RunError("it diverged")
    assert wandb_calls.ended == [1]


def test_a_service_that_cannot_be_used_is_an_error_of_one_line(tmp_path, wandb_calls):
    def init(**_):
        raise OSError("no api key")

    wandb_calls.init = init
    with pytest.raises(RunError, match=r"wandb cannot be used \(.*no api key.*WANDB_MODE=offline"):
        track(tmp_path, "wandb", [1])
    assert not (tmp_path / trackers.FILE).exists()


def test_a_service_that_fails_later_is_left_out(tmp_path, monkeypatch, capsys, wandb_calls):
    with trackers.opened(experiment(tmp_path, "wandb"), StepCounter(0, 10)) as (tracker,):
        monkeypatch.setattr(tracker, "_run", SimpleNamespace())  # which has no log
        for step in (1, 2):
            tracker.write(step, {"loss": 1.0})
    assert capsys.readouterr().out.count("train: wandb is left out from here on") == 1
    assert wandb_calls.ended == []


def test_wandb_writes_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", exc_type=ImportError)
    monkeypatch.setenv("WANDB_MODE", "offline")
    track(tmp_path, "wandb", [1, 2])
    track(tmp_path, "wandb", [3])
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    run_id = json.loads((tmp_path / trackers.FILE).read_text())["wandb"]
    assert len(files) == 2  # `wandb sync` makes one run of them
    assert all(run_id in file.name and file.stat().st_size for file in files)


def test_mlflow_writes_to_the_run_folder(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()
    track(tmp_path, "mlflow", [1, 2])
    track(tmp_path, "mlflow", [3])
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / trackers.MLFLOW_FILE}")
    run_id = json.loads((tmp_path / trackers.FILE).read_text())["mlflow"]
    history = client.get_metric_history(run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("a", "FINISHED")
    assert run.data.params["batch_size"] == "64"

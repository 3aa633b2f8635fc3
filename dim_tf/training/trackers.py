"""--track: TensorBoard, Weights & Biases and MLflow, as Keras callbacks.

Keras' TensorBoard callback and wandb's and MLflow's own ones do not cut their records back to the
step from which training resumes, nor number the steps of a run consecutively. metrics.jsonl is
written whatever they do.
"""

import abc
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dim_tf.experiment import Experiment
from dim_tf.registry import TRACKERS
from dim_tf.system import console
from dim_tf.system.console import say
from dim_tf.system.errors import RunError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import read_json
from dim_tf.training.callbacks import StepCounter

FILE = "trackers.json"  # in a run folder: the ids of its runs in the services
MLFLOW_FILE = "mlflow.db"  # in a run folder, too
PROJECT = "dim_tf"
_METRICS_A_REQUEST = 500  # MLflow takes 1,000
_SECONDS_A_REQUEST = 5.0


class Tracker(keras.callbacks.Callback):
    """Writes the metrics of each logged step to a service.

    Args:
        experiment: The settings.
        counter: Counter of the run's steps.
    """

    def __init__(self, experiment: Experiment, counter: StepCounter):
        super().__init__()
        self._log_every = experiment.training.log_every
        self._counter = counter

    def on_train_batch_end(self, batch, logs=None):
        if self._counter.step % self._log_every == 0:
            self.write(self._counter.step, logs)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the metrics of a step."""

    def close(self, failed: bool = False) -> None:
        """Writes what is left, and closes the files or the connection.

        Args:
            failed: Whether training ends with an error.
        """


class TensorBoard(Tracker):
    """Writes TensorBoard's events to the run folder.

    Raises:
        RunError: They cannot be written.
    """

    def __init__(self, experiment: Experiment, counter: StepCounter):
        super().__init__(experiment, counter)
        self._folder = experiment.run_path
        self._step = counter.step
        with self._translate_write_errors(self._step):
            _purge_later_steps(self._folder / "tensorboard", self._step)
            # TensorFlow also opens a link of that name, so nobody may know the name before.
            self._writer = tf.summary.create_file_writer(
                str(self._folder / "tensorboard"), filename_suffix=f".{uuid.uuid4().hex}.v2"
            )

    def write(self, step, metrics):
        with self._translate_write_errors(step), self._writer.as_default(step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
        self._step = step

    def close(self, failed=False):
        with self._translate_write_errors(self._step):
            self._writer.close()

    def _translate_write_errors(self, step):
        return translate_write_errors(
            f"TensorBoard's events of step {step}",
            self._folder,
            "the checkpoints are intact; make room and give the same command again, which goes on "
            "from the last",
        )


def _purge_later_steps(folder: Path, step: int) -> None:
    """Makes TensorBoard drop the steps after `step`, from the second start of a run on."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    started = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    # TensorBoard reads files in the order of their names: this one before those of later events.
    name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}-start"
    name += f".{uuid.uuid4().hex}"  # TensorFlow would write through a link of a known name
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        for event in (
            tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2"),
            tf.compat.v1.Event(wall_time=now, step=step + 1, session_log=started),
        ):
            file.write(event.SerializeToString())


class _Service(Tracker, abc.ABC):
    """A tracker outside the run folder, whose errors during training do not end it.

    Attributes:
        NAME: Name of the service.
        REMEDY: What to do if it cannot be used.
    """

    NAME = ""
    REMEDY = ""

    def __init__(self, experiment: Experiment, counter: StepCounter):
        super().__init__(experiment, counter)
        self._is_open = False
        package = importlib.import_module(self.NAME)
        ids = _read_ids(experiment.run_path)
        try:
            run_id = self.open(package, experiment, ids.get(self.NAME))
        except Exception as error:  # of the service or of the connection, of any type
            raise RunError(
                f"{self.NAME} cannot be used ({reason(error)}); {self.REMEDY}"
            ) from error
        self._is_open = True
        if ids.get(self.NAME) != run_id:
            with translate_write_errors(FILE, experiment.run_path, "make room and call again"):
                text = json.dumps({**ids, self.NAME: run_id}, indent=2) + "\n"
                atomic_write_text(experiment.run_path / FILE, text)

    @abc.abstractmethod
    def open(self, package: Any, experiment: Experiment, run_id: str | None) -> str:
        """Starts or continues the run in the service; returns its id there.

        Args:
            package: Package of the service.
            experiment: The settings.
            run_id: Id of the run that is continued; None: it is new.
        """

    @abc.abstractmethod
    def send(self, step: int, metrics: dict[str, float]) -> None:
        """Sends the metrics of a step, at once or later."""

    @abc.abstractmethod
    def finish(self, failed: bool) -> None:
        """Sends what is left, and ends the run in the service."""

    def write(self, step, metrics):
        self._call(self.send, step, metrics)

    def close(self, failed=False):
        self._call(self.finish, failed)
        self._is_open = False

    def _call(self, method, *arguments):
        """Calls a method unless the service has failed before."""
        try:
            if self._is_open:
                method(*arguments)
        except Exception as error:  # as above
            self._is_open = False
            say(f"train: {self.NAME} is left out from here on ({reason(error)})")


class WeightsAndBiases(_Service):
    """Sends the metrics to Weights & Biases: https://docs.wandb.ai/ref/python/init.

    WANDB_MODE=offline and wandb's other variables are obeyed. The project is dim_tf unless
    WANDB_PROJECT names another one.
    """

    NAME = "wandb"
    REMEDY = "log in by `wandb login`, or set WANDB_MODE=offline"

    def open(self, package, experiment, run_id):
        run_id = run_id or uuid.uuid4().hex
        self._run = package.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=experiment.name,
            id=run_id,
            resume="allow",
            dir=str(experiment.run_path),
            config=experiment.to_dict(),
            reinit="create_new",  # a run that the user has started stays
            settings=package.Settings(
                console="off", silent=not console.keras_verbosity(), x_disable_stats=True
            ),
        )
        return run_id

    def send(self, step, metrics):
        self._run.log(metrics, step=step)

    def finish(self, failed):
        self._run.finish(exit_code=int(failed))


class MLflow(_Service):
    """Sends the metrics to MLflow: https://mlflow.org/docs/latest/ml/tracking.

    They go to the server in MLFLOW_TRACKING_URI, or without it to a database in the run folder,
    which `mlflow ui --backend-store-uri sqlite:///runs/NAME/mlflow.db` shows.
    """

    NAME = "mlflow"
    REMEDY = "check MLFLOW_TRACKING_URI, or unset it to write to the run folder"

    def open(self, package, experiment, run_id):
        folder = experiment.run_path.absolute()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / MLFLOW_FILE}"
        self._entities = package.entities
        self._client = package.MlflowClient(tracking_uri=uri)  # not MLflow's active run
        self._metrics: list[Any] = []
        self._sent = time.monotonic()
        if run_id is None:
            known = self._client.get_experiment_by_name(PROJECT)
            project = known.experiment_id if known else self._client.create_experiment(PROJECT)
            run_id = self._client.create_run(project, run_name=experiment.name).info.run_id
            for name, value in experiment.to_dict().items():
                self._client.log_param(run_id, name, value)
        else:
            self._client.update_run(run_id, status="RUNNING")
        self._run_id = run_id
        return run_id

    def send(self, step, metrics):
        now = int(1000 * time.time())
        self._metrics += [
            self._entities.Metric(name, value, now, step) for name, value in metrics.items()
        ]
        is_due = time.monotonic() - self._sent > _SECONDS_A_REQUEST
        if is_due or len(self._metrics) > _METRICS_A_REQUEST:
            self._send_all()

    def _send_all(self):
        self._client.log_batch(self._run_id, metrics=self._metrics)
        self._metrics, self._sent = [], time.monotonic()

    def finish(self, failed):
        self._send_all()
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")


def _close(tracker: Tracker, error_type: type | None, *_: object) -> None:
    tracker.close(failed=error_type is not None)


def _read_ids(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    return read_json(path, "remove it: then new runs are started there") if path.exists() else {}


@contextlib.contextmanager
def opened(experiment: Experiment, counter: StepCounter) -> Iterator[list[Tracker]]:
    """The trackers of --track, closed at the end.

    Args:
        experiment: The settings.
        counter: Counter of the run's steps.

    Raises:
        RunError: One cannot be used.
    """
    with contextlib.ExitStack() as stack:
        trackers = []
        for name in experiment.training.tracker_names:
            tracker = pkgutil.resolve_name(TRACKERS[name])(experiment, counter)
            stack.push(functools.partial(_close, tracker))
            trackers.append(tracker)
        yield trackers

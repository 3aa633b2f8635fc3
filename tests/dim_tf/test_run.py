"""The stages of a run: their order, errors, lock, and what they leave of the process' state."""

import json
import logging
import random
import signal
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.main import run_later_stages
from dim_tf.run import Report, Run
from dim_tf.stages import evaluate as evaluate_stage
from dim_tf.stages import export as export_stage
from dim_tf.stages import search as search_stage
from dim_tf.system import process_state, signals
from dim_tf.system.errors import InputError, MeasureError, RunError
from dim_tf.system.locks import locked_folder
from dim_tf.training import loop, user_callbacks

SMALL = {"batch_size": 4, "critic_units": 8, "latent_dim": 4, "augmentation": "none"}


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """The stages that ran, which do nothing; the run folder has a checkpoint."""
    ran = []

    def evaluate(experiment, _):
        ran.append("evaluate")
        (experiment.run_path / "evaluation.json").write_text('{"knn": {"global": 0.5}}')

    monkeypatch.setattr(evaluate_stage, "evaluate", evaluate)
    monkeypatch.setattr(export_stage, "export", lambda *_: ran.append("export"))
    splits = SimpleNamespace(note="a note", test=range(1))
    monkeypatch.setattr(data, "load", lambda *_: splits)
    (tmp_path / "checkpoints").mkdir()
    return ran


def twenty_random_images():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20, 16, 16, 1), np.uint8), np.arange(20) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


@pytest.fixture
def random_images(monkeypatch):
    """Every data set is 20 random images: 5 steps an epoch."""
    monkeypatch.setattr(data, "load", lambda *_: twenty_random_images())


def run_in(folder, verbose=0, **settings):
    return Run(Experiment.of(name="a", run_dir=str(folder), **settings), verbose)


def fails(error):
    def stage(*_):
        raise error

    return stage


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["images_per_second"]
    return lines


def test_a_failed_measure_does_not_keep_the_export_away(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "evaluate", fails(MeasureError("knn: it diverged")))
    with pytest.raises(MeasureError, match="it diverged"):
        run_later_stages(run_in(tmp_path), ["evaluate", "export"])
    assert ran == ["export"]


def test_the_last_lines_are_the_verdict(ran, tmp_path, monkeypatch, capsys):
    content = {"verdict": {"sentence": "Training helped", "probe": {"sentence": "Unclear"}}}

    def evaluate(experiment, _):
        (experiment.run_path / "evaluation.json").write_text(json.dumps(content))
        print("verdict: at once")

    monkeypatch.setattr(evaluate_stage, "evaluate", evaluate)
    run = run_in(tmp_path)
    assert run.verdict == []
    run_later_stages(run, ["evaluate"])
    assert capsys.readouterr().out == "verdict: at once\n"
    run_later_stages(run, ["evaluate", "export"])
    assert run.verdict == ["verdict: Training helped", "verdict: Unclear"]
    assert capsys.readouterr().out.splitlines() == ["verdict: at once", *run.verdict]


def test_references_are_tried_before_training(ran, tmp_path):
    run_in(tmp_path).check_references()
    (tmp_path / "a.keras").write_text("nothing")
    run = run_in(tmp_path, reference=str(tmp_path / "a.keras"))
    with pytest.raises(InputError, match=r"--reference=.*a.keras cannot be loaded"):
        run.check_references()


def test_without_a_good_checkpoint_nothing_follows(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_stage, "evaluate", fails(RunError("no checkpoint is good")))
    with pytest.raises(RunError, match="no checkpoint"):
        run_later_stages(run_in(tmp_path), ["evaluate", "export"])
    assert ran == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        tf.errors.ResourceExhaustedError(None, None, "Unable to allocate 9 TiB"),
    ],
    ids=["Python", "TensorFlow"],
)
def test_too_little_memory_is_an_error_of_one_line(ran, tmp_path, monkeypatch, error):
    monkeypatch.setattr(evaluate_stage, "evaluate", fails(error))
    expected = r"^the memory does not suffice \(.*Unable to allocate 9 TiB.*--critic_units"
    with pytest.raises(RunError, match=expected):
        run_in(tmp_path).evaluate()


def test_a_run_folder_takes_one_run_that_writes_to_it(ran, tmp_path):
    run = run_in(tmp_path)
    with locked_folder(tmp_path, "--run_dir"):
        with pytest.raises(InputError, match="is in use by another run"):
            run.evaluate()
        run.export()
    assert ran == ["export"]
    run.evaluate()
    with run.locked():  # as the command line holds it over several stages
        run.evaluate()
    assert ran == ["export", "evaluate", "evaluate"]


def test_stages_of_an_export_lock_what_they_write(tmp_path, monkeypatch):
    for name in ("saved_model.pb", "images/a.png"):
        path = tmp_path / "exported/1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images = tmp_path / "exported/1/images"
    (tmp_path / "scored").mkdir()
    (tmp_path / "scored/b.png").touch()
    settings = {
        "dataset": "folder",
        "data_dir": str(images),
        "encoder_path": str(tmp_path / "exported/1"),
        "query": str(images / "a.png"),
        "embed_input": str(images),
        "anomaly_input": str(tmp_path / "scored"),
    }
    run = run_in(tmp_path / "run", **settings)
    ran = []

    def stage(result=None):
        def record(experiment):
            ran.append((experiment.run_path / ".lock").is_file())
            return result

        return record

    monkeypatch.setattr("dim_tf.stages.embed.embed_collection", stage())
    monkeypatch.setattr("dim_tf.stages.curate.curate", stage())
    monkeypatch.setattr("dim_tf.stages.anomaly.anomaly", stage())
    monkeypatch.setattr("dim_tf.stages.search.search", stage(search_stage.SearchResults([])))
    stages = (run.embed, run.curate, run.anomaly, run.search)
    for one in stages:
        one()
    assert ran == [True] * 4
    with locked_folder(tmp_path / "run", "--run_dir"):
        for one in stages:
            with pytest.raises(InputError, match=r"in use by another run \(process \d+ on"):
                one()
        assert len(ran) == 4
        run.embed(output=tmp_path / "elsewhere")  # locks that folder alone
    assert len(ran) == 5
    with run.locked():  # as of a command with several stages
        run.curate()
    assert ran[5:] == [True]


def test_evaluate_returns_the_file_and_takes_measures_by_name(ran, tmp_path, monkeypatch):
    run = run_in(tmp_path)
    assert run.evaluate() == {"knn": {"global": 0.5}}
    written, names = evaluate_stage.evaluate, []
    monkeypatch.setattr(
        evaluate_stage,
        "evaluate",
        lambda settings, _: names.append(settings.evaluation.measures) or written(settings, _),
    )
    run.evaluate(["knn", "svm"])
    run.evaluate("mlp")
    assert names == ["knn,svm", "mlp"]
    with pytest.raises(InputError, match="--measures has no 'nope'"):
        run.evaluate(["nope"])
    with pytest.raises(InputError, match="epochs is no setting of this stage; it has export_dir"):
        run.export(epochs=3)


def test_a_quiet_run_prints_nothing_and_a_verbose_one_lines(ran, tmp_path, capsys):
    run_in(tmp_path, verbose=0).evaluate()
    assert capsys.readouterr().out == ""
    run_in(tmp_path, verbose=1).evaluate()
    assert capsys.readouterr().out == "data: a note\n"


def test_a_report_is_shown_in_a_frame_of_its_own(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(InputError, match="evaluate the run first"):
        run.report()
    (tmp_path / "report.html").write_text('<style>p {color: "red"}</style><p>é</p>', "utf-8")
    shown = Report(tmp_path / "report.html")._repr_html_()
    assert run.report().path == tmp_path / "report.html"
    assert shown.startswith("<iframe srcdoc=")
    assert "<p>" not in shown
    assert "color: &quot;red&quot;" in shown


def test_a_folder_without_a_run_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        Run.load(tmp_path)
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(InputError, match=r"experiment\.json: not an experiment\.json"):
        Run.load(tmp_path)


def test_a_run_that_moved_is_loaded_from_where_it_is(tmp_path):
    experiment = Experiment.of(name="a", run_dir="before", epochs=7)
    (tmp_path / "experiment.json").write_text(experiment.to_json())
    run = Run.load(tmp_path, batch_size=8)
    assert run.path == tmp_path
    assert (run.experiment.training.epochs, run.experiment.training.batch_size) == (7, 8)


def test_a_stage_drops_the_notices_that_tensorflow_prints_in_a_notebook(ran, tmp_path, monkeypatch):
    logger, messages = tf.get_logger(), []
    monkeypatch.setattr(logger, "level", logger.level)
    logger.setLevel(logging.INFO)  # as TensorFlow does where Python is interactive
    monkeypatch.setattr(logger, "handle", lambda record: messages.append(record.getMessage()))

    def evaluate(*_):
        logger.info("Assets written to: /tmp/x")
        logger.warning("a warning")
        raise RunError("it failed")

    monkeypatch.setattr(evaluate_stage, "evaluate", evaluate)
    with pytest.raises(RunError):
        run_in(tmp_path).evaluate()
    logger.info("after the stage")
    assert messages == ["a warning", "after the stage"]


def state():
    numbers = random.random(), np.random.rand(), float(tf.random.uniform([]))
    policy = keras.config.dtype_policy().name
    tensor_float_32 = tf.config.experimental.tensor_float_32_execution_enabled()
    return *numbers, float(keras.random.uniform([])), policy, tensor_float_32


def test_the_process_state_is_put_back_after_errors_too():
    def change():
        with process_state.preserved():
            keras.utils.set_random_seed(1)
            keras.random.uniform([3])
            tf.random.uniform([3])
            keras.config.set_dtype_policy("mixed_bfloat16")
            tf.config.experimental.enable_tensor_float_32_execution(False)
            raise RunError("it failed")

    tf.config.experimental.enable_tensor_float_32_execution(True)
    keras.utils.set_random_seed(7)
    tf.random.uniform([])
    expected = state()
    keras.utils.set_random_seed(7)
    tf.random.uniform([])
    with pytest.raises(RunError):
        change()
    assert state() == expected


def test_a_stage_leaves_the_process_as_it_was(ran, tmp_path, monkeypatch):
    def evaluate(*_):
        keras.utils.set_random_seed(1)
        keras.config.set_dtype_policy("mixed_bfloat16")
        raise RunError("it failed")

    monkeypatch.setattr(evaluate_stage, "evaluate", evaluate)
    keras.utils.set_random_seed(7)
    expected = state()
    keras.utils.set_random_seed(7)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError):
        run_in(tmp_path).evaluate()
    assert state() == expected
    assert signal.getsignal(signal.SIGTERM) is handler


class Recorder(keras.callbacks.Callback):
    """Records its events; ends training after `stop_after` steps."""

    def __init__(self, stop_after=0):
        super().__init__()
        self.events, self.steps, self.stop_after = [], 0, stop_after

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == self.stop_after:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(epoch)

    def on_train_end(self, logs=None):
        self.events.append("end")


TWO_FITS = {"epochs": 2, "steps": 8, **SMALL}  # the last epoch has 3 of 5 steps


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run that nothing ended, and the recorder of its callbacks."""
    folder, recorder = tmp_path_factory.mktemp("straight"), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *_: twenty_random_images())
        run_in(folder, **TWO_FITS).train([recorder])
    return folder, recorder


def test_callbacks_see_one_training_whatever_the_calls_of_fit(straight):
    _, recorder = straight
    assert recorder.events == ["begin", 0, 1, "end"]
    assert recorder.steps == 8
    assert (recorder.params["epochs"], recorder.params["steps"]) == (2, 5)


def test_a_run_that_a_callback_ended_continues_with_the_same_losses(
    tmp_path, random_images, straight
):
    first, second = Recorder(stop_after=3), Recorder()
    run_in(tmp_path, **TWO_FITS).train([first])
    assert losses(tmp_path) == losses(straight[0])[:3]
    run_in(tmp_path, **TWO_FITS).train([second])
    assert first.events == ["begin", 0, "end"]
    assert second.events == ["begin", 0, 1, "end"]
    assert losses(tmp_path) == losses(straight[0])


def test_an_object_that_is_no_callback_is_refused(tmp_path, random_images):
    with pytest.raises(InputError, match=r"callbacks has 1; expected objects of keras\.callbacks"):
        run_in(tmp_path, epochs=1, **SMALL).train([1])
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.slow
def test_weights_that_a_callback_sets_at_the_end_are_saved(tmp_path, random_images):
    class Zeros(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights([0 * weight for weight in self.model.get_weights()])

    run = run_in(tmp_path, epochs=1, checkpoint_every=5, **SMALL)  # step 5 has one already
    run.train([Zeros()])
    assert all(not np.any(weight) for weight in run.encoder.get_weights())


def test_no_callbacks_no_events():
    nobody = user_callbacks.UserCallbacks([], 3, 5)
    nobody.on_train_begin()
    assert nobody.end() is False


@pytest.mark.slow
def test_keras_own_callbacks_work(tmp_path, random_images):
    run_in(tmp_path, epochs=9, **SMALL).train(
        [
            keras.callbacks.EarlyStopping("online_probe", mode="max", min_delta=2, patience=2),
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
            keras.callbacks.TensorBoard(str(tmp_path / "own")),
        ]
    )
    assert len(losses(tmp_path)) == 15  # the first epoch, and two of patience
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,")
    assert "online_probe" in rows[0]
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "2"]
    assert len(list(tmp_path.glob("*.keras"))) == 3
    assert list(tmp_path.glob("own/train/events*"))


@pytest.mark.slow
def test_a_run_trains_in_another_thread_than_the_main_one(tmp_path, random_images):
    thread = threading.Thread(target=run_in(tmp_path, epochs=1, **SMALL).train)
    thread.start()
    thread.join()
    assert len(losses(tmp_path)) == 5


def test_a_signal_ends_training_by_an_exception(tmp_path, random_images, monkeypatch):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(signals.Stopped, match="stopped at step 2"):
        run_in(tmp_path, epochs=1, **SMALL).train([Interrupt()])
    assert signal.getsignal(signal.SIGINT) is handler
    assert loop.checkpoint_files.steps(tmp_path / "checkpoints") == [2]


def test_a_run_that_began_anew_continues_afterwards(tmp_path, monkeypatch):
    """Whoever calls train again, or opens the folder, does not want it emptied."""
    resumed = []
    errors = [None, RunError("a full disk"), InputError("wrong"), None]

    def train(experiment, *_):
        resumed.append(experiment.training.resume)
        if error := errors[len(resumed) - 1]:
            raise error

    monkeypatch.setattr(loop, "train", train)
    splits = SimpleNamespace(note="a note", test=range(1))
    monkeypatch.setattr(data, "load", lambda *_: splits)
    run = run_in(tmp_path, resume=False)
    run.train()
    with pytest.raises(RunError):
        run.train()
    other = run_in(tmp_path, resume=False)
    with pytest.raises(InputError):
        other.train()
    other.train()
    assert resumed == [False, True, False, False]  # after the InputError nothing was begun
    (tmp_path / "experiment.json").write_text(run_in(tmp_path, resume=False).experiment.to_json())
    assert Run.load(tmp_path).experiment.training.resume
    assert not Run.load(tmp_path, resume=False).experiment.training.resume

"""What training chooses by itself: batch, rate, precision, and the steps of --minutes."""

import json
import os
import re
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import small_backbone
import tensorflow as tf

from dim_tf import data
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.run import Run
from dim_tf.system.errors import InputError
from dim_tf.system.signals import Stopped
from dim_tf.training import callbacks, loop, plan, precision, speed, strategy
from dim_tf.training.speed import Speed

DEVICES = tf.distribute.get_strategy()
TINY = {"critic_units": 8, "latent_dim": 4, "augmentation": "none", "gamma": 0.0}
TINY |= {"track": "none", "online_probe": False}


@pytest.fixture(autouse=True)
def splits(monkeypatch):
    """Every data set is 20 random images."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20, 16, 16, 1), np.uint8), np.arange(20) % 2)
    splits = Splits("random", split, split, ("even", "odd"), "random images")
    monkeypatch.setattr(data, "load", lambda *_: splits)
    return splits


def experiment(folder, **settings):
    return Experiment.of(name="a", run_dir=str(folder), **{**TINY, **settings})


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["images_per_second"]
    return lines


@pytest.mark.parametrize(
    ("images", "parts", "size"),
    [
        (50_000, 1, 256),
        (5_120, 1, 256),
        (5_119, 1, 128),
        (2_559, 1, 64),
        (700, 1, 32),
        (20, 1, 20),
        (2, 1, 2),
        (50_000, 3, 255),
        (5, 4, 8),  # which is refused later, as larger than the data
    ],
)
def test_the_batch_gives_an_epoch_twenty_steps_within_its_bounds(images, parts, size):
    assert plan.batch_size(images, parts) == size


def test_the_rate_goes_with_the_square_root_of_the_batch():
    assert [plan.learning_rate(size) for size in (256, 64, 32)] == [1e-3, 5e-4, 3.54e-4]


def test_nothing_is_chosen_where_nothing_is_left_open(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(precision, "choose", None)
    given = experiment(tmp_path, batch_size=4)
    assert plan.resolve(given, splits, DEVICES) is given


def test_what_is_chosen_is_kept_and_never_chosen_again(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(precision, "choose", lambda: "bfloat16")
    asked = experiment(tmp_path, batch_size=0, learning_rate=0.0, precision="auto", steps=1)
    run = Run(asked, verbose=0)
    run.train()
    training = run.experiment.training
    assert (training.batch_size, training.learning_rate) == (20, plan.learning_rate(20))
    assert training.precision == "bfloat16"
    kept = Experiment.from_json((tmp_path / "experiment.json").read_text())
    assert kept == run.experiment
    assert kept.automatic == ("batch_size", "learning_rate", "precision")

    monkeypatch.setattr(precision, "choose", None)
    assert plan.resolve(asked, splits, DEVICES) == kept
    assert plan.of_trained(asked) == kept
    anew = asked.replace(resume=False)
    with pytest.raises(TypeError):  # it would choose again
        plan.resolve(anew, splits, DEVICES)


def test_another_value_of_a_chosen_setting_is_another_experiment(tmp_path):
    begun(tmp_path / "run", precision="bfloat16")
    other = experiment(tmp_path / "run", batch_size=4, minutes=10, precision="float32")
    with pytest.raises(InputError, match="precision: 'bfloat16' -> 'float32'"):
        Run(other, verbose=0).train()


def test_a_setting_that_is_given_later_is_no_longer_automatic(tmp_path, splits):
    chosen = plan.resolve(experiment(tmp_path, batch_size=0), splits, DEVICES)
    assert chosen.replace(epochs=3).automatic == ("batch_size",)
    assert chosen.replace(batch_size=4).automatic == ()


def test_a_trained_run_without_its_record_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"experiment\.json, which says .* --precision"):
        plan.of_trained(experiment(tmp_path, precision="auto"))
    with pytest.raises(InputError, match=r"experiment\.json, which says .* --minutes"):
        plan.of_trained(experiment(tmp_path, minutes=5))


@pytest.mark.parametrize(("length", "flag"), [({"steps": 4}, "steps"), ({"epochs": 4}, "epochs")])
def test_a_run_that_was_not_trained_by_minutes_names_its_length(tmp_path, length, flag):
    begun = experiment(tmp_path, **length)
    (tmp_path / "experiment.json").write_text(begun.to_json())
    with pytest.raises(InputError, match=f"was trained by --{flag}=4, and not by --minutes=5; "):
        plan.of_trained(experiment(tmp_path, minutes=5))


COSINE = {"batch_size": 4, "schedule": "cosine", "warmup_steps": 2}


def test_another_experiment_is_refused_before_its_speed_is_measured(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(speed, "measure", None)
    begun = experiment(tmp_path, steps=4, **COSINE)
    (tmp_path / "experiment.json").write_text(begun.to_json())
    with pytest.raises(InputError, match=r"holds another experiment .*minutes: 0\.0 -> 5\.0"):
        plan.resolve(experiment(tmp_path, minutes=5, **COSINE), splits, DEVICES)


def test_a_run_by_minutes_has_the_losses_of_its_steps_also_if_it_is_stopped_and_resumed(
    tmp_path, monkeypatch, capsys
):
    straight, folder = tmp_path / "straight", tmp_path / "minutes"
    Run(experiment(straight, steps=8, **COSINE), verbose=0).train()
    measured = []
    measure, begin = speed.measure, callbacks.MetricsLogger.on_train_batch_begin

    def measure_briefly(experiment, splits, devices, *_):
        measured.append(measure(experiment, splits, devices, 0.1))
        return measured[0]

    def begin_and_signal(self, batch, logs=None):
        begin(self, batch, logs)
        if batch == 2 and measured:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(speed, "measure", measure_briefly)
    monkeypatch.setattr(Speed, "steps_in", lambda *_: 8)
    monkeypatch.setattr(callbacks.MetricsLogger, "on_train_batch_begin", begin_and_signal)
    asked = experiment(folder, minutes=1, **COSINE)
    with pytest.raises(Stopped, match="stopped at step 3"):
        Run(asked).train()
    line = r"train: 8 steps in about 1 minute, until [\d: -]+; --epochs=2 would be 10 steps"
    assert re.search(line, capsys.readouterr().out)
    assert all(seconds > 0 for seconds in measured[0][:3])
    assert list(folder.glob(".*")) == []  # of the trial
    monkeypatch.setattr(callbacks.MetricsLogger, "on_train_batch_begin", begin)
    monkeypatch.setattr(speed, "measure", None)
    run = Run(asked, verbose=0)
    run.train()
    assert (run.experiment.training.minutes, run.experiment.training.steps) == (1, 8)
    assert losses(folder) == losses(straight)
    assert len(losses(folder)) == 8


def test_a_signal_stops_measuring_and_leaves_no_trace(tmp_path, monkeypatch):
    def stopped(trial, *_):
        (trial.run_path / "metrics.jsonl").write_text("")
        raise Stopped("stopped at step 3, which is saved")

    monkeypatch.setattr(loop, "train", stopped)
    folder = tmp_path / "minutes"
    with pytest.raises(Stopped, match="while the speed was measured, before the first step"):
        Run(experiment(folder, minutes=1, **COSINE), verbose=0).train()
    assert not folder.exists()


def begun(folder, **settings):
    """A run folder in which --minutes=10 are 900 steps."""
    settings = {"batch_size": 4, **settings}
    folder.mkdir()
    text = experiment(folder, minutes=10, **settings).replace(steps=900).to_json()
    (folder / "experiment.json").write_text(text)


def test_other_minutes_are_as_many_more_steps(tmp_path):
    begun(tmp_path / "run")
    for minutes, steps in [(10, 900), (15, 1350), (5, 450)]:
        asked = experiment(tmp_path / "run", batch_size=4, minutes=minutes)
        assert plan.recorded(asked).training.steps == steps
    several = experiment(
        tmp_path / "run", batch_size=4, minutes=5, steps_per_execution=4, checkpoint_every=400
    )
    assert plan.recorded(several).training.steps == 448


def test_the_length_of_a_cosine_stays(tmp_path):
    begun(tmp_path / "run", schedule="cosine")
    longer = experiment(tmp_path / "run", batch_size=4, schedule="cosine", minutes=15)
    with pytest.raises(InputError, match=r"minutes: 10\.0 -> 15\.0; steps: 900 -> 1350"):
        Run(longer, verbose=0).train()


def test_steps_are_whole_executions_within_the_time_left(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda *_: Speed(setup=10.0, step=0.5, checkpoint=2.0))
    clock = iter([100.0, 110.0])  # ten seconds of the minute are over
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    asked = experiment(
        tmp_path, minutes=1, batch_size=4, steps_per_execution=5, checkpoint_every=10
    )
    # 60 - 10 - 10 - 2 = 38 s, of steps with a tenth of a checkpoint: 0.7 s.
    assert plan.resolve(asked, splits, DEVICES).training.steps == 50


def test_too_few_minutes_are_refused_with_what_a_step_takes(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda *_: Speed(setup=50.0, step=2.0, checkpoint=1.0))
    with pytest.raises(InputError, match=r"--minutes=1 is too short: 1\.[56] minutes are needed"):
        plan.resolve(
            experiment(tmp_path, minutes=1, batch_size=4, schedule="cosine", warmup_steps=20),
            splits,
            DEVICES,
        )
    expected = (
        r"0\.9 minutes .* 50 s to begin .* 2 s for each step.* at least 1 .*--minutes=1 or more"
    )
    with pytest.raises(InputError, match=expected):
        plan.resolve(experiment(tmp_path, minutes=0.5, batch_size=4), splits, DEVICES)


def test_a_run_that_took_much_longer_says_so(tmp_path, capsys):
    begun(tmp_path / "run")
    run = plan.recorded(experiment(tmp_path / "run", batch_size=4, minutes=10))
    plan.say_overrun(run, seconds=630, first_step=0)
    plan.say_overrun(run, seconds=300, first_step=900)  # it was over
    assert capsys.readouterr().out == ""
    plan.say_overrun(run, seconds=480, first_step=450)
    assert "train: it took 8.0 minutes and not 5.0" in capsys.readouterr().out


def test_all_workers_take_the_precision_of_the_chief(monkeypatch):
    monkeypatch.setattr(strategy, "is_multi_worker", lambda _: True)
    monkeypatch.setattr(precision, "choose", lambda: "bfloat16")
    # The chief has one of the four replicas.
    for is_chief, means in [(True, [0.25, 0.25]), (False, [0.25, 0.25]), (False, [0.25, 0.0])]:
        monkeypatch.setattr(strategy, "is_chief", lambda _, is_chief=is_chief: is_chief)
        answers = iter(means)
        monkeypatch.setattr(strategy, "mean_over_replicas", lambda *_, a=answers: next(a))
        assert plan._choose_precision(None) == ("bfloat16" if means[1] else "float32")


def with_backbone(folder, trained=True, **settings):
    """An experiment on a small Keras model in a file, whose biases were trained or not."""
    model = small_backbone.write(folder / "net.keras")
    if trained:
        model.get_layer("stem").bias.assign(np.arange(6.0))
        model.save(folder / "net.keras")
    chosen = {"frozen_steps": -1, "backbone_batch_norm": "auto", "learning_rate": 0.0}
    encoder = {"encoder": str(folder / "net.keras"), "input_scaling": "127,128"}
    return experiment(folder, **{**encoder, **chosen, "batch_size": 4, **settings})


def test_a_pretrained_model_is_frozen_for_four_fifths_of_the_steps(tmp_path, splits, capsys):
    chosen = plan.resolve(with_backbone(tmp_path, steps=9), splits, DEVICES)
    assert (chosen.encoder.frozen_steps, chosen.encoder.backbone_batch_norm) == (7, "frozen")
    assert chosen.training.learning_rate == plan.learning_rate(4)
    assert chosen.automatic == ("learning_rate", "backbone_batch_norm", "frozen_steps")
    assert "train: --frozen_steps=-1 is 7 of 9 steps: the Keras model's" in capsys.readouterr().out
    # Of steps that are taken several at a time.
    chosen = plan.resolve(with_backbone(tmp_path, steps=10, steps_per_execution=5), splits, DEVICES)
    assert chosen.encoder.frozen_steps == 5


@pytest.mark.parametrize(
    "settings", [{"trained": False}, {"encoder_weights": "random"}], ids=lambda x: next(iter(x))
)
def test_a_model_that_was_not_trained_learns_from_the_first_step(tmp_path, splits, settings):
    chosen = plan.resolve(with_backbone(tmp_path, **settings), splits, DEVICES)
    assert (chosen.encoder.frozen_steps, chosen.encoder.backbone_batch_norm) == (0, "train")
    assert chosen.training.learning_rate == plan.BACKBONE_LEARNING_RATE


def test_frozen_steps_that_are_given_stay(tmp_path, splits):
    chosen = plan.resolve(with_backbone(tmp_path, frozen_steps=2), splits, DEVICES)
    assert (chosen.encoder.frozen_steps, chosen.encoder.backbone_batch_norm) == (2, "frozen")
    assert chosen.training.learning_rate == plan.learning_rate(4)
    assert chosen.automatic == ("learning_rate", "backbone_batch_norm")
    chosen = plan.resolve(with_backbone(tmp_path, frozen_steps=0), splits, DEVICES)
    assert chosen.training.learning_rate == plan.BACKBONE_LEARNING_RATE


def test_a_file_that_is_no_model_is_refused(tmp_path, splits):
    asked = with_backbone(tmp_path)
    (tmp_path / "net.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"^--encoder=.*net\.keras: .* cannot be loaded"):
        plan.resolve(asked, splits, DEVICES)


def test_a_run_with_frozen_steps_goes_on_with_its_choice_without_the_file(tmp_path, splits):
    run = Run(with_backbone(tmp_path, steps=5), verbose=0)
    run.train()
    assert run.experiment.encoder.frozen_steps == 4
    asked = with_backbone(tmp_path, steps=5)
    (tmp_path / "net.keras").unlink()
    assert plan.resolve(asked, splits, DEVICES) == run.experiment
    assert plan.of_trained(asked) == run.experiment


def test_frozen_steps_are_measured_apart(tmp_path, splits, monkeypatch):
    """A trial of each kind; steps of both kinds fill the minutes."""
    trials = []

    def train(trial, splits, devices, callbacks):
        trials.append(trial)
        (timer,) = callbacks
        step = 0.25 if trial.encoder.frozen_steps else 1.0
        timer.ends = [step * number for number in range(1, 100)]

    monkeypatch.setattr(loop, "train", train)
    asked = with_backbone(tmp_path, backbone_batch_norm="frozen", learning_rate=1e-3)
    measured = speed.measure(asked, splits, DEVICES, 10.0, freezes=True)
    assert [trial.encoder.frozen_steps for trial in trials] == [10**9, 0]
    assert (measured.frozen_step, measured.step) == (pytest.approx(0.25), pytest.approx(1.0))
    alone = speed.measure(asked, splits, DEVICES, 10.0)
    assert (alone.frozen_step, len(trials)) == (0, 3)


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        ({}, 80),  # 90 - 10 s, of steps of 1 s
        ({"frozen_steps": 40}, 40 + 70),  # the first take a quarter
        ({"frozen_steps": 400}, 320),
        ({"frozen_fraction": 0.8}, 200),  # 0.8 / 4 + 0.2 = 0.4 s in the mean
    ],
)
def test_frozen_steps_take_less_of_the_time(frozen, expected):
    measured = Speed(setup=10.0, step=1.0, checkpoint=0.0, frozen_step=0.25)
    assert measured.steps_in(90.0, 100, **frozen) == expected
    assert measured.steps_in(5.0, 100, **frozen) == 0


def test_four_fifths_of_the_steps_of_the_minutes_are_frozen(tmp_path, splits, monkeypatch):
    speed_here = Speed(setup=0.0, step=1.0, checkpoint=0.0, frozen_step=0.25)
    monkeypatch.setattr(speed, "measure", lambda *_: speed_here)
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: 0.0))
    chosen = plan.resolve(with_backbone(tmp_path, minutes=1), splits, DEVICES)
    assert (chosen.training.steps, chosen.encoder.frozen_steps) == (150, 120)


def test_unknown_pixel_values_are_refused_before_anything_is_measured(
    tmp_path, splits, monkeypatch, capsys
):
    monkeypatch.setattr(speed, "measure", None)
    monkeypatch.setattr(precision, "choose", None)
    asked = with_backbone(tmp_path, minutes=1, precision="auto", input_scaling="auto")
    with pytest.raises(
        InputError,
        match=r"^--encoder=.*\.keras: the file does not say what its weights were trained on; give "
        r"--input_scaling=-1\.\.1, .*, or OFFSET,SCALE of pixels in 0\.\.255$",
    ):
        plan.resolve(asked, splits, DEVICES)
    assert "measured" not in capsys.readouterr().out


@pytest.mark.parametrize("warmup", [{"warmup_steps": 3}, {"warmup_fraction": 0.1}])
def test_a_trial_has_a_constant_rate(tmp_path, warmup):
    experiment = Experiment.of(name="a", schedule="cosine", **warmup)
    trial = speed._trial(experiment, tmp_path, 0).training
    assert (trial.schedule, trial.warmup_steps, trial.warmup_fraction) == ("constant", 0, 0.0)


def test_the_time_of_a_step_is_that_of_most_blocks():
    ends = np.cumsum([0.0] + [0.5] * 4 + [0.1] * 40 + [3.0] + [0.1] * 9)
    assert speed._median_of_blocks(list(ends), seconds=6.0) == pytest.approx(0.1)
    assert speed._median_of_blocks([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0], 1.0) == 2.0

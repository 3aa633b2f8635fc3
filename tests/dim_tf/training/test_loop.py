"""The training loop: exact resume, replicas, the NaN guard, run folders."""

import dataclasses
import json
import os
import re
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.system import json_files
from dim_tf.system.errors import InputError, RunError
from dim_tf.training import callbacks, loop, schedule
from dim_tf.training.loop import Segment, segments
from dim_tf.training.model import load_trained, make_encoder, make_model

SHAPE = (16, 16, 1)


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20, *SHAPE), np.uint8), np.arange(20) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


def experiment(folder, **settings):
    defaults = {"batch_size": 4, "epochs": 2, "latent_dim": 4}
    if "model" not in settings:
        defaults["critic_units"] = 8
    return Experiment.of(name="t", run_dir=str(folder), **{**defaults, **settings})


@pytest.fixture(scope="module")
def straight(tmp_path_factory, splits):
    """The folder of a run of ten steps that nothing stopped; the tests leave it as it is."""
    folder = tmp_path_factory.mktemp("straight")
    loop.train(experiment(folder, gamma=0.1), splits)
    return folder


def losses(folder):
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in entries] == list(range(1, len(entries) + 1))
    for entry in entries:
        del entry["images_per_second"]
    return entries


@pytest.mark.parametrize(
    ("step", "last", "expected"),
    [
        (0, 10, [Segment(0, 2, 5)]),
        (3, 10, [Segment(0, 1, 2), Segment(1, 1, 5)]),
        (0, 12, [Segment(0, 2, 5), Segment(2, 1, 2)]),
        (6, 8, [Segment(1, 1, 2)]),
        (5, 5, []),
        (10, 5, []),
    ],
)
def test_segments(step, last, expected):
    assert segments(step, last, steps_per_epoch=5) == expected


def test_a_run_that_a_signal_stopped_has_the_losses_of_one_that_none_did(
    tmp_path, splits, straight, monkeypatch
):
    """In mid-epoch; its checkpoint is older than the last line."""
    begin = callbacks.MetricsLogger.on_train_batch_begin

    def begin_and_signal(self, batch, logs=None):
        begin(self, batch, logs)
        if batch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(callbacks.MetricsLogger, "on_train_batch_begin", begin_and_signal)
    resumed = experiment(tmp_path, gamma=0.1)
    with pytest.raises(loop.Stopped, match="stopped at step 2"):
        loop.train(resumed, splits)
    monkeypatch.undo()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "loss": 0.0}\n')  # a line that no checkpoint knows
    loop.train(resumed, splits)
    assert len(losses(straight)) == 10
    assert losses(tmp_path) == losses(straight)


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_epochs(tmp_path, splits):
    loop.train(experiment(tmp_path, epochs=1), splits)
    loop.train(experiment(tmp_path, epochs=1), splits)
    assert len(losses(tmp_path)) == 5
    loop.train(experiment(tmp_path, epochs=2), splits)
    assert len(losses(tmp_path)) == 10


def broken_batch(monkeypatch, step, seeds=(0,)):
    """In the order of these seeds of the data, the images of `step` are NaN."""
    batches = pipeline.training_batches

    def with_nan(split, batch_size, channels, seed, start_step, *more, **labelled):
        dataset = batches(split, batch_size, channels, seed, start_step, *more, **labelled)
        if seeds and seed not in seeds:
            return dataset
        bad = step - 1

        def at(number, batch):
            images = batch[0] * tf.where(number == bad, np.nan, 1.0)
            return images, batch[1]

        return dataset.enumerate(start_step).map(at)

    monkeypatch.setattr(loop.pipeline, "training_batches", with_nan)
    # `fit` refuses such images before its first step; here they stand for a loss that is NaN.
    monkeypatch.setattr("keras_models.data_checks.check_range", lambda images: None)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, splits, monkeypatch):
    broken_batch(monkeypatch, step=2)
    with pytest.raises(RunError, match=r"step 2: .*(last good checkpoint is .*ckpt-1)"):
        loop.train(experiment(tmp_path, checkpoint_every=1), splits)


@pytest.mark.slow
def test_after_nan_a_run_goes_back_to_the_checkpoint_with_other_images(
    tmp_path, splits, monkeypatch, capsys
):
    broken_batch(monkeypatch, step=6)
    run = experiment(tmp_path / "run", checkpoint_every=4, on_nan="restore")
    loop.train(run, splits)
    # ReLU may make 0 of NaN: then the weights tell, when they are to be saved.
    says = r"step [68]: .* is (nan|not finite); back to step 4 with the images .* \(1 of at most 3 "
    assert re.search(says, capsys.readouterr().out)
    assert len(losses(tmp_path / "run")) == 10
    restores = json_files.read_json_with_checksum(tmp_path / "run/nan_restores.json")
    assert restores == {"back_to_steps": [4]}


@pytest.mark.slow
def test_a_run_that_stops_after_it_went_back_has_the_same_losses(
    tmp_path, splits, monkeypatch, capsys
):
    broken_batch(monkeypatch, step=6)
    run = experiment(tmp_path / "run", checkpoint_every=4, on_nan="restore")
    loop.train(run, splits)
    stopped = run.replace(run_dir=str(tmp_path / "stopped"))
    loop.train(stopped.replace(steps=7), splits)
    capsys.readouterr()
    loop.train(stopped, splits)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "run")
    assert "back to step" not in capsys.readouterr().out


@pytest.mark.slow
def test_nan_before_the_first_checkpoint_leads_back_to_the_start(tmp_path, splits, monkeypatch):
    broken_batch(monkeypatch, step=2)
    run = experiment(tmp_path, steps=3, on_nan="restore")
    loop.train(run, splits)
    assert len(losses(tmp_path)) == 3
    assert json_files.read_json_with_checksum(tmp_path / "nan_restores.json") == {
        "back_to_steps": [0]
    }


@pytest.mark.slow
def test_a_run_goes_back_so_often_and_no_more(tmp_path, splits, monkeypatch):
    broken_batch(monkeypatch, step=2, seeds=())
    run = experiment(tmp_path, checkpoint_every=1, on_nan="restore", nan_restores=2)
    for _ in range(2):  # a second call does not begin to count anew
        with pytest.raises(RunError, match=r"step 2: .* after going back 2 times; .*ckpt-1"):
            loop.train(run, splits)
        assert json_files.read_json_with_checksum(tmp_path / "nan_restores.json") == {
            "back_to_steps": [1, 1]
        }


def test_a_changed_experiment_is_refused_with_the_differences(tmp_path, splits, straight):
    folder = shutil.copytree(straight, tmp_path / "run")
    changed = experiment(folder, gamma=0.1, estimator="dv", seed=1)
    with pytest.raises(InputError, match=r"estimator: 'jsd' -> 'dv'; seed: 0 -> 1"):
        loop.train(changed, splits)
    loop.train(changed.replace(resume=False, steps=1), splits)
    assert len(losses(folder)) == 1


@pytest.mark.parametrize("resume", [True, False])
def test_settings_that_do_not_fit_leave_the_run_folder_as_it_is(tmp_path, splits, straight, resume):
    wrong = experiment(tmp_path / "new", encoder="basic64x64", resume=resume)
    with pytest.raises(InputError, match="give --image_size=64"):
        loop.train(wrong, splits)
    assert not (tmp_path / "new").exists()

    before = {file: file.stat().st_mtime_ns for file in straight.rglob("*")}
    with pytest.raises(InputError):
        loop.train(wrong.replace(run_dir=str(straight)), splits)
    assert {file: file.stat().st_mtime_ns for file in straight.rglob("*")} == before


def test_checkpoints_without_their_experiment_are_refused(tmp_path, splits, straight):
    shutil.copytree(straight, tmp_path / "run")
    (tmp_path / "run" / "experiment.json").unlink()
    settings = experiment(tmp_path / "run", steps=9, learning_rate=1e-3)
    for stage in (loop.train, load_trained):
        with pytest.raises(InputError, match=r"experiment\.json, which says .* is missing; put a"):
            stage(settings, splits)
    assert not (tmp_path / "run" / "experiment.json").exists()


def test_a_damaged_experiment_is_named(tmp_path, splits):
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(InputError, match=rf"{tmp_path}/experiment.json cannot be read"):
        loop.train(experiment(tmp_path, steps=1), splits)


@pytest.mark.slow
def test_precision_and_xla_train(tmp_path, splits, straight):
    settings = {"steps": 2, "gamma": 0.1}
    loop.train(experiment(tmp_path / "xla", **settings, jit_compile="true"), splits)
    loop.train(experiment(tmp_path / "bf16", **settings, precision="bfloat16"), splits)
    keras.mixed_precision.set_global_policy("float32")
    plain = losses(straight)[1]["loss"]
    assert losses(tmp_path / "xla")[1]["loss"] == pytest.approx(plain, rel=1e-3)
    assert losses(tmp_path / "bf16")[1]["loss"] == pytest.approx(plain, rel=0.1)


def test_float32_is_not_tensor_float_32(splits):
    """Of which scores would be, too, on GPUs that have it."""
    tf.config.experimental.enable_tensor_float_32_execution(True)
    make_model(experiment("", precision="float32"), splits)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"local_critic": "concat", "negatives": 2},
        {"alpha": 0.5, "beta": 0.1, "global_critic": "dense", "gamma": 0.1, "prior": "sphere"},
        {"locations": 9, "estimator": "kl", "critic_layer_norm": False},
        {"coordinates": 1.0, "relative_coordinates": 0.5, "occlusion": True},
        {"views": 2, "gamma": 1.0, "prior": "ball", "prior_divergence": "w1"},
        {
            "model": "generator",
            "generator.prior": "gaussian",
            "generator.prior_divergence": "hellinger",
        },
        {"prior_divergence": "wgan_gp", "independence": "adversarial"},
        {"prior_divergence": "bgan", "independence": "predictability"},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_every_part_of_the_objective_trains_from_its_settings(tmp_path, splits, settings):
    loop.train(experiment(tmp_path, steps=2, **settings), splits)
    entries = losses(tmp_path)
    assert len(entries) == 2
    of_setting = {
        "alpha": "global_mi",
        "coordinates": "coordinates_loss",
        "relative_coordinates": "relative_coordinates_loss",
        "model": "generator_loss",
    }
    for setting, metric in of_setting.items():
        assert (metric in entries[0]) == (setting in settings)


def test_settings_that_the_local_map_is_too_small_for(tmp_path, splits):
    with pytest.raises(InputError, match="8x8; give at most 64"):
        loop.train(experiment(tmp_path, locations=65), splits)
    with pytest.raises(InputError, match="--negatives=4"):
        loop.train(experiment(tmp_path, negatives=4), splits)
    assert list(tmp_path.iterdir()) == []


def test_encoders_for_the_images(tmp_path, splits):
    def encoder(size, **settings):
        return make_encoder(experiment(tmp_path, **settings), (size, size, 1))

    assert encoder(48).image_shape == (48, 48, 3)
    assert encoder(28, encoder="basic").image_shape == (28, 28, 3)
    assert encoder(64, encoder="foldmultialex64x64", latent_dim=64).global_dim == 192
    with pytest.raises(InputError, match="leave --latent_dim out"):
        encoder(64, encoder="foldmultialex64x64")
    with pytest.raises(InputError, match="at least 16 a side; give another --image_size"):
        encoder(12)


def test_the_trained_encoder_comes_back(tmp_path, splits):
    settings = experiment(tmp_path, steps=2, precision="bfloat16")
    trained = loop.train(settings, splits)
    saved = (tmp_path / "experiment.json").read_text()
    model, step = load_trained(settings.replace(epochs=9), splits)
    encoder = model.encoder
    assert (tmp_path / "experiment.json").read_text() == saved
    assert step == 2
    assert encoder.compute_dtype == "float32"
    for mine, theirs in zip(encoder.variables, trained.encoder.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_no_checkpoint_to_load(tmp_path, splits):
    with pytest.raises(InputError, match="run --mode=train first"):
        load_trained(experiment(tmp_path), splits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_several_steps_an_execution_are_the_same_steps(tmp_path, splits):
    settings = {"gamma": 0.1, "batch_size": 10}  # two steps an epoch, which is all to be traced
    loop.train(experiment(tmp_path / "one", **settings), splits)
    settings |= {"steps_per_execution": 2, "log_every": 2, "checkpoint_every": 2}
    loop.train(experiment(tmp_path / "two", steps=2, **settings), splits)
    loop.train(experiment(tmp_path / "two", **settings), splits)
    lines = (tmp_path / "two/metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry.pop("images_per_second") > 0 for entry in entries] == [True, True]
    assert entries == [losses(tmp_path / "one")[i] for i in (1, 3)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps_per_execution": 2, "checkpoint_every": 2, "log_every": 2}, "5 steps of an epoch"),
        ({"micro_batches": 4}, "1 replicas x 4 micro-batches"),
        ({"negatives": 2, "micro_batches": 2}, "a step has 1 other images"),
    ],
)
def test_settings_that_do_not_divide_are_refused_before_anything_is_written(
    tmp_path, splits, settings, message
):
    with pytest.raises(InputError, match=message):
        loop.train(experiment(tmp_path / "run", **settings), splits)
    assert not (tmp_path / "run").exists()


def test_a_feature_that_the_encoder_lacks_is_refused_before_anything_is_written(tmp_path):
    split = Split(np.zeros((20, 32, 32, 3), np.uint8), None)
    lacking = experiment(tmp_path / "run", encoder="residual32x32", feature="fc")
    with pytest.raises(InputError, match=r"--feature=fc: .* one of global, conv, local_pooled"):
        loop.train(lacking, Splits("black", split, split, (), ""))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_that_began_without_the_online_probe_goes_on_with_it(tmp_path, splits, straight):
    loop.train(experiment(tmp_path, gamma=0.1, online_probe=False, steps=5), splits)
    loop.train(experiment(tmp_path, gamma=0.1), splits)
    actual, expected = losses(tmp_path), losses(straight)
    assert ["online_probe" in entry for entry in actual] == [False] * 5 + [True] * 5
    assert [entry["loss"] for entry in actual] == [entry["loss"] for entry in expected]


@pytest.mark.slow
def test_a_cosine_schedule_goes_on_where_it_was_and_belongs_to_the_run(tmp_path, splits):
    settings = {"schedule": "cosine", "warmup_steps": 3, "weight_decay": 0.1}
    settings |= {"learning_rate": 1e-2, "checkpoint_every": 5}
    model = loop.train(experiment(tmp_path, **settings), splits)
    expected = losses(tmp_path)
    for optimizer in (model.optimizer, model.adversary_optimizer):
        np.testing.assert_allclose(optimizer.learning_rate, 0, atol=1e-9)
    for file in (tmp_path / "checkpoints").glob("ckpt-10*"):
        file.unlink()
    loop.train(experiment(tmp_path, **settings), splits)
    assert losses(tmp_path) == expected
    with pytest.raises(InputError, match=r"another experiment \(epochs: 2 -> 3\)"):
        loop.train(experiment(tmp_path, **settings, epochs=3), splits)
    with pytest.raises(InputError, match=r"another experiment \(schedule: 'cosine' -> 'const"):
        loop.train(experiment(tmp_path, weight_decay=0.1, learning_rate=1e-2), splits)
    with pytest.raises(InputError, match="--warmup_steps: 10 steps of warm-up do not fit into 10"):
        loop.train(experiment(tmp_path / "x", schedule="cosine", warmup_steps=10), splits)


def test_a_supervised_model_is_trained_on_what_has_labels(tmp_path, splits):
    supervised = experiment(tmp_path, model="supervised")
    unlabelled = dataclasses.replace(splits.train, labels=None)
    few = Split(splits.train.images[:8], splits.train.labels[:8])
    assert schedule.training_split(supervised, dataclasses.replace(splits, labelled=few)) is few
    assert schedule.training_split(supervised, splits) is splits.train
    dim = supervised.replace(model="dim")
    assert schedule.training_split(dim, dataclasses.replace(splits, labelled=few)) is splits.train
    with pytest.raises(InputError, match="random has none for its training images"):
        loop.train(supervised, dataclasses.replace(splits, train=unlabelled))
    with pytest.raises(InputError, match="nothing to tell apart: random has 1 labels"):
        loop.train(supervised, dataclasses.replace(splits, label_names=("one",)))
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_is_reported_in_a_line():
    said = "{{function_node __wrapped__MatMul}} sizes differ [Op:MatMul]\nmore"
    error = tf.errors.InvalidArgumentError(None, None, said)
    message = r"^a step failed \(InvalidArgumentError\): sizes differ$"
    devices = tf.distribute.get_strategy()
    with pytest.raises(RunError, match=message), loop._translate_tensorflow_errors(devices):
        raise error

"""A run that continues on other images, or is measured on others, says so."""

import dataclasses
import json

import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.stages.evaluate import evaluate
from dim_tf.system.errors import InputError
from dim_tf.training import data_fingerprint, loop, run_folder


@pytest.fixture
def splits():
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    split = Split(images, np.arange(20) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


@pytest.fixture
def other_splits(splits):
    return dataclasses.replace(splits, train=Split(255 - splits.train.images, splits.train.labels))


def experiment(folder, **settings):
    return Experiment.of(name="t", run_dir=str(folder), **settings)


def test_a_run_that_goes_on_with_other_images_says_so(tmp_path, splits, other_splits, capsys):
    run_folder.prepare(experiment(tmp_path), splits)
    run_folder.prepare(experiment(tmp_path), splits)
    assert capsys.readouterr().out == ""
    run_folder.prepare(experiment(tmp_path), other_splits)
    printed = capsys.readouterr().out
    assert f"fingerprint {splits.fingerprint}, now {other_splits.fingerprint}" in printed
    assert data_fingerprint.read(tmp_path).images == splits.fingerprint
    run_folder.prepare(experiment(tmp_path, resume=False), other_splits)  # anew
    assert data_fingerprint.read(tmp_path).images == other_splits.fingerprint


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x1b[2J\n", b"", b"0123456789abcdef\nno\n"])
def test_a_damaged_file_is_rebuilt(tmp_path, splits, content):
    (tmp_path / data_fingerprint.FILE).write_bytes(content)
    assert data_fingerprint.read(tmp_path) == data_fingerprint.DataFingerprint()
    run_folder.prepare(experiment(tmp_path), splits)
    assert data_fingerprint.read(tmp_path).images == splits.fingerprint


def test_labels_that_are_added_later_are_recorded(tmp_path, splits):
    (tmp_path / data_fingerprint.FILE).write_text(splits.fingerprint + "\n")
    run_folder.prepare(experiment(tmp_path), splits)
    assert data_fingerprint.read(tmp_path) == data_fingerprint.DataFingerprint.of(splits)


def test_other_labels_of_the_same_images_are_reported(tmp_path, splits, capsys):
    run_folder.prepare(experiment(tmp_path), splits)
    flipped = Split(splits.train.images, 1 - splits.train.labels)
    run_folder.prepare(experiment(tmp_path), dataclasses.replace(splits, train=flipped))
    printed = capsys.readouterr().out
    assert "not the labels that" in printed
    assert "not the images that" not in printed


def test_a_model_with_a_target_for_each_image_needs_the_same(tmp_path, splits, other_splits):
    settings = experiment(tmp_path, model="nat", batch_size=4, steps=1)
    run_folder.prepare(settings, splits)
    with pytest.raises(InputError, match=r"begun on other images .* give those, or another"):
        loop.train(settings, other_splits)


@pytest.mark.slow
def test_any_other_model_goes_on(tmp_path, splits, other_splits):
    dim = experiment(tmp_path, batch_size=4, critic_units=8, steps=1)
    run_folder.prepare(dim, splits)
    loop.train(dim, other_splits)


@pytest.mark.slow
def test_an_encoder_that_is_measured_on_other_images_says_so(tmp_path, splits, other_splits):
    sizes = {"batch_size": 4, "critic_units": 8, "steps": 2}
    settings = experiment(tmp_path, references=False, measures="geometry", **sizes)
    loop.train(settings, splits)
    for measured, fingerprint in ((splits, ""), (other_splits, splits.fingerprint)):
        evaluate(settings, measured)
        protocol = json.loads((tmp_path / "evaluation.json").read_text())["protocol"]
        assert ("trained_on" in protocol) == bool(fingerprint)
        assert fingerprint in protocol.get("trained_on", "")

"""That a run goes on with other images, or is measured on others, is told."""

import dataclasses
import json

import numpy as np
import pytest

from dim_tf import stages
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from dim_tf.training import images_seen, loop


@pytest.fixture
def splits():
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    split = Split(images, np.arange(20) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


@pytest.fixture
def others(splits):
    return dataclasses.replace(splits, train=Split(255 - splits.train.images, splits.train.labels))


def experiment(folder, **settings):
    return Experiment.of(name="t", run_dir=str(folder), **settings)


def test_a_run_that_goes_on_with_other_images_says_so(tmp_path, splits, others, capsys):
    loop.open_run_folder(experiment(tmp_path), splits)
    loop.open_run_folder(experiment(tmp_path), splits)
    assert capsys.readouterr().out == ""
    loop.open_run_folder(experiment(tmp_path), others)
    told = capsys.readouterr().out
    assert f"fingerprint {splits.fingerprint}, now {others.fingerprint}" in told
    assert images_seen.begun_on(tmp_path).images == splits.fingerprint
    loop.open_run_folder(experiment(tmp_path, resume=False), others)  # anew
    assert images_seen.begun_on(tmp_path).images == others.fingerprint


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x1b[2J\n", b"", b"0123456789abcdef\nno\n"])
def test_a_damaged_file_is_made_again(tmp_path, splits, content):
    (tmp_path / images_seen.FILE).write_bytes(content)
    assert images_seen.begun_on(tmp_path) == images_seen.Seen()
    loop.open_run_folder(experiment(tmp_path), splits)
    assert images_seen.begun_on(tmp_path).images == splits.fingerprint


def test_a_file_of_an_earlier_version_is_completed(tmp_path, splits):
    """It knew of the images alone."""
    (tmp_path / images_seen.FILE).write_text(splits.fingerprint + "\n")
    loop.open_run_folder(experiment(tmp_path), splits)
    assert images_seen.begun_on(tmp_path) == images_seen.Seen.of(splits)


def test_other_labels_of_the_same_images_are_told(tmp_path, splits, capsys):
    loop.open_run_folder(experiment(tmp_path), splits)
    flipped = Split(splits.train.images, 1 - splits.train.labels)
    loop.open_run_folder(experiment(tmp_path), dataclasses.replace(splits, train=flipped))
    printed = capsys.readouterr().out
    assert "not the labels that" in printed
    assert "not the images that" not in printed


def test_a_model_with_a_target_for_each_image_needs_the_same(tmp_path, splits, others):
    wanted = experiment(tmp_path, model="nat", batch_size=4, steps=1)
    loop.open_run_folder(wanted, splits)
    with pytest.raises(InputError, match=r"begun on other images .* give those, or another"):
        loop.train(wanted, others)


@pytest.mark.slow
def test_any_other_model_goes_on(tmp_path, splits, others):
    dim = experiment(tmp_path, batch_size=4, critic_units=8, steps=1)
    loop.open_run_folder(dim, splits)
    loop.train(dim, others)


@pytest.mark.slow
def test_an_encoder_that_is_measured_on_other_images_says_so(tmp_path, splits, others):
    settings = {"batch_size": 4, "critic_units": 8, "steps": 2, "measures": "geometry"}
    wanted = experiment(tmp_path, references=False, **settings)
    loop.train(wanted, splits)
    for seen, told in ((splits, None), (others, splits.fingerprint)):
        stages.evaluate(wanted, seen)
        protocol = json.loads((tmp_path / "evaluation.json").read_text())["protocol"]
        assert ("trained_on" in protocol) == bool(told)
        assert (told or "") in protocol.get("trained_on", "")

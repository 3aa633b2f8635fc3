"""--mode=finetune, `Run.finetune` and `dim_tf.finetune`: from folders of classes to a classifier."""

import csv
import io
import json
import os
import signal

import numpy as np
import PIL.Image
import pytest
import small_export
import tensorflow as tf
from absl import flags

import dim_tf
from dim_tf import main
from dim_tf.export import tflite, verify
from dim_tf.export.version_folders import published_versions
from dim_tf.finetuning import finetune as finetune_module

SMALL = {"image_size": 16, "batch_size": 8, "steps": 2, "critic_units": 8, "latent_dim": 4}
SHORT = {"finetune_rounds": 2, "finetune_round_steps": 3, "finetune_batch_size": 8}
FEW = {"finetune_label_counts": (2,), "finetune_draws": 1, "tflite": "float32"}


def write_images(folder, count=60, size=16):
    """Noise, in the folder dark/ or bright/ by its brightness."""
    rng = np.random.default_rng(0)
    for number in range(count):
        label = number % 2
        path = folder / ("dark", "bright")[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = 90 * label + rng.integers(0, 160, (size, size, 3))
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs a command line in an empty folder; returns its status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(mode, **settings):
        words = [f"--mode={mode}"]
        for name, value in settings.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            words.append(f"--{name}={text}")
        values = flags.FlagValues()
        main.settings_flags.define(values)
        main.parse_flags(["main", *words], values)
        status = main.main(["main", *words], values)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def lines_of(path):
    return list(csv.DictReader(path.open()))


def png_of(pixels):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_one_command_trains_exports_and_finetunes(command, images, tmp_path):
    status, printed, errors = command(
        "train,export,finetune", data_dir=images, **SMALL, **SHORT, **FEW
    )
    assert (status, errors) == (0, "")
    stages = [line.partition(":")[0] for line in printed.splitlines()]
    assert stages.index("exported") < stages.index("finetune")
    version = tmp_path / "exported/photos-classifier/1"
    assert f"finetune: {version.relative_to(tmp_path)} (largest difference" in printed
    assert not verify.differences(version)

    results = tmp_path / "runs/photos/finetune"
    report = json.loads((results / "finetune.json").read_text())
    metadata = json.loads((version / "assets/metadata.json").read_text())
    assert metadata["classifier"]["quality"] == report["quality"]
    assert metadata["labels"] == ["bright", "dark"]
    assert metadata["encoder"] == "basic16x16" or metadata["encoder"]
    assert [reference["name"] for reference in report["comparison"]] == [
        "frozen_features",
        "random_weights",
    ]
    assert len(lines_of(results / "rounds.csv")) == len(report["training"]["rounds"])
    labels = lines_of(results / "labels.csv")
    assert [line["name"] for line in labels] == ["bright", "dark"]
    assert sum(int(line["images"]) for line in labels) == report["quality"]["images"]
    confusion = list(csv.reader((results / "confusion.csv").open()))
    assert confusion[0] == ["", "bright", "dark"]
    counts = [[int(cell) for cell in row[1:]] for row in confusion[1:]]
    assert counts == [list(row) for row in report["quality"]["confusion"]]
    assert {line["name"] for line in lines_of(results / "comparison.csv")} == {
        "frozen_features",
        "random_weights",
    }
    assert lines_of(results / "labels_curve.csv")[0]["labels"] == "2"
    page = (results / "finetune.html").read_text()
    for heading in ("Labels", "Confusion", "Calibration", "Comparison", "Training"):
        assert f"<h2>{heading}</h2>" in page
    card = (version / "README.md").read_text()
    assert "random weights" in card and "Expected calibration error" in card

    pixels = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8)
    loaded = tf.saved_model.load(str(version))
    expected = loaded((pixels / 255).astype(np.float32)).numpy()
    answer = loaded.signatures["serving_bytes"](image_bytes=tf.constant([*map(png_of, pixels)]))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    names = np.array([b"bright", b"dark"])
    np.testing.assert_array_equal(answer["classes"], names[expected.argmax(axis=1)])
    lite = tflite.runner(version / "classifier_float32.tflite")
    of_lite = lite((pixels / 255).astype(np.float32))["probabilities"]
    np.testing.assert_allclose(of_lite, expected, atol=1e-5)

"""--mode=finetune and `dim_tf.finetune`: from folders of classes to an exported classifier."""

import csv
import io
import json
import os
import shutil
import signal
from pathlib import Path

import command_line
import numpy as np
import PIL.Image
import pytest
import small_export
import tensorflow as tf

import dim_tf
from dim_tf.export import tflite, verify
from dim_tf.export.version_folders import published_versions
from dim_tf.finetuning import finetune as finetune_module
from dim_tf.system.errors import InputError

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
        return command_line.run(capsys, *words)

    return run


def lines_of(path):
    return list(csv.DictReader(path.open()))


def png_of(pixels):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.mark.slow
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
    assert metadata["training_data"]
    assert metadata["experiment"]["finetune_rounds"] == 2
    assert [reference["name"] for reference in report["comparison"]] == [
        "frozen_features",
        "random_weights",
    ]
    assert len(lines_of(results / "rounds.csv")) == len(report["training"]["rounds"])
    labels = lines_of(results / "labels.csv")
    assert [line["name"] for line in labels] == ["bright", "dark"]
    assert sum(int(line["images"]) for line in labels) == report["quality"]["images"]
    confusion = list(csv.reader((results / "confusion.csv").open()))
    assert confusion[0] == ["class", "bright", "dark"]
    counts = [[int(cell) for cell in row[1:]] for row in confusion[1:]]
    assert counts == [list(row) for row in report["quality"]["confusion"]]
    predictions = lines_of(results / "predictions.csv")
    assert len(predictions) == report["quality"]["images"]
    right = [line["label"] == line["predicted"] for line in predictions]
    assert np.mean(right) == pytest.approx(report["quality"]["accuracy"])
    first = predictions[0]
    assert first["id"].split("/")[0] == first["label"]
    (answer,) = (
        tf.saved_model.load(str(version))
        .signatures["serving_bytes"](
            image_bytes=tf.constant([(images / first["id"]).read_bytes()])
        )["probabilities"]
        .numpy()
    )
    assert answer.max() == pytest.approx(float(first["probability"]), abs=1e-5)
    assert {line["name"] for line in lines_of(results / "comparison.csv")} == {
        "frozen_features",
        "random_weights",
    }
    assert lines_of(results / "labels_curve.csv")[0]["labels"] == "2"
    page = (results / "finetune.html").read_text()
    for heading in ("Labels", "Confusion", "Calibration", "Comparison", "Training"):
        assert f"<h2>{heading}</h2>" in page
    card = (version / "README.md").read_text()
    assert "random weights" in card
    assert "Expected calibration error" in card

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


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of images of 16 pixels that says what it takes, as all of ours do."""
    path = tmp_path_factory.mktemp("exported") / "small/1"
    small_export.save(path)
    content = {"image_size": small_export.SIZE, "encoder": "ours", "method": "by nothing"}
    (path / "assets/metadata.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def small_images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("small_images") / "photos", size=8)


def finetuned(small_images, exported, folder, **settings):
    return dim_tf.finetune(
        small_images,
        exported,
        out=folder / "run",
        verbose=settings.pop("verbose", 0),
        export_dir=str(folder / "exported"),
        cache_dir=str(folder / "cache"),
        **{**FEW, "tflite": "none", **settings},
    )


@pytest.mark.slow
def test_the_example_of_the_reference_takes_images_of_the_encoders_size(
    small_images, exported, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(small_images / "dark", "photos/cat")
    shutil.copytree(small_images / "bright", "photos/dog")
    PIL.Image.new("RGB", (30, 20)).save("photos/cat/a.jpg")
    shutil.copytree(exported, "exported/photos/1")
    text = (Path(dim_tf.__file__).parents[1] / "docs/API.md").read_text(encoding="utf-8")
    example = text.split("## finetune")[1].split("```python\n")[1].split("```")[0]
    names = {}
    exec(example, names)
    version = names["path"]
    assert version == Path("exported/photos-classifier/1")
    np.testing.assert_allclose(np.sum(names["answer"]["probabilities"]), 1, atol=1e-5)
    assert names["answer"]["classes"].numpy()[0] in (b"cat", b"dog")
    metadata = json.loads((version / "assets/metadata.json").read_text())
    assert (metadata["image_size"], metadata["encoder"]) == (small_export.SIZE, "ours")
    assert metadata["experiment"]["encoder_version"] == "photos/1"
    printed = capsys.readouterr().out
    assert "is not compared with random weights: it does not name an encoder" in printed
    accuracy = metadata["classifier"]["quality"]["accuracy"]
    assert f"finetune: accuracy {100 * accuracy:.1f} % (" in printed
    assert not Path("runs/photos/finetune/checkpoints").exists()


def test_too_few_labels_are_refused_before_the_encoder_is_loaded(
    small_images, exported, tmp_path, monkeypatch
):
    from dim_tf.finetuning import source_encoder

    monkeypatch.setattr(source_encoder, "load", None)
    one = tmp_path / "one.csv"
    names = [path.name for path in (small_images / "dark").iterdir()]
    one.write_text("file,label\n" + "".join(f"{name},dark\n" for name in names))
    with pytest.raises(dim_tf.InputError, match="the column label has 1 different values"):
        finetuned(small_images / "dark", exported, tmp_path, labels=str(one))
    with pytest.raises(dim_tf.InputError, match="--labels=none, and a classifier is learned"):
        finetuned(small_images, exported, tmp_path, labels="none")
    run = dim_tf.Run(
        dim_tf.Experiment.of(
            name="a",
            dataset="folder",
            data_dir=str(small_images / "dark"),
            cache_dir=str(tmp_path / "cache"),
            run_dir=str(tmp_path / "run"),
        ),
        verbose=0,
    )
    with pytest.raises(dim_tf.InputError, match="these images have no labels, from which a classi"):
        run.check_labels()


def test_images_of_another_size_than_the_encoders_are_refused(small_images, exported, tmp_path):
    with pytest.raises(dim_tf.InputError, match="takes images of 8x8 pixels, the images"):
        finetuned(small_images, exported, tmp_path, image_size=16)
    assert not (tmp_path / "exported").exists()  # nothing was published


def test_a_command_that_was_stopped_goes_on(command, small_images, exported, tmp_path, monkeypatch):
    """By a signal at a step; test_finetune compares the weights."""
    settings = {**SHORT, **FEW, "tflite": "none", "encoder_path": exported}
    settings |= {"data_dir": small_images, "cache_dir": tmp_path / "cache"}

    class StopAt(finetune_module.CheckpointCallback):
        def on_train_batch_end(self, batch, logs=None):
            if self._counter.step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "CheckpointCallback", StopAt)
        status, printed, _ = command("finetune", run_dir="stopped", **settings)
    assert status == 143
    assert "stopped at step 4, which is saved in stopped/finetune" in printed
    assert not (tmp_path / "exported").exists()
    status, printed, _ = command("finetune", run_dir="stopped", **settings)
    assert status == 0
    assert "round 0, step 0" not in printed
    assert "is not compared with random weights: it does not name an encoder" in printed
    assert published_versions(tmp_path / "exported/photos-classifier") == [1]
    version = tmp_path / "exported/photos-classifier/1"
    metadata = json.loads((version / "assets/metadata.json").read_text())
    accuracy = metadata["classifier"]["quality"]["accuracy"]
    assert f"finetune: accuracy {100 * accuracy:.1f} % (" in printed
    steps = [line["step"] for line in lines_of(tmp_path / "stopped/finetune/rounds.csv")]
    metrics = (tmp_path / "stopped/finetune/metrics.jsonl").read_text().splitlines()
    trained = [json.loads(line)["step"] for line in metrics]
    assert trained == list(range(1, int(steps[-1]) + 1))
    assert len(steps) == 3


@pytest.mark.parametrize("setting", [{"quantized": True}, {"tflite_endpoints": True}])
def test_what_only_an_encoder_has_is_refused_from_python_too(tmp_path, setting):
    with pytest.raises(InputError, match=f"--{next(iter(setting))} is of an exported encoder"):
        dim_tf.finetune(tmp_path, tmp_path / "1", **setting)

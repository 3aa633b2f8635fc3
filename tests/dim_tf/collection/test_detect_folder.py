"""--mode=anomaly: from normal and other images to scores, files, a page and a detector."""

import base64
import contextlib
import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import small_export
import tensorflow as tf
from command_line import run_merged
from PIL import Image

import dim_tf
from dim_tf.collection.patches import detector_export
from dim_tf.export import publish, verify
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.json_files import read_json_with_checksum

NORMAL, GOOD, DEFECTS = 40, 6, 4
pytestmark = pytest.mark.usefixtures("maps_loaded_once")
SETTINGS = {"anomaly_false_alarms": 0.1, "anomaly_neighbourhood": 1}
FLAGS = ["--anomaly_false_alarms=0.1", "--anomaly_neighbourhood=1"]


def texture(rng):
    """Soft grey noise, uint8 [24, 16, 3]: taller than the encoder's square."""
    return rng.integers(110, 140, (24, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """MVTec AD's layout: train/good, test/good, test/scratch, ground_truth/scratch."""
    root = tmp_path_factory.mktemp("boards")
    rng = np.random.default_rng(0)
    for number in range(NORMAL):
        path = root / f"train/good/{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(texture(rng)).save(path)
    for number in range(GOOD + DEFECTS):
        kind = "good" if number < GOOD else "scratch"
        pixels, mask = texture(rng), np.zeros((24, 16), np.uint8)
        if kind == "scratch":
            row = 6 + 2 * (number - GOOD)
            mask[row : row + 4, 4:12] = 255
            pixels[mask > 0] = (255, 0, 0)
            path = root / f"ground_truth/scratch/{number:03d}_mask.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
        path = root / f"test/{kind}/{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """exported/boards/1 as --mode=export makes it."""
    folder = tmp_path_factory.mktemp("exported") / "boards"
    options = publish.ExportOptions(tflite=())
    info = publish.ModelCardInfo(license="CC0-1.0", training_data="drawn boards")
    return publish.publish(
        small_export.small_encoder(), folder, small_export.images(), info, options
    )[0]


@pytest.fixture(scope="module")
def found(boards, exported, maps_loaded_once, tmp_path_factory):
    """The anomalies of a call from Python, the folder of its run and exports, what it printed."""
    root = tmp_path_factory.mktemp("found")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        anomalies = dim_tf.anomaly(
            boards / "train/good",
            boards / "test",
            exported,
            out=root / "run",
            export_dir=root / "exported",
            card_note="Drawn.",
            **SETTINGS,
        )
    return anomalies, root, printed.getvalue()


def test_defects_score_higher_and_the_files_say_so(found):
    anomalies, root, _ = found
    lines = list(csv.DictReader((root / "run/anomaly/anomalies.csv").open()))
    assert {line["id"].split("/")[0] for line in lines[:DEFECTS]} == {"scratch"}
    assert len(lines) == GOOD + DEFECTS
    assert all(line["is_anomalous"] == "1" for line in lines[:DEFECTS])
    summary = read_json_with_checksum(root / "run/anomaly/anomalies.json")
    assert set(summary["files"]) == {"anomalies.csv", "anomalies.html", "defect_types.csv"}
    assert summary["images"] == GOOD + DEFECTS
    assert summary["metrics"]["image_auroc"] == anomalies.metrics.image_auroc == 1
    assert summary["metrics"]["detected"] == 1
    assert summary["metrics"]["pixel_auroc"] > 0.85
    assert summary["metrics"]["masked_images"] == GOOD + DEFECTS
    (scratch,) = summary["metrics"]["types"]
    assert (scratch["type"], scratch["images"], scratch["image_auroc"]) == ("scratch", DEFECTS, 1)
    (line,) = csv.DictReader((root / "run/anomaly/defect_types.csv").open())
    assert line == {
        "type": "scratch",
        "images": str(DEFECTS),
        "image_auroc": "1.0000",
        "interval_low": "1.0000",
        "interval_high": "1.0000",
        "detected": "1.0000",
    }
    assert summary["detector"]["false_alarms"] == 0.1
    assert summary["detector"]["calibration_images"] == round(0.3 * NORMAL)
    page = (root / "run/anomaly/anomalies.html").read_text()
    assert "is called anomalous with a probability of at most 10 %" in page
    assert "Image AUROC" in page
    assert '<th scope="row">scratch</th>' in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    files = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    assert len(files) == 2 * (GOOD + DEFECTS)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(files[0]))))
    assert shown.shape == (16, 16, 3)  # the centred square, at the file's own resolution


def check_lines(said):
    """The lines that tell the threshold, the rate of false alarms and the metrics."""
    assert re.search(
        r"anomaly: \d+ of 10 images score above [\d.e+-]+, chosen on 12 normal images, "
        r"so that a normal image is called anomalous with a probability of at most 10 % \(other "
        r"normal images might have given a threshold that calls [\d.]+ to [\d.]+ % of them so\)",
        said,
    )
    assert re.search(r"anomaly: image AUROC 1\.000 \(.*\), 100\.0% of the defects and", said)
    assert re.search(r"anomaly: pixel AUROC 0\.\d+, of 10 images", said)


def test_it_tells_the_rate_and_where_the_files_are(found):
    anomalies, root, said = found
    check_lines(said)
    assert f"exported: {anomalies.path} (largest difference from the detector " in said
    assert f"anomaly: {root / 'run/anomaly/anomalies.html'}" in said


def test_the_detector_is_published_as_an_encoder_is(found, exported, boards):
    anomalies, root, _ = found
    assert anomalies.path == root / "exported/good-detector/1"
    assert not verify.differences(anomalies.path)
    metadata = json.loads((anomalies.path / "assets/metadata.json").read_text())
    assert metadata["name"] == "good-detector"
    assert metadata["anomaly"]["encoder"] == "boards/1"
    assert metadata["anomaly"]["measured"]["image_auroc"] == 1
    assert set(metadata["signatures"]) == {"serving_default", "serving_bytes"}
    card = (anomalies.path / "README.md").read_text()
    rate = "a normal image is called anomalous with a probability of at most 10 %"
    assert rate in " ".join(card.split())
    assert "40 images of good" in card
    assert "**Licence**: CC0-1.0" in card
    assert "- **Note**: Drawn." in card
    assert "image AUROC **1.000**" in card
    assert "| scratch | 4 | 1.000 | 1.000 to 1.000 | 100.0% |" in card
    assert "good-detector" in (root / "exported/serving/models.config").read_text()
    detector = tf.saved_model.load(str(anomalies.path))
    content = (boards / "test" / anomalies.ids[-1]).read_bytes()
    outputs = detector.signatures["serving_bytes"](image_bytes=tf.constant([content]))
    np.testing.assert_allclose(outputs["score"][0], anomalies.alarms.scores[-1], rtol=1e-2)
    with pytest.raises(InputError, match="is a detector of anomalies, which gives scores"):
        dim_tf.load(anomalies.path)


def test_an_export_that_fails_leaves_the_version_before(found, exported, monkeypatch):
    anomalies, *_ = found
    before = verify.differences(anomalies.path)

    def save(_, path, *__):
        (path / "saved_model.pb").touch()
        return {}

    def fail(path, *_):
        assert (path / "saved_model.pb").exists()
        raise RunError("other scores")

    monkeypatch.setattr(detector_export.anomaly_export, "save", save)
    monkeypatch.setattr(detector_export.anomaly_export, "check", fail)
    folder = anomalies.path.parent
    with pytest.raises(RunError, match="other scores"):
        detector_export.publish_detector(
            anomalies.detector,
            exported,
            folder,
            small_export.images(),
            detector_export.DetectorInfo(),
        )
    assert [path.name for path in folder.iterdir()] == ["1"]
    assert verify.differences(anomalies.path) == before


@pytest.mark.slow
def test_the_command_uses_the_newest_export_and_tells_the_rate(
    boards, exported, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exported, "exported/boards/1")
    command = (
        "--mode=anomaly",
        "--dataset=folder",
        "--name=boards",
        f"--data_dir={boards}/train",
        *FLAGS,
    )
    status, said = run_merged(capsys, *command, f"--anomaly_input={boards}/test")
    assert status == 0, said
    check_lines(said)
    assert "exported: exported/boards-detector/1" in said
    embedded = sorted(path.name for path in (tmp_path / "runs/boards").glob("local-maps-*"))
    assert len(embedded) == 2
    # Once more without folders that tell: nothing is embedded again, and there is no AUROC.
    shutil.copytree(boards / "test/scratch", "new")
    shutil.copytree(boards / "test/scratch", "newer")
    status, said = run_merged(capsys, *command, "--anomaly_input=new,newer", "--keep_versions=1")
    assert status == 0, said
    assert "anomaly: no AUROC: new,newer has no folder named good, normal or ok" in said
    assert "anomaly: 8 of 8 images score above" in said
    assert not (tmp_path / "runs/boards/anomaly/defect_types.csv").exists()
    assert "embed: 1 file is there; going on after it" in said
    assert len(list((tmp_path / "runs/boards").glob("local-maps-*"))) == 3
    assert (tmp_path / "exported/boards-detector/2/SHA256SUMS").is_file()
    assert "Not measured" in (tmp_path / "exported/boards-detector/2/README.md").read_text()


def test_too_few_normal_images_name_the_flags(boards, exported, tmp_path):
    with pytest.raises(
        InputError,
        match=r"40 normal images, of which 12 \(--anomaly_calibration=0.3\) .* at least 19 for "
        r"--anomaly_false_alarms=0.05; give at least 62 normal images",
    ):
        dim_tf.anomaly(
            boards / "train/good", boards / "test", exported, out=tmp_path / "run", verbose=0
        )
    assert len(list((tmp_path / "run").glob("local-maps-*"))) == 1  # those to score: not embedded


def test_a_folder_that_cannot_be_made_is_refused_before_a_detector_is_published(
    boards, exported, tmp_path
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/anomaly").touch()
    with pytest.raises(InputError, match=r"anomaly cannot be made .*; give another --run_dir"):
        dim_tf.anomaly(
            boards / "train/good",
            boards / "test",
            exported,
            out=tmp_path / "run",
            export_dir=tmp_path / "exported",
            verbose=0,
            **SETTINGS,
        )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["anomaly", "run"]


def test_near_copies_of_normal_images_do_not_lower_the_threshold(
    boards, exported, tmp_path, monkeypatch
):
    """Each image twice: files that differ where the encoder does not look."""
    (tmp_path / "twice").mkdir()
    for path in sorted((boards / "train/good").iterdir()):
        shutil.copy(path, tmp_path / "twice")
        pixels = np.array(Image.open(path))
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(tmp_path / f"twice/again_{path.name}")
    monkeypatch.setattr("dim_tf.stages.anomaly.publish_detector", lambda *_: (tmp_path, 0.0))

    def scores(**settings):
        anomalies = dim_tf.anomaly(
            tmp_path / "twice",
            boards / "test/good",
            exported,
            out=tmp_path / "run",
            verbose=0,
            anomaly_bank=1.0,
            **SETTINGS,
            **settings,
        )
        return anomalies.detector.threshold.normal_scores

    apart, together = scores(group_by="none"), scores()
    assert len(together) == len(apart) == 24
    assert (apart < 0.1 * together.min()).sum() >= 8  # those with their copy in the bank


def test_several_folders_are_scored_together(boards, exported, tmp_path, monkeypatch):
    monkeypatch.setattr("dim_tf.stages.anomaly.publish_detector", lambda *_: (tmp_path, 0.0))
    anomalies = dim_tf.anomaly(
        boards / "train/good",
        [boards / "test/scratch", boards / "test/good"],
        exported,
        out=tmp_path / "run",
        verbose=0,
        **SETTINGS,
    )
    assert sorted({name.split("/")[0] for name in anomalies.ids}) == ["good", "scratch"]
    assert [(entry.name, entry.images) for entry in anomalies.types] == [("scratch", DEFECTS)]
    assert anomalies.masked_images == GOOD + DEFECTS


def test_folders_to_score_are_paths_apart_from_each_other(boards, exported):
    for images, message in (
        ([1, 2], "images=1; expected one path"),
        (["a,b", "c"], r"images=\['a,b', 'c'\]: the commas in their paths cannot be told"),
        ([boards / "test", boards / "test/good"], "--anomaly_input: .*good is within .*test; give"),
    ):
        with pytest.raises(InputError, match=message):
            dim_tf.anomaly(boards / "train/good", images, exported, verbose=0)


def test_a_box_may_be_an_array(boards, exported):
    query, settings = boards / "test/good/000.png", {"search_by": "patch", "verbose": 0}
    with pytest.raises(InputError, match=r"--query_box=0,0,99,1 .* is not in the image"):
        dim_tf.search(
            boards / "test", query, exported, query_box=np.array([0, 0, 99, 1]), **settings
        )


def test_masks_of_another_size_are_refused(boards, exported, tmp_path):
    shutil.copytree(boards / "test", tmp_path / "test")
    mask = tmp_path / "ground_truth/scratch/006_mask.png"
    mask.parent.mkdir(parents=True)
    Image.new("L", (16, 16), 255).save(mask)
    with pytest.raises(InputError, match=r"has 16 x 16 pixels, its image 24 x 16; give a mask"):
        dim_tf.anomaly(
            boards / "train/good",
            tmp_path / "test",
            exported,
            out=tmp_path / "run",
            verbose=0,
            **SETTINGS,
        )


def test_what_is_wrong_is_refused_before_any_work(boards, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copytree(exported, tmp_path / "without/1")
    metadata = tmp_path / "without/1/assets/metadata.json"
    content = json.loads(metadata.read_text())
    del content["signatures"]["endpoints"]["outputs"]["local"]
    metadata.write_text(json.dumps(content))
    good, test = boards / "train/good", boards / "test"
    cases = (
        (good, "", exported, "--mode=anomaly needs --anomaly_input"),
        (good, "nowhere", exported, "--anomaly_input=nowhere cannot be read (No such file"),
        (good, test / "good/000.png", exported, "is a file; give a folder"),
        (good, "empty", exported, "--anomaly_input=empty holds no image"),
        ("empty", test, exported, "--data_dir=empty holds no image"),
        (test, test / "good", exported, "have images in common"),
        (good, boards / "train", exported, "have images in common"),
        (test, good, exported, f"--data_dir={test} holds good, and scratch beside it"),
        (boards, "empty", exported, "holds ground_truth, whose masks would be taken for images"),
        (good, test, "without/1", "--mode=anomaly needs local maps, and the model in without/1"),
        (good, test, "", "holds no exported encoder; run --mode=train,export first"),
    )
    monkeypatch.setattr("dim_tf.stages.anomaly.anomaly", None)  # no stage begins
    for normal, scored, encoder, message in cases:
        status, said = run_merged(
            capsys,
            "--mode=anomaly",
            f"--data_dir={normal}",
            f"--anomaly_input={scored}",
            f"--encoder_path={encoder}",
        )
        assert status == 2, said
        assert message in said
    status, said = run_merged(capsys, f"--data_dir={good}", f"--anomaly_input={test}")
    assert status == 2
    assert "--anomaly_input is of --mode=anomaly, and --mode=train,evaluate,export does not" in said

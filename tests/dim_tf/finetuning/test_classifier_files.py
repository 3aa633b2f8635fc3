"""A report as CSV files, finetune.json and a page."""

import csv
import io

import numpy as np
import pytest

from dim_tf.finetuning import classifier_files
from dim_tf.finetuning.calibration import Temperature
from dim_tf.finetuning.comparison import LabelsPoint, ReferenceAccuracy
from dim_tf.finetuning.quality import measure
from dim_tf.finetuning.report import report
from dim_tf.system.json_files import read_json_with_checksum

NAMES = ("dark", "<b>bright</b>", "none")
LABELS = np.array([0, 0, 0, 1, 1, 0])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
    + [[0.7, 0.2, 0.1]]
)


def content(quality, **more):
    temperature = Temperature(1.25, 0.7, 0.6, 12, at_limit=True)
    return report(
        train_images=40,
        c=0.5,
        class_weights="none",
        temperature=temperature,
        quality=quality,
        **more,
    )


@pytest.fixture(scope="module")
def measured():
    reference = ReferenceAccuracy("random_weights", 0.5, (0.2, 0.8), 0.1667, (-0.1, 0.4))
    point = LabelsPoint(2, 4, 0.6, (0.3, 0.9), 0.5, 0.7, 3)
    quality = measure(PROBABILITIES, LABELS, NAMES, None)
    return content(quality, comparison=(reference,), labels_curve=(point,))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_each_table_has_a_file(measured):
    tables = classifier_files.tables(measured)
    assert set(tables) == set(classifier_files.CSV_FILES) - {"rounds.csv", "predictions.csv"}
    labels = rows_of(tables["labels.csv"])
    assert [(line["name"], line["images"]) for line in labels] == [
        ("dark", "4"),
        ("<b>bright</b>", "2"),
        ("none", "0"),
    ]
    assert float(labels[0]["accuracy"]) == 0.75
    assert float(labels[0]["interval_low"]) < 0.75 < float(labels[0]["interval_high"])
    assert labels[2]["accuracy"] == labels[2]["interval_low"] == ""  # there is no image of it
    confusion = list(csv.reader(io.StringIO(tables["confusion.csv"])))
    assert confusion == [["class", *NAMES], ["dark", "3", "1", "0"], [NAMES[1], "1", "1", "0"]] + [
        ["none", "0", "0", "0"]
    ]
    (reference,) = rows_of(tables["comparison.csv"])
    assert (reference["name"], reference["gain_interval_low"]) == ("random_weights", "-0.1")
    assert rows_of(tables["labels_curve.csv"])[0]["draws"] == "3"


def test_predictions_name_each_image_its_label_and_the_likeliest_one():
    text = classifier_files.predictions_csv(
        [f"{n}.png" for n in range(6)], PROBABILITIES, LABELS, NAMES
    )
    lines = rows_of(text)
    assert [line["id"] for line in lines] == [f"{n}.png" for n in range(6)]
    assert [line["predicted"] for line in lines][:4] == ["dark", "dark", NAMES[1], NAMES[1]]
    assert (lines[2]["label"], float(lines[2]["probability"])) == ("dark", 0.6)


def test_predictions_of_attributes_have_a_line_each():
    probabilities = np.array([[0.7, 0.2], [0.5, 0.9]])
    text = classifier_files.predictions_csv(
        "ab", probabilities, np.array([[1, 1], [0, 1]]), ("x", "y")
    )
    assert [tuple(line.values()) for line in rows_of(text)] == [
        ("a", "x", "1", "1", "0.700000"),
        ("a", "y", "1", "0", "0.200000"),
        ("b", "x", "0", "0", "0.500000"),
        ("b", "y", "1", "1", "0.900000"),
    ]


def test_the_page_shows_all_and_escapes_names(measured, tmp_path):
    classifier_files.write_results(measured, tmp_path, "photos", "6 test images.")
    page = (tmp_path / "finetune.html").read_text()
    for words in ("66.7 %", "random weights", "+16.7", "−10.0 to +40.0", "temperature reached its"):
        assert words in page
    assert "<b>bright" not in page
    assert "&lt;b&gt;bright" in page
    assert "http" not in page.replace("http-equiv", "")
    summary = read_json_with_checksum(tmp_path / "finetune.json")
    assert set(summary["files"]) == {*classifier_files.tables(measured), "finetune.html"}
    assert summary["quality"]["accuracy"] == pytest.approx(4 / 6)


def test_files_of_a_measured_classifier_do_not_stay_beside_one_that_is_not(measured, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    classifier_files.write_results(measured, tmp_path, "photos", "", "id\n")
    assert (tmp_path / "predictions.csv").read_text() == "id\n"
    classifier_files.write_results(content(None), tmp_path, "photos", "")
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.jsonl",
        "finetune.json",
        "finetune.html",
    }
    assert "Not measured: no test image has a label." in (tmp_path / "finetune.html").read_text()


def test_attributes_have_no_confusion_and_a_recall(tmp_path):
    attributes = np.stack([LABELS, 1 - LABELS], axis=1)
    quality = measure(np.full((6, 2), 0.6), attributes, ("a", "b"), None)
    assert "confusion.csv" not in classifier_files.tables(content(quality))
    classifier_files.write_results(content(quality), tmp_path, "photos", "")
    page = (tmp_path / "finetune.html").read_text()
    assert "<h2>Confusion</h2>" not in page
    assert '<th scope="col">recall</th>' in page


def test_what_the_command_line_says(measured):
    accuracy, reference = classifier_files.describe(measured)
    assert accuracy.startswith("accuracy 66.7 % (")
    assert "on 6 test images, calibration error" in accuracy
    assert reference == (
        "the same head on random weights: 50.0 %; gain +16.7 points (−10.0 to +40.0)"
    )

"""The results of fine-tuning as files: CSV, finetune.json, and one page that loads nothing."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.report.charts import Run, training_curves
from dim_tf.evaluation.report.confusion_matrix import confusion_matrix
from dim_tf.evaluation.report.formatting import format_value
from dim_tf.evaluation.report.page import render_page
from dim_tf.evaluation.report.rendering import render
from dim_tf.export import classifier_tables
from dim_tf.export.classifier_tables import interval, percent
from dim_tf.system.csv_text import csv_text
from dim_tf.system.result_files import write_result_files

SUMMARY_FILE, PAGE_FILE = "finetune.json", "finetune.html"
PREDICTIONS_FILE = "predictions.csv"
CSV_FILES = (
    PREDICTIONS_FILE,
    "rounds.csv",
    "labels.csv",
    "confusion.csv",
    "calibration.csv",
    "comparison.csv",
    "labels_curve.csv",
)
_INTERVAL = ("low", "high")  # of 95 %


def write_results(
    report: Mapping[str, Any], folder: Path, title: str, data: str, predictions: str = ""
) -> None:
    """Writes the files of a report into a folder, by `system.result_files.write_result_files`.

    Args:
        report: Result of `finetuning.report`.
        folder: An existing folder. Files with the names of this module are replaced, no others.
        title: Title of the page.
        data: A sentence that describes the images.
        predictions: Text from `predictions_csv`; empty: there are no test images.

    Raises:
        RunError: A file cannot be written.
    """
    texts = {**tables(report), PAGE_FILE: _render_page(report, title, data)}
    if predictions:
        texts[PREDICTIONS_FILE] = predictions
    write_result_files(folder, texts, SUMMARY_FILE, report, CSV_FILES)


def describe(report: Mapping[str, Any]) -> list[str]:
    """The results as lines for the command line: the accuracy, and that of each reference.

    Args:
        report: Result of `finetuning.report`.
    """
    quality = report.get("quality")
    if not quality:
        return ["not measured: no test image has a label"]
    compared = classifier_tables.comparison(report)
    lines = [
        f"accuracy {percent(quality['accuracy'])} ({interval(quality['interval'])}) on "
        f"{quality['images']:,} test images, calibration error "
        f"{percent(quality['calibration']['error'])}"
    ]
    if compared is None:
        return lines
    lines += [
        f"the same head on {name}: {accuracy}; gain {gain} points ({gain_interval})"
        for name, accuracy, _, gain, gain_interval in compared.rows
    ]
    return lines


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the CSV files, by name; those that do not apply are left out.

    Args:
        report: Result of `finetuning.report`.
    """
    texts = {}
    if rounds := report["training"]["rounds"]:
        texts["rounds.csv"] = _csv(rounds)
    quality = report.get("quality")
    if not quality:
        return texts
    texts["labels.csv"] = _csv(quality["labels"])
    texts["calibration.csv"] = _csv(quality["calibration"]["bins"])
    if len(quality["confusion"]):
        names = [label["name"] for label in quality["labels"]]
        rows = zip(names, quality["confusion"], strict=True)
        texts["confusion.csv"] = csv_text(["class", *names], ([name, *row] for name, row in rows))
    for name in ("comparison", "labels_curve"):
        if report.get(name):
            texts[f"{name}.csv"] = _csv(report[name])
    return texts


def predictions_csv(
    ids: Sequence[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    label_names: Sequence[str],
) -> str:
    """The text of predictions.csv: a line for each test image, or for each of its attributes.

    For classes it has id, label, predicted, and the probability of the predicted class. For
    attributes it has id, attribute, label and predicted (0 or 1), and the probability that it is
    present.

    Args:
        ids: The ids of M images.
        probabilities: Floats [M, labels].
        labels: int [M], classes; or int [M, A], attributes 0 or 1.
        label_names: Names of the classes or attributes.
    """
    if labels.ndim == 2:
        return csv_text(
            ("id", "attribute", "label", "predicted", "probability"),
            (
                (ids[row], name, labels[row, n], int(value > 0.5), f"{value:.6f}")
                for row, values in enumerate(probabilities)
                for n, (name, value) in enumerate(zip(label_names, values, strict=True))
            ),
        )
    return csv_text(
        ("id", "label", "predicted", "probability"),
        (
            (ids[row], label_names[labels[row]], label_names[best], f"{values[best]:.6f}")
            for row, (values, best) in enumerate(
                zip(probabilities, probabilities.argmax(axis=1), strict=True)
            )
        ),
    )


def _csv(entries: Sequence[Mapping[str, Any]]) -> str:
    """One line for each entry; an interval becomes two columns."""
    lines = [dict(_columns(entry)) for entry in entries]
    return csv_text(lines[0], (line.values() for line in lines))


def _columns(entry):
    for name, value in entry.items():
        if name.endswith("interval"):
            for end, bound in zip(_INTERVAL, value or ("", ""), strict=True):
                yield f"{name}_{end}", bound
        else:
            yield name, "" if value is None else value


def _render_page(report, title, data):
    quality = report.get("quality")
    summary = ". ".join(line[:1].upper() + line[1:] for line in describe(report)[:1]) + "."
    sections = {"Training": _training(report), "Data": Markup("<p>{}</p>").format(data)}
    if quality:
        sections = {
            "Labels": _measured(classifier_tables.labels(quality)),
            "Confusion": _confusion(quality),
            "Calibration": _calibration(quality),
            "Comparison": _measured(classifier_tables.comparison(report)),
            "Number of labels": _measured(classifier_tables.labels_curve(report)),
            **sections,
        }
    warning = ""
    if report["temperature"]["at_limit"]:
        warning = (
            "The temperature reached its limit: the validation images are too few, and the "
            "probabilities may be too sure or not sure enough."
        )
    return render_page(title, "Classifier", summary, sections, warning, script="")


def _confusion(quality):
    if not len(quality["confusion"]):
        return Markup()
    names = tuple(label["name"] for label in quality["labels"])
    counts = np.array(quality["confusion"])
    return confusion_matrix(ConfusionMatrix("classifier on the test images", counts, names))


def _calibration(quality):
    rows = [
        [
            f"{entry['low']:.2f} to {entry['high']:.2f}",
            f"{entry['count']:,}",
            percent(entry["confidence"]),
            percent(entry["accuracy"]),
        ]
        for entry in quality["calibration"]["bins"]
        if entry["count"]
    ]
    note = (
        f"Expected calibration error: {percent(quality['calibration']['error'])}, the mean "
        "distance of confidence and accuracy."
    )
    return _table("Calibration", ["predictions", "mean confidence", "accuracy"], rows, note)


def _training(report):
    training, temperature = report["training"], report["temperature"]
    rows = [
        ["training images", f"{training['train_images']:,}"],
        ["validation images", f"{temperature['images']:,}"],
        ["C of the logistic regression", format_value(training["c"])],
        ["class weights", training["class_weights"]],
        ["temperature", format_value(temperature["value"])],
    ]
    if not training["rounds"]:
        return _table("Training", [], rows, "The head alone was trained.")
    best = training["best_round"]
    note = (
        f"Round {best} had the least validation loss, and its weights are the classifier's."
        if best
        else "Training the encoder did not lower the validation loss; the classifier is the head "
        "on frozen features."
    )
    rounds = [
        {"step": entry["step"], "loss": entry["loss"], "accuracy": entry["accuracy"]}
        for entry in training["rounds"]
    ]
    return _table("Training", [], rows, note) + training_curves([Run("", rounds)])


def _measured(table: classifier_tables.Table | None) -> Markup:
    """A table of measured values; empty if there is none."""
    if table is None:
        return Markup()
    name, *columns = table.columns
    return _table(name, columns, table.rows, table.note)


def _table(name: str, columns: list[str], rows: Iterable[Sequence[str]], note: str) -> Markup:
    return render("data_table.html", name=name, columns=columns, rows=rows, note=note)

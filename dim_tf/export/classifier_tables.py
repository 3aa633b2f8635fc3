"""Tables of a classifier's measurements: for its card and for the page of --mode=finetune."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_INTERVAL = "95 % interval"


class Table(NamedTuple):
    """A table whose cells are text.

    Attributes:
        columns: The titles of the columns; the first column names the rows.
        rows: The cells of each row, one for each column.
        note: What the columns mean.
    """

    columns: list[str]
    rows: list[list[str]]
    note: str


def labels(quality: Mapping[str, Any]) -> Table:
    """Accuracy and precision of each class or attribute.

    Args:
        quality: The quality from the report of a classifier. Attributes have no confusion matrix.
    """
    are_attributes = not len(quality["confusion"])
    columns = ["label", "test images", "accuracy", _INTERVAL, "precision"]
    rows = [
        [
            label["name"],
            f"{label['images']:,}",
            percent(label["accuracy"]),
            interval(label["interval"]),
            percent(label["precision"]),
            *([percent(label["recall"])] if are_attributes else []),
        ]
        for label in quality["labels"]
    ]
    note = (
        "Accuracy: correct answers, present or absent."
        if are_attributes
        else "Accuracy of a class: the fraction of its images that are predicted as it. "
        "Precision: the fraction of the images predicted as it that belong to it."
    )
    return Table(columns + ["recall"] * are_attributes, rows, note)


def comparison(report: Mapping[str, Any]) -> Table | None:
    """The same head on other features; None if it was compared with none."""
    columns = [
        "the same head on",
        "accuracy",
        _INTERVAL,
        "gain, points",
        f"{_INTERVAL} of the gain",
    ]
    rows = [
        [
            reference["name"].replace("_", " "),
            percent(reference["accuracy"]),
            interval(reference["interval"]),
            points(reference["gain"]),
            " to ".join(points(end) for end in reference["gain_interval"]),
        ]
        for reference in report.get("comparison", ())
    ]
    note = "The gain is that of the classifier, on the same labels."
    return Table(columns, rows, note) if rows else None


def labels_curve(report: Mapping[str, Any]) -> Table | None:
    """The head on frozen features, by the number of labels; None if it was not measured."""
    quality = report.get("quality") or {"confusion": ()}
    are_attributes = not len(quality["confusion"])
    of_kind = "labelled images" if are_attributes else "labels a class"
    columns = [of_kind, "images", "accuracy", _INTERVAL, "worst to best draw", "draws"]
    rows = [
        [
            f"{point['labels']:,}",
            f"{point['images']:,}",
            percent(point["accuracy"]),
            interval(point["interval"]),
            f"{percent(point['lowest'])} to {percent(point['highest'])}",
            str(point["draws"]),
        ]
        for point in report.get("labels_curve", ())
    ]
    note = "The head on frozen features, trained on this many labels."
    return Table(columns, rows, note) if rows else None


def percent(fraction: float | None) -> str:
    """A fraction in percent; None: a dash."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def interval(ends: tuple[float, float] | None) -> str:
    """An interval of fractions in percent; None: a dash."""
    return "–" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def points(difference: float) -> str:
    """A difference of fractions in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")

"""How figures and names are written."""

import json
from collections.abc import Sequence
from html import escape
from numbers import Real
from typing import Any, TypeGuard

from dim_tf.evaluation.measure import MetricInfo

PLAIN = MetricInfo("", None, "")

_WORDS = {"knn": "kNN", "tsne": "t-SNE"} | {
    word: word.upper()
    for word in ("auc", "mi", "mine", "mlp", "ms", "ndm", "nmi", "pca", "ssim", "svm")
}
_LABELS = {
    "random_encoder": "random weights",
    "pixels": "raw pixels",
    "ci95": "95% interval",
}


# Beyond any float32, and small enough to be squared: what a page can reckon with.
LARGEST = 1e100


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number, and one that a page can show."""
    if not isinstance(value, Real):
        return False
    size: Any = abs(value)
    return bool(size <= LARGEST)  # which NaN is not


def number(value: float) -> str:
    """Four digits; an exponent only where a person would write one too."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def amount(kind: MetricInfo, value: Any, percent: str = "%") -> str:
    """A value as its kind is read: shares in percent with one decimal, AUC with three."""
    if not is_number(value):
        return "–"
    if kind.unit == "auc":
        return f"{value:.3f}"
    if kind.unit == "fraction":
        return f"{100 * value:.1f}{percent}".replace("-", "−")
    return number(value)


def spread(kind: MetricInfo, uncertainty: dict[str, Any]) -> str:
    """' ± std'; empty where there is none, or one repetition only."""
    shown = is_number(uncertainty.get("std")) and (uncertainty.get("n") or 0) > 1
    return f" ± {amount(kind, uncertainty['std'], percent='')}" if shown else ""


def interval(uncertainty: dict[str, Any]) -> tuple[float, float] | None:
    """The 95% interval; None where there is none."""
    ends = uncertainty.get("ci95")
    if not ends or not all(is_number(end) for end in ends):
        return None
    return ends[0], ends[1]


def doubt(kind: MetricInfo, uncertainty: dict[str, Any]) -> str:
    """What is known of a value's error, in words."""
    notes = [f"n = {uncertainty['n']}"] if uncertainty.get("n") else []
    if ends := interval(uncertainty):
        notes.append(f"95% interval {amount(kind, ends[0])} to {amount(kind, ends[1])}")
    return ", ".join(notes)


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, with two or three digits."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 100:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.1f} s"


def label(name: str) -> str:
    """A name of the program's in words, escaped."""
    words = [_WORDS.get(word, word) for word in name.split("_")]
    return escape(_LABELS.get(name, " ".join(words)))


def listed(entries: Sequence[str]) -> str:
    """Texts as a sentence lists them: a, b and c."""
    *first, last = entries or [""]
    return f"{', '.join(first)} and {last}" if first else last


def capitalised(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]


def plain(value: Any) -> str:
    """A setting as text, escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return escape(text)

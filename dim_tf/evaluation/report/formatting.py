"""Values and names as text. Imports only the registry, so that any stage can use it."""

import json
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeGuard

from dim_tf.registry import REFERENCE_TITLES

_WORDS = {"knn": "kNN", "tsne": "t-SNE", "ci95": "95% interval"} | {
    word: word.upper()
    for word in ("auc", "auroc", "mi", "mine", "mlp", "ms", "ndm", "nmi", "pca", "ssim", "svm")
}

# Larger than any float32, and its square is finite.
LARGEST = 1e100


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite real number of at most `LARGEST`."""
    if not isinstance(value, Real):
        return False
    size: Any = abs(value)
    return bool(size <= LARGEST)  # false for NaN


def format_number(value: float) -> str:
    """Four significant digits; an exponent only for very large and very small numbers."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def format_value(value: Any, unit: str = "", percent: str = "%") -> str:
    """A metric's value in its unit.

    Args:
        value: The value; anything but a finite number becomes a dash.
        unit: As in `MetricInfo.unit`: fractions are shown in percent with one decimal, AUCs with
            three decimals, all others by `format_number`.
        percent: Text that follows a percentage.
    """
    if not is_number(value):
        return "–"
    if unit == "auc":
        return f"{value:.3f}"
    if unit == "fraction":
        return f"{100 * value:.1f}{percent}".replace("-", "−")
    return format_number(value)


def format_std(uncertainty: dict[str, Any], unit: str = "") -> str:
    """' ± std'; empty without a standard deviation, or with only one repetition."""
    known = is_number(uncertainty.get("std")) and (uncertainty.get("n") or 0) > 1
    return f" ± {format_value(uncertainty['std'], unit, percent='')}" if known else ""


def confidence_interval(uncertainty: dict[str, Any]) -> tuple[float, float] | None:
    """The 95% interval; None if it is unknown."""
    ends = uncertainty.get("ci95")
    if not ends or not all(is_number(end) for end in ends):
        return None
    return ends[0], ends[1]


def format_interval(interval: tuple[float, float] | None, unit: str = "") -> str:
    """The 95% interval as text; empty for None."""
    if interval is None:
        return ""
    low, high = (format_value(end, unit) for end in interval)
    return f"95% interval {low} to {high}"


def format_uncertainty(uncertainty: dict[str, Any], unit: str = "") -> str:
    """The number of repetitions and the 95% interval, each if it is known."""
    repetitions = f"n = {uncertainty['n']}" if uncertainty.get("n") else ""
    interval = format_interval(confidence_interval(uncertainty), unit)
    return ", ".join(filter(None, [repetitions, interval]))


def format_duration(seconds: float) -> str:
    """Hours, minutes or seconds, with one decimal."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 100:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.1f} s"


def label(name: str) -> str:
    """A name with underscores as words: "mlp_probe" becomes "MLP probe"."""
    return " ".join(_WORDS.get(word, word) for word in name.split("_"))


def reference_title(name: str) -> str:
    """A reference's name as words; a name from --reference stays as it was given."""
    return REFERENCE_TITLES.get(name, name)


def join_with_and(items: Sequence[str]) -> str:
    """The items in the form of a sentence: "a, b and c"."""
    *first, last = items or [""]
    return f"{', '.join(first)} and {last}" if first else last


def capitalize_first(text: str) -> str:
    """`text` with a capital first letter; other letters do not change."""
    return text[:1].upper() + text[1:]


def format_setting(value: Any) -> str:
    """A setting as text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

"""The file evaluation.json."""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dim_tf.evaluation.measure import Result
from dim_tf.system.files import atomic_write_text
from dim_tf.system.json_files import json_with_checksum

FILE = "evaluation.json"
PREVIOUS_FILE = "evaluation.previous.json"
FEATURE = "feature"  # the entry on the feature that the encoder returns


def nest(results: Iterable[Result]) -> dict[str, Any]:
    """{"metric": {"endpoint": value}, "uncertainty": {"metric": {"endpoint": {...}}}}."""
    values: dict[str, Any] = {}
    uncertainties: dict[str, Any] = {}
    for result in results:
        values.setdefault(result.metric, {})[result.endpoint] = result.value
        if result.uncertainty:
            uncertainty = dataclasses.asdict(result.uncertainty)
            uncertainties.setdefault(result.metric, {})[result.endpoint] = uncertainty
    return {**values, "uncertainty": uncertainties}


def write(folder: Path, content: dict[str, Any]) -> None:
    """Writes evaluation.json, whole or not at all; numbers that are not finite become null.

    Args:
        folder: The run folder.
        content: Content of the file.

    Raises:
        OSError: It cannot be written.
    """
    atomic_write_text(folder / FILE, json_with_checksum(_finite(content)))


def keep_previous(folder: Path, content: dict[str, Any]) -> list[str]:
    """Copies evaluation.json to evaluation.previous.json if metrics would otherwise be lost.

    An existing copy stays if it has metrics that evaluation.json lacks.

    Args:
        folder: The run folder.
        content: The content that is to be written.

    Returns:
        The metrics that `content` lacks.

    Raises:
        OSError: The copy cannot be written.
    """
    present = _metrics_in(folder / FILE)
    lost = [name for name in present if name not in content["measures"]]
    if lost and set(_metrics_in(folder / PREVIOUS_FILE)) <= set(present):
        text = (folder / FILE).read_text(encoding="utf-8")
        atomic_write_text(folder / PREVIOUS_FILE, text)
    return lost


def _metrics_in(path):
    """The names of the metrics in a file; empty if it is missing or damaged."""
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["measures"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

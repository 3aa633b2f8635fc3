"""The file evaluation.json."""

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dim_tf.evaluation.measure import Result
from dim_tf.system.files import atomic_write_text
from dim_tf.system.json_files import json_with_checksum

FILE = "evaluation.json"


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
    """Writes evaluation.json, whole or not at all; what is not finite becomes null.

    Args:
        folder: of the run.
        content: of the file.

    Raises:
        OSError: it cannot be written.
    """
    atomic_write_text(folder / FILE, json_with_checksum(_finite(content)))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

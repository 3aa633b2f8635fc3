"""Measures an encoder and the floors beside it; evaluation.json."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from dim_tf.data.splits import Splits
from dim_tf.evaluation import representation
from dim_tf.evaluation.measure import Measure, Result
from dim_tf.evaluation.neighbours import NearestNeighbours, panels
from dim_tf.evaluation.pictures import NeighbourPanel
from dim_tf.evaluation.probes import Probe
from dim_tf.evaluation.representation import Representation
from dim_tf.files import replace_text


def evaluate(
    encoder: keras.Model,
    random_encoder: keras.Model,
    splits: Splits,
    probe_epochs: int,
    probe_seeds: int,
    probe_learning_rate: float,
) -> tuple[dict[str, Any], list[NeighbourPanel]]:
    """Measures an encoder, and as floors one with random weights and the raw pixels.

    Args:
        encoder: the trained one.
        random_encoder: of the same architecture, not trained.
        splits: the data.
        probe_epochs: of each probe.
        probe_seeds: probes averaged for each figure of the encoder; the floors have one each.
        probe_learning_rate: of each probe.

    Returns:
        What goes into evaluation.json, and the pictures of nearest neighbours.
    """
    features = representation.of_encoder(encoder, splits)
    measured = measures(features, probe_epochs, probe_seeds, probe_learning_rate)
    results = list(_announced("encoder", measured))
    evaluation: dict[str, Any] = _nested(results)
    pictures = panels(features)
    protocol = {"data": splits.note}
    for measure in measured:
        protocol |= measure.protocol
    protocol["floors"] = (
        "the same measures of the encoder with random weights and of the raw pixels, one seed each"
    )
    protocol["ci95"] = "sampling error of a proportion measured on this many test images"
    if splits.multi_label:
        evaluation["attributes"] = {
            r.endpoint: r.attributes
            for r in results
            if r.measure == "linear_probe_auc" and r.endpoint == "global"
        }
    del features, measured  # CelebA's conv features take 5.3 GB

    floors = {}
    for name, made in (
        ("random_encoder", lambda: representation.of_encoder(random_encoder, splits)),
        ("pixels", lambda: representation.of_pixels(splits)),
    ):
        floor = measures(made(), probe_epochs, 1, probe_learning_rate)
        floors[name] = _nested(_announced(name, floor))
        floors[name].pop("uncertainty", None)
    return {**evaluation, "floors": floors, "protocol": protocol}, pictures


def measures(
    features: Representation, epochs: int, seeds: int, learning_rate: float
) -> list[Measure]:
    """All measures of one representation; the numbers are the probes'."""
    return [
        NearestNeighbours(features),
        Probe(features, False, epochs, seeds, learning_rate),
        Probe(features, True, epochs, seeds, learning_rate),
    ]


def _announced(whose: str, measured: list[Measure]) -> Iterable[Result]:
    for measure in measured:
        for result in measure.run():
            print(f"{whose:>14}  {result.measure:<32} {result.endpoint:<8} {result.value:.4f}")
            yield result


def _nested(results: Iterable[Result]) -> dict[str, Any]:
    """{"measure": {"endpoint": value}, "uncertainty": {"measure": {"endpoint": {...}}}}."""
    values: dict[str, Any] = {}
    uncertainty: dict[str, Any] = {}
    for result in results:
        values.setdefault(result.measure, {})[result.endpoint] = result.value
        if result.uncertainty:
            spread = dataclasses.asdict(result.uncertainty)
            uncertainty.setdefault(result.measure, {})[result.endpoint] = spread
    return {**values, "uncertainty": uncertainty}


def write(folder: Path, evaluation: dict[str, Any]) -> None:
    """Writes evaluation.json, whole or not at all; a NaN becomes null."""
    text = json.dumps(_without_nan(evaluation), indent=2, allow_nan=False)
    replace_text(folder / "evaluation.json", text + "\n")


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float) and value != value:
        return None
    return value

"""The metrics of an evaluation as a Markdown table, for the model card."""

from typing import Any

from dim_tf import markdown
from dim_tf.evaluation.measure import Kind
from dim_tf.evaluation.report import values

_FLOORS = {
    "random_encoder": "random weights",
    "start_weights": "start weights",
    "pixels": "raw pixels",
}


def render(evaluation: dict[str, Any]) -> str:
    """The table and notes on it, Markdown.

    Args:
        evaluation: the content of evaluation.json.

    Returns:
        A row for each metric and endpoint, with its interval and the same metric of each floor;
        empty where nothing was measured.
    """
    if not evaluation:
        return ""
    floors = {title: evaluation.get("floors", {}).get(name) for name, title in _FLOORS.items()}
    floors = {title: floor for title, floor in floors.items() if floor}
    uncertainty = evaluation.get("uncertainty", {})
    rows = []
    for measure, description in evaluation.get("measures", {}).items():
        kind = Kind(**description)
        for endpoint, value in evaluation.get(measure, {}).items():
            of_floors = [
                _floor_value(floor.get(measure, {}), endpoint) for floor in floors.values()
            ]
            cells = [
                markdown.escape(measure),
                markdown.escape(endpoint),
                _format_value(kind, value),
                _format_interval(kind, (uncertainty.get(measure) or {}).get(endpoint) or {}),
                *(_format_value(kind, of_floor) for of_floor in of_floors),
            ]
            rows.append(cells)
    header = ["measure", "endpoint", "this encoder", "95 % interval", *floors]
    return f"{markdown.table(header, rows)}\n\n{_notes(evaluation, floors)}"


def _notes(evaluation, floors):
    protocol = evaluation.get("protocol", {})
    sentences = []
    if count := protocol.get("test_images"):
        sentences.append(f"Measured on {markdown.escape(str(count))} test images.")
    if any(evaluation.get("uncertainty", {}).values()):
        sentences.append("Interval: how far another test set of this size might move the value.")
    if _FLOORS["start_weights"] in floors:
        weights = markdown.escape(str(protocol.get("start_weights") or "weights from elsewhere"))
        sentences.append(f"Start weights: training began with {weights}.")
    if pooled := protocol.get("pooled"):
        sentences.append(f"Large endpoints were averaged: {markdown.escape(str(pooled))}.")
    return "\n".join([*sentences, "Protocol: `assets/metadata.json`."])


def _floor_value(by_endpoint, endpoint):
    """Raw pixels are one endpoint, which is shown beside each of the encoder's."""
    return by_endpoint.get(endpoint, by_endpoint.get("pixels"))


def _format_value(kind: Kind, value: float | None) -> str:
    return "" if value is None else values.amount(kind, value, " %")


def _format_interval(kind: Kind, uncertainty: dict[str, Any]) -> str:
    ends = values.interval(uncertainty)
    return f"{values.amount(kind, ends[0], '')} to {_format_value(kind, ends[1])}" if ends else ""

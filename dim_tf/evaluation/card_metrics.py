"""The metrics of an evaluation as a Markdown table, for the model card."""

from typing import Any

from dim_tf import markdown
from dim_tf.evaluation.report.formatting import (
    confidence_interval,
    format_value,
    reference_title,
)
from dim_tf.registry import REFERENCE_TITLES


def render(evaluation: dict[str, Any]) -> str:
    """The verdict, the table and notes on it, as Markdown.

    Args:
        evaluation: The content of evaluation.json.

    Returns:
        The sentences of the verdict, if there is one; and a row for each metric and endpoint, with
        its interval and the same metric of each reference. Empty if nothing was measured.
    """
    if not evaluation:
        return ""
    measured = evaluation.get("references", {})
    names = [*REFERENCE_TITLES, *(name for name in measured if name not in REFERENCE_TITLES)]
    references = {name: measured[name] for name in names if measured.get(name)}
    uncertainty = evaluation.get("uncertainty", {})
    rows = []
    for measure, description in evaluation.get("measures", {}).items():
        unit = description["unit"]
        for endpoint, value in evaluation.get(measure, {}).items():
            of_references = [
                _reference_value(reference.get(measure, {}), endpoint)
                for reference in references.values()
            ]
            cells = [
                markdown.escape(measure),
                markdown.escape(endpoint),
                _format_value(unit, value),
                _format_interval(unit, (uncertainty.get(measure) or {}).get(endpoint) or {}),
                *(_format_value(unit, of_reference) for of_reference in of_references),
            ]
            rows.append(cells)
    header = ["measure", "endpoint", "this encoder", "95 % interval"]
    header += [markdown.escape(reference_title(name)) for name in references]
    table = f"{markdown.table(header, rows)}\n\n{_notes(evaluation, references)}"
    return "\n\n".join([*_verdict(evaluation), table])


def _verdict(evaluation):
    """The verdict's sentences, the first in bold; none if there is no verdict."""
    verdict = evaluation.get("verdict")
    if not verdict:
        return []
    sentences = [f"**{markdown.escape(verdict['sentence'])}.**"]
    if probe := verdict.get("probe"):
        sentences.append(f"{markdown.escape(probe['sentence'])}.")
    return sentences


def _notes(evaluation, references):
    protocol = evaluation.get("protocol", {})
    sentences = []
    if count := protocol.get("test_images"):
        sentences.append(f"Measured on {markdown.escape(str(count))} test images.")
    if any(evaluation.get("uncertainty", {}).values()):
        sentences.append("Interval: how far another test set of this size might move the value.")
    if "start_weights" in references:
        weights = markdown.escape(str(protocol.get("start_weights") or "weights from elsewhere"))
        sentences.append(f"Start weights: training began with {weights}.")
    if pooled := protocol.get("pooled"):
        sentences.append(f"Large endpoints were averaged: {markdown.escape(str(pooled))}.")
    return "\n".join([*sentences, "Protocol: `assets/metadata.json`."])


def _reference_value(by_endpoint, endpoint):
    """The value of a reference. Raw pixels are one endpoint, shown beside each of the encoder's."""
    return by_endpoint.get(endpoint, by_endpoint.get("pixels"))


def _format_value(unit: str, value: float | None) -> str:
    return "" if value is None else format_value(value, unit, " %")


def _format_interval(unit: str, uncertainty: dict[str, Any]) -> str:
    ends = confidence_interval(uncertainty)
    return f"{format_value(ends[0], unit, '')} to {_format_value(unit, ends[1])}" if ends else ""

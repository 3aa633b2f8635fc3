"""`write`: what a run reached, as one HTML page without scripts that loads nothing.

Pictures are data URIs, curves inline SVG; the page's own Content-Security-Policy forbids the rest.
"""

import base64
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from dim_tf.evaluation.pictures import NeighbourPanel, SampleGrid
from dim_tf.files import replace_text

CURVE_POINTS = 300

_NOT_MEASURES = ("uncertainty", "floors", "attributes", "protocol")
_SHARES = {"probe", "svm", "knn", "attribute", "accuracy", "majority"}
# What is summed up, by words of a measure's name: attributes by AUC, which the majority answer
# cannot reach, else classes by a probe.
_HEADLINES = ({"auc"}, {"probe", "svm"}, {"accuracy"}, {"knn"})
_NO_HEADLINE = {"majority"}
_ACRONYMS = {"auc", "mi", "mine", "mlp", "ms", "ndm", "ssim", "svm"}
_LABELS = {
    "knn": "neighbour vote (k-NN)",
    "attribute_majority": "majority answer, no model",
    "random_encoder": "random weights",
    "pixels": "raw pixels",
    "ci95": "95% interval",
}


def write(
    path: Path,
    *,
    experiment: dict[str, Any],
    evaluation: dict[str, Any],
    metrics: list[dict[str, Any]],
    panels: Sequence[NeighbourPanel | SampleGrid],
    versions: dict[str, str],
) -> None:
    """Writes the report; a write that fails leaves the file that was there.

    Args:
        path: of the page.
        experiment: the settings.
        evaluation: {measure: {endpoint: value}}, as in evaluation.json, and beside the measures
            `uncertainty`, `floors`, `attributes` and `protocol`, each of which may be missing.
        metrics: the lines of metrics.jsonl, in their order.
        panels: the pictures.
        versions: of the libraries.

    Raises:
        ValueError: pictures that are not uint8 with 1 or 3 channels.
    """
    sections = {
        "Measures": _measure_table(evaluation),
        "Training": _curves(metrics),
        "Attributes": _attribute_tables(evaluation.get("attributes", {})),
        "Nearest neighbours": "".join(
            _panel(panel) for panel in panels if isinstance(panel, NeighbourPanel)
        ),
        "Samples": "".join(_grid(panel) for panel in panels if isinstance(panel, SampleGrid)),
        "Protocol": _definitions(evaluation.get("protocol", {})),
        "Settings": _settings(experiment),
        "Versions": _definitions(versions, named=escape),
        "Use the encoder": "" if _generates(experiment) else _loading(experiment),
    }
    if _generates(experiment):
        del sections["Measures"]
    body = _header(experiment, evaluation)
    body += "".join(f"<section><h2>{t}</h2>\n{c}</section>\n" for t, c in sections.items() if c)
    page = _PAGE.format(title=escape(experiment["name"]), style=_STYLE, body=body)
    replace_text(path, page)


def _generates(experiment: dict[str, Any]) -> bool:
    return experiment.get("model") == "generator"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_a(measure: str, kinds: set[str]) -> bool:
    return not kinds.isdisjoint(measure.split("_"))


def _number(value: float) -> str:
    """Four digits; an exponent only where a person would write one too."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def _amount(measure: str, value: Any, percent: str = "%") -> str:
    """A value of the measure: AUC with three decimals, other shares in percent with one."""
    if not _is_number(value):
        return "–"
    if _is_a(measure, {"auc"}):
        return f"{value:.3f}"
    if _is_a(measure, _SHARES) and 0 <= value <= 1:
        return f"{100 * value:.1f}{percent}"
    return _number(value)


def _spread(measure: str, uncertainty: dict[str, Any]) -> str:
    """' ± std'; empty where there is none, or one repetition only."""
    shown = _is_number(uncertainty.get("std")) and (uncertainty.get("n") or 0) > 1
    return f" ± {_amount(measure, uncertainty['std'], percent='')}" if shown else ""


def _label(name: str) -> str:
    words = [word.upper() if word in _ACRONYMS else word for word in name.split("_")]
    return escape(_LABELS.get(name, " ".join(words)))


def _heading(name: str) -> str:
    return _label(name)[:1].upper() + _label(name)[1:]


def _measures(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {m: v for m, v in results.items() if m not in _NOT_MEASURES and isinstance(v, dict)}


def _floors(evaluation: dict[str, Any], measure: str) -> dict[str, dict[str, Any]]:
    """Floor → its values of the measure, for the floors that have it."""
    floors = evaluation.get("floors", {})
    return {name: values[measure] for name, values in floors.items() if values.get(measure)}


def _header(experiment: dict[str, Any], evaluation: dict[str, Any]) -> str:
    kinds = [experiment.get(key) for key in ("model", "dataset", "encoder", "estimator")]
    kicker = escape(" · ".join(str(kind) for kind in kinds if kind))
    title = f'<p class="kicker">{kicker}</p><h1>{escape(experiment["name"])}</h1>'
    if _generates(experiment):
        summary = "Images made of samples of the prior, by prior matching alone."
    else:
        summary = _summary(evaluation)
    return f'<header>{title}\n<p class="summary">{summary}</p></header>'


def _summary(evaluation: dict[str, Any]) -> str:
    """One sentence: the best probe of the global feature, and the floors of the same measure."""
    measure = _headline(evaluation)
    if measure is None:
        return "No accuracy of the global feature was measured."
    value = _amount(measure, evaluation[measure]["global"])
    uncertainty = evaluation.get("uncertainty", {}).get(measure, {})
    value += _spread(measure, uncertainty.get("global", {}))
    floors = [
        f"{_amount(measure, floor)} with {_label(name)}"
        for name, values in _floors(evaluation, measure).items()
        if _is_number(floor := values.get("global", values.get("pixels")))
    ]
    beside = f"beside {' and '.join(floors)}" if floors else "no floor was measured beside it"
    what = f"The {_label(measure)} on the global feature"
    return f"{what} reaches <strong>{value}</strong>, {beside}."


def _headline(evaluation: dict[str, Any]) -> str | None:
    """The measure to sum up: the best probe, else the best of the next kind."""
    values = {m: v["global"] for m, v in _measures(evaluation).items() if "global" in v}
    for kind in _HEADLINES:
        found = [
            m
            for m in values
            if _is_a(m, kind) and not _is_a(m, _NO_HEADLINE) and _is_number(values[m])
        ]
        if found:
            return max(found, key=values.__getitem__)
    return None


def _measure_table(evaluation: dict[str, Any]) -> str:
    """Measure × endpoint, and under each measure its floors."""
    results = [_measures(r) for r in (evaluation, *evaluation.get("floors", {}).values())]
    names = dict.fromkeys(m for measures in results for m in measures)
    if not names:
        return "<p>This run was not evaluated.</p>"
    found = dict.fromkeys(e for measures in results for v in measures.values() for e in v)
    first = [e for e in ("conv", "fc", "global") if e in found]
    columns = first + [e for e in found if e not in (*first, "pixels")]
    bodies = "".join(_measure_rows(evaluation, name, columns) for name in names)
    best = '<span class="best">Bold on colour</span>: the best of a measure, its floors included.'
    note = f"Columns: the encoder's endpoints. {best} ±: the standard deviation over repetitions."
    return _table("Measures", map(escape, columns), bodies) + f'<p class="note">{note}</p>'


def _measure_rows(evaluation: dict[str, Any], measure: str, columns: list[str]) -> str:
    trained = _measures(evaluation).get(measure, {})
    floors = _floors(evaluation, measure)
    values = [v for row in (trained, *floors.values()) for v in row.values() if _is_number(v)]
    # Which way is better is known of accuracies alone; the majority answer is no achievement.
    ranked = _is_a(measure, {"auc", *_SHARES}) and not _is_a(measure, {"majority"})
    best = max(values) if ranked and len(values) > 1 else None
    uncertainty = evaluation.get("uncertainty", {}).get(measure, {})
    cells = [_cell(measure, trained.get(e), best, uncertainty.get(e, {})) for e in columns]
    rows = _row(_heading(measure), cells)
    for name, floor in floors.items():
        cells = [_cell(measure, floor.get(e), best, {}) for e in columns]
        if "pixels" in floor:  # no endpoint of an encoder
            cells = [_cell(measure, floor["pixels"], best, {}, span=max(len(columns), 1))]
        rows += _row(_label(name), cells, kind="floor")
    return f"<tbody>{rows}</tbody>"


def _attribute_tables(attributes: dict[str, dict[str, dict[str, Any]]]) -> str:
    """For each endpoint the attributes, the best told first, those without an AUC last."""
    tables = ""
    for endpoint, rows in attributes.items():
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        body = ""
        for name, row in sorted(rows.items(), key=lambda i: -np.nan_to_num(i[1].get("auc") or 0)):
            cells = [_cell(f"attribute_{c}", row.get(c), None, {}) for c in columns]
            body += _row(_label(name), cells)
        title = f"{len(rows)} attributes told from {escape(endpoint)}, sorted by AUC"
        table = _table(title, map(_heading, columns), body)
        tables += f"<details><summary>{title}</summary>{table}</details>"
    return tables


def _cell(measure: str, value: Any, best: Any, uncertainty: dict[str, Any], span: int = 1) -> str:
    if not _is_number(value):
        why = "not measured" if value is None else "not a finite number"
        return f'<td colspan="{span}" title="{why}">–</td>'
    notes = [f"n = {uncertainty['n']}"] if uncertainty.get("n") else []
    interval = " to ".join(_amount(measure, end) for end in uncertainty.get("ci95") or ())
    notes += [f"95% interval {interval}"] if interval else []
    spread = _spread(measure, uncertainty)
    text = _amount(measure, value) + (f"<small>{spread}</small>" if spread else "")
    text = f'<strong class="best">{text}</strong>' if value == best else text
    text = f'<span class="all">{text}</span>' if span > 1 else text
    return f'<td colspan="{span}" title="{escape(", ".join(notes))}">{text}</td>'


def _row(heading: str, cells: Iterable[str], kind: str = "") -> str:
    return f'<tr class="{kind}"><th scope="row">{heading}</th>{"".join(cells)}</tr>'


def _table(title: str, columns: Iterable[str], body: str) -> str:
    """A table that scrolls in its own box where the page is narrow."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return (
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0"><table>'
        f"<thead><tr><td></td>{head}</tr></thead>{body}</table></div>"
    )


def aggregate(values: np.ndarray, limit: int = CURVE_POINTS) -> np.ndarray:
    """At most `limit` points: the means of equal stretches, then the last value itself."""
    if len(values) <= limit:
        return values
    stretches = np.array_split(values[:-1], limit - 1)
    return np.array([*(stretch.mean() for stretch in stretches), values[-1]])


def _curves(metrics: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for line in metrics for name in line))
    terms = [n for n in names if n not in ("step", "epoch", "loss", "images_per_second")]
    figures = "".join(_curve(name, metrics) for name in ("loss", *terms, "images_per_second"))
    if not figures:
        return "<p>No training metrics were recorded.</p>"
    size = math.ceil((len(metrics) - 1) / (CURVE_POINTS - 1))
    line = f"means of up to {size} recorded steps" if size > 1 else "recorded steps"
    note = f"Line: {line}. Dot and number: the last recorded step."
    return f'<div class="curves">{figures}</div><p class="note">{note}</p>'


def _curve(name: str, metrics: list[dict[str, Any]]) -> str:
    """A small chart; values that are not finite are left out and counted."""
    recorded = [(line["step"], line[name]) for line in metrics if line.get(name) is not None]
    points = np.array([point for point in recorded if _is_number(point[1])], dtype=float)
    if not recorded:
        return ""
    left_out = len(recorded) - len(points)
    notes = [f"{left_out} values are not finite"] if left_out else []
    chart = ""
    if len(points):
        steps, values = (aggregate(column) for column in points.T)
        low, high = _span(values)
        ends = [end for end in (values.min(), values.max()) if not low <= end <= high]
        notes += [f"beyond the axis: {_number(end)}" for end in ends]
        chart = _chart(name, steps, values, low, high)
    caption = f"<figcaption><b>{_heading(name)}</b> {_amount('', recorded[-1][1])}</figcaption>"
    return f"<figure>{caption}{chart}<small>{'; '.join(notes)}</small></figure>"


def _span(values: np.ndarray) -> tuple[float, float]:
    """Ends of the y axis: the whole curve, but for extremes that would flatten the rest."""
    low, high = np.percentile(values, [3, 97])
    margin = high - low
    low = min(max(values.min(), low - margin), values[-1])
    high = max(min(values.max(), high + margin), values[-1])
    return float(low), float(high)


def _chart(name: str, steps: np.ndarray, values: np.ndarray, low: float, high: float) -> str:
    left, top, width, height = 46, 8, 262, 128
    pad = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    first, last = steps[0], steps[-1]
    x = width * (steps - first) / max(last - first, 1)
    y = height * (high + pad - values) / (high - low + 2 * pad)
    axes = f'<text x="{left - 6}" y="{top + height + 17}" class="end">step</text>'
    for tick, text in _ticks(low - pad, high + pad):
        at = top + height * (high + pad - tick) / (high - low + 2 * pad)
        axes += f'<path d="M{left} {at:.1f}h{width}"/>'
        axes += f'<text x="{left - 6}" y="{at + 4:.1f}" class="end">{text}</text>'
    for tick, text in _ticks(first, last, least=1):
        at = left + width * (tick - first) / max(last - first, 1)
        axes += f'<text x="{at:.1f}" y="{top + height + 17}">{text}</text>'
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    label = f"{_label(name)}, steps {first:,.0f} to {last:,.0f}, last {_number(values[-1])}"
    # The inner svg cuts off what lies outside of the axes.
    return (
        f'<svg viewBox="0 0 320 158" role="img" aria-label="{label}">{axes}'
        f'<svg x="{left}" y="{top}" width="{width}" height="{height}"><polyline points="{line}"/>'
        f'</svg><circle cx="{left + x[-1]:.1f}" cy="{top + y[-1]:.1f}" r="3.5"/></svg>'
    )


def _ticks(low: float, high: float, least: float = 0) -> Iterator[tuple[float, str]]:
    """Some round numbers from `low` to `high`, at least `least` apart, with their text."""
    rough = max((high - low) / 4, least, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
    for index in range(math.ceil(low / gap), math.floor(high / gap) + 1):
        text = f"{index * gap:,.{decimals}f}"
        yield index * gap, (text if len(text) < 9 else f"{index * gap:.3g}").replace("-", "−")


def _panel(panel: NeighbourPanel) -> str:
    """Rows of a query and its neighbours."""
    note = "Left: the query; then its neighbours, the nearest first."
    same = panel.same_label
    if same is not None:
        note += f" ✓ same label ({same.sum()} of these {same.size}), ✗ another label."
    rows = ""
    for q, (query, neighbours) in enumerate(zip(panel.queries, panel.neighbours, strict=True)):
        rows += _picture(query, f"query {q + 1}", "query")
        for rank, neighbour in enumerate(neighbours):
            kind = "" if same is None else "same" if same[q, rank] else "other"
            text = f"neighbour {rank + 1} of query {q + 1}" + (f", {kind} label" if kind else "")
            rows += _picture(neighbour, text, kind)
    pictures = f'<div class="pictures" style="--k:{panel.neighbours.shape[1]}">{rows}</div>'
    return f'<h3>{escape(panel.title)}</h3>{pictures}<p class="note">{note}</p>'


def _grid(panel: SampleGrid) -> str:
    """One picture of all images, as many in a row as there are rows or more."""
    across = math.ceil(len(panel.images) ** 0.5)
    _check_picture(panel.images[0])
    height, width, channels = panel.images.shape[1:]
    down = math.ceil(len(panel.images) / across)
    cells = np.full((down * across, height, width, channels), 255, np.uint8)
    cells[: len(panel.images)] = panel.images
    cells = np.pad(cells, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=255)
    rows = cells.reshape(down, across, height + 1, width + 1, channels).swapaxes(1, 2)
    sheet = rows.reshape(down * (height + 1), across * (width + 1), channels)
    text = f"{len(panel.images)} {escape(panel.title)}"
    image = f'<img class="sheet" src="{_source(sheet)}" alt="{text}">'
    return f"<h3>{escape(panel.title)}</h3>{image}"


def _check_picture(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        given = f"picture of shape {image.shape} and type {image.dtype}"
        raise ValueError(f"{given}; expected uint8 [H, W, C] with C = 1 or 3")


def _picture(image: np.ndarray, text: str, kind: str) -> str:
    _check_picture(image)
    return f'<span class="{kind}"><img src="{_source(image)}" alt="{text}"></span>'


def _source(image: np.ndarray) -> str:
    """The picture as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return escape(text)


def _definitions(entries: dict[str, Any], named: Callable[[str], str] = _heading) -> str:
    rows = (f"<dt>{named(name)}</dt><dd>{_plain(value)}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(rows)}</dl>" if entries else ""


def _settings(experiment: dict[str, Any]) -> str:
    rows = ""
    for name, value in experiment.items():
        rows += _row(escape(name), [f'<td class="text">{_plain(value)}</td>'])
    table = _table("Settings", [], rows)
    return f"<details><summary>All {len(experiment)} settings</summary>{table}</details>"


def _loading(experiment: dict[str, Any]) -> str:
    folder = PurePosixPath(experiment["export_dir"], experiment["name"])
    load = f"tf.saved_model.load({json.dumps(str(folder / '1'), ensure_ascii=False)})"
    call = "encoder(images)  # images: float32 [N, H, W, C] in [0, 1]"
    code = f"import tensorflow as tf\n\nencoder = {load}\nfeatures = {call}"
    where = f"<p>Each export is a numbered folder in <code>{escape(str(folder))}</code>.</p>"
    return f'{where}<pre tabindex="0"><code>{escape(code)}</code></pre>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>{style}</style></head>
<body><main>
{body}
</main></body></html>
"""

_STYLE = """
:root { --page: #fff; --ink: #1b1f24; --soft: #5a636e; --line: #dfe3e8; --wash: #e1ecf9;
  --accent: #1d5fb4; --same: #1a7f4b; --other: #c2382c; }
@media screen and (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e4e7eb;
  --soft: #9aa4af; --line: #2e343b; --wash: #1f3450; --accent: #7db3f5; --same: #4cc38a;
  --other: #ff7b6e; } }
* { box-sizing: border-box; } figure { margin: 0; } figure, pre { break-inside: avoid; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 1040px; margin: auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 2rem); }
h1 { margin: 0; font-size: clamp(1.8rem, 5vw, 2.75rem); line-height: 1.15; }
h2 { margin: 3.25rem 0 1rem; font-size: 1.3rem; } h3 { margin: 1.75rem 0 .75rem; font-size: 1rem; }
.kicker, .summary strong, summary { color: var(--accent); } .kicker { margin: 0 0 .4rem; }
.summary { margin: 1rem 0 0; max-width: 46rem; font-size: clamp(1.1rem, 2.6vw, 1.3rem); }
.note, small { color: var(--soft); font-size: .85rem; }
.scroll, pre, .pictures { overflow-x: auto; } thead th { color: var(--soft); font-size: .85rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .55rem .4rem .55rem clamp(.4rem, 2vw, .8rem); text-align: right; }
tbody { border-top: 1px solid var(--line); } th, td { white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; font-weight: 600; }
.kicker, dt { font-weight: 600; } th { overflow-wrap: normal; } td:empty { padding: 0; }
tr.floor > * { padding-block: 0 .55rem; color: var(--soft); font-size: .9rem; font-weight: 400; }
tr.floor > th { padding-left: 1rem; white-space: nowrap; }
.all { display: flex; gap: .75rem; align-items: center; }
.all::before, .all::after { flex: 1; border-top: 1px solid var(--line); content: ""; }
td .best { margin-right: -.4em; } .best { display: inline-block; padding: 0 .4em;
  border-radius: .3em; background: var(--wash); color: var(--accent); font-weight: 700; }
summary { cursor: pointer; } details table { width: auto; margin-top: .5rem; font-size: .9rem; }
details tbody > tr > * { padding-block: .2rem; } td.text { text-align: left; white-space: normal; }
.curves { display: grid; gap: 1.75rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); }
figcaption { display: flex; justify-content: space-between; font-size: .9rem; }
svg { display: block; width: 100%; font-size: 11px; } path { stroke: var(--line); }
svg text { fill: var(--soft); text-anchor: middle; } svg .end { text-anchor: end; }
polyline { fill: none; stroke: var(--accent); stroke-width: 1.75; } circle { fill: var(--accent); }
.pictures { display: grid; gap: clamp(3px, 1vw, 8px);
  grid-template-columns: minmax(44px, 80px) repeat(var(--k), minmax(34px, 72px)); }
.pictures span { position: relative; border: 3px solid var(--line); border-radius: 4px; }
.sheet { width: min(100%, 40rem); image-rendering: pixelated; }
.pictures img { display: block; width: 100%; image-rendering: pixelated; }
.pictures .query { border-color: var(--ink); margin-right: 8px; }
.pictures .same { border-color: var(--same); } .pictures .other { border: 3px dashed var(--other); }
.same::after, .other::after { position: absolute; right: 0; bottom: 0; padding: 0 .3em;
  background: var(--same); color: var(--page); font: 700 clamp(7px, 1.2vw, 11px)/1.4 system-ui; }
.same::after { content: "✓"; } .other::after { content: "✗"; background: var(--other); }
dl { display: grid; grid-template-columns: fit-content(38%) 1fr; gap: .5rem 1.5rem; margin: 0; }
dd { margin: 0; } code { font: .9em ui-monospace, Consolas, monospace; }
pre { padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }
@media (max-width: 600px) { td small { display: block; } th { white-space: normal; } }
@media print { details::details-content { content-visibility: visible; } .scroll, .pictures {
  overflow: visible; } h2, h3 { break-after: avoid; } * { print-color-adjust: exact; } }
"""

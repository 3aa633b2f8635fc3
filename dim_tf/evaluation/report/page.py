"""`write`: what a run reached, as one HTML page that loads nothing.

Pictures are data URIs, curves inline SVG. The page's own Content-Security-Policy forbids the rest:
the one script, which enlarges maps, runs because its hash is listed.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from dim_tf.evaluation.pictures import (
    ConfusionMatrix,
    Histogram,
    NeighbourPanel,
    Picture,
    Projection,
    Reconstructions,
    SampleGrid,
)
from dim_tf.evaluation.report import charts, figures, maps, marks, tables
from dim_tf.evaluation.report.results import Results
from dim_tf.system.files import atomic_write_text

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def write(
    path: Path,
    *,
    experiment: dict[str, Any],
    evaluation: dict[str, Any],
    metrics: list[dict[str, Any]],
    panels: Sequence[Picture],
    versions: dict[str, str],
) -> None:
    """Writes the report; a write that fails leaves the file that was there.

    Args:
        path: of the page.
        experiment: the settings.
        evaluation: {measure: {endpoint: value}}, as in evaluation.json, and beside the measures
            `measures` (how each is read), `uncertainty`, `floors`, `attributes`, `protocol` and
            `cost`, each of which may be missing.
        metrics: the lines of metrics.jsonl, in their order.
        panels: the pictures.
        versions: of the libraries.

    Raises:
        ValueError: pictures that are not uint8 with 1 or 3 channels, points that are not finite.
    """
    results = Results(evaluation)
    generates = experiment.get("model") == "generator"
    measured = "" if generates else tables.measures(results)
    pictures = _pictures(panels)
    neighbours = "Nearest neighbours"
    sections = {
        **({neighbours: pictures[neighbours]} if results.lacks_labels else {}),
        "Results": marks.of_run(experiment, results) + tables.beside_the_paper(experiment, results),
        "All measures": measured,
        "Training": _training(experiment, metrics),
        **pictures,
        "Attributes": tables.attribute_tables(evaluation.get("attributes", {})),
        "Protocol": tables.definitions(evaluation.get("protocol", {})),
        "Cost": tables.costs(evaluation.get("cost", {})),
        "Settings": tables.settings(experiment),
        "Versions": tables.definitions(versions, named=escape),
        "Use the encoder": "" if generates else _loading(experiment),
    }
    summary = (
        "Images made of samples of the prior, by prior matching alone."
        if generates
        else results.summary()
    )
    write_page(path, experiment["name"], kicker(experiment), summary, sections)


def write_page(path: Path, title: str, kicker: str, summary: str, sections: dict[str, str]) -> None:
    """Writes a page of this style.

    Args:
        path: of the page.
        title: as text.
        kicker: the line above the title, as text.
        summary: one sentence, as HTML.
        sections: HTML by heading; empty ones are left out.
    """
    shown = {heading: content for heading, content in sections.items() if content}
    links = "".join(f'<a href="#{_anchor(heading)}">{heading}</a>' for heading in shown)
    body = "".join(
        f'<section id="{_anchor(heading)}"><h2>{heading}</h2>\n{content}</section>\n'
        for heading, content in shown.items()
    )
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    page = _PAGE.format(
        title=escape(title),
        kicker=escape(kicker),
        summary=summary,
        links=links,
        body=body,
        style=_STYLE,
        script=_SCRIPT,
        digest=digest,
    )
    atomic_write_text(path, page)


def kicker(experiment: dict[str, Any]) -> str:
    """What was trained, in a few words."""
    if experiment.get("encoder_path"):
        kinds = ["an encoder from elsewhere", experiment.get("dataset")]
    else:
        keys = ["model", "dataset", "encoder"]
        keys += ["estimator"] if experiment.get("model", "dim") == "dim" else []
        kinds = [experiment.get(key) for key in keys]
    return " · ".join(str(kind) for kind in kinds if kind)


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _training(experiment: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    if experiment.get("encoder_path"):
        return ""
    return charts.curves([charts.Run("", metrics)])


def _pictures(panels: Sequence[Picture]) -> dict[str, str]:
    """The sections of each kind of pictures."""

    def drawn(kind: type, draw: Callable[[Any], str]) -> str:
        return "".join(draw(panel) for panel in panels if isinstance(panel, kind))

    def side_by_side(content: str) -> str:
        return f'<div class="panels">{content}</div>' if content else ""

    histograms = drawn(Histogram, charts.histogram)
    projections = [panel for panel in panels if isinstance(panel, Projection)]
    return {
        "Reconstructions": drawn(Reconstructions, figures.reconstructions),
        "Nearest neighbours": side_by_side(drawn(NeighbourPanel, figures.neighbours)),
        "Map of features": side_by_side(maps.projections(projections)),
        "Confusions": side_by_side(drawn(ConfusionMatrix, figures.confusions)),
        "Distributions": f'<div class="histograms">{histograms}</div>' if histograms else "",
        "Samples": drawn(SampleGrid, figures.samples),
    }


def _loading(experiment: dict[str, Any]) -> str:
    """How to use the encoder from Python, the newest version of it."""
    call = "features = encoder(images)  # images: float32 [N, H, W, C] in [0, 1]"
    if path := experiment.get("encoder_path"):
        quoted = json.dumps(path, ensure_ascii=False)
        keras_file = path.endswith(".keras")
        head = "import keras" if keras_file else "import tensorflow as tf"
        load = "keras.saving.load_model" if keras_file else "tf.saved_model.load"
        return _code(f"{head}\n\nencoder = {load}({quoted})  # as it was measured")
    folder = str(PurePosixPath(experiment["export_dir"], experiment["name"]))
    quoted = json.dumps(folder, ensure_ascii=False)
    newest = (
        f'versions = Path({quoted}).glob("[0-9]*")\n'
        "newest = max(versions, key=lambda version: int(version.name))\n"
    )
    code = (
        f"from pathlib import Path\n\nimport tensorflow as tf\n\n{newest}"
        f"encoder = tf.saved_model.load(str(newest))\n{call}"
    )
    where = (
        f"<p>Each export, by <code>--mode=export</code>, is a folder in "
        f"<code>{escape(folder)}</code> with its number as name; the highest is the newest.</p>"
    )
    return where + _code(code)


def _code(text: str) -> str:
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>{style}</style></head>
<body><main>
<header><p class="kicker">{kicker}</p><h1>{title}</h1>
<p class="summary">{summary}</p><nav aria-label="Sections">{links}</nav></header>
{body}
</main><script>{script}</script></body></html>
"""

"""`write_run_report`: report.html of one run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from markupsafe import Markup

from dim_tf.evaluation.figures import (
    ConfusionMatrix,
    Figure,
    Histogram,
    NeighbourPanel,
    PatchMaps,
    Projection,
    Reconstructions,
    SampleGrid,
)
from dim_tf.evaluation.report import charts, dot_plot, image_panels, metric_tables
from dim_tf.evaluation.report.confusion_matrix import confusion_matrix
from dim_tf.evaluation.report.embedding_plot import embedding_plots
from dim_tf.evaluation.report.page import describe_training, render_page
from dim_tf.evaluation.report.rendering import render
from dim_tf.evaluation.report.results import Results
from dim_tf.system.files import atomic_write_text


def write_run_report(
    path: Path,
    *,
    experiment: dict[str, Any],
    evaluation: dict[str, Any],
    metrics: list[dict[str, Any]],
    figures: Sequence[Figure],
    versions: dict[str, str],
) -> None:
    """Writes the report; if writing fails, an existing file is kept.

    Args:
        path: Path of the page.
        experiment: The settings.
        evaluation: The content of evaluation.json: {measure: {endpoint: value}}, and also
            `measures` (units and titles), `uncertainty`, `references`, `attributes`, `protocol` and
            `cost`, each of which may be missing.
        metrics: The lines of metrics.jsonl, in order.
        figures: Images, projections, matrices and histograms of the measures.
        versions: Versions of the libraries.

    Raises:
        ValueError: Images are not uint8 with 1 or 3 channels, or points are not finite.
    """
    results = Results(evaluation)
    is_generator = experiment.get("model") == "generator"
    is_fitted = "fitted" in evaluation.get("protocol", {})  # without steps
    figure_sections = _figure_sections(figures)
    neighbours = "Nearest neighbours"
    sections = {
        **({neighbours: figure_sections[neighbours]} if results.lacks_labels else {}),
        "Results": dot_plot.run_dot_plot(experiment, results)
        + metric_tables.paper_comparison(experiment, results),
        "All measures": "" if is_generator else metric_tables.metrics_table(results),
        "Training": "" if is_fitted else _training_curves(experiment, metrics),
        **figure_sections,
        "Attributes": metric_tables.attribute_tables(evaluation.get("attributes", {})),
        "Protocol": metric_tables.definition_list(evaluation.get("protocol", {})),
        "Cost": metric_tables.cost_table(evaluation.get("cost", {})),
        "Settings": metric_tables.settings_table(experiment),
        "Versions": metric_tables.definition_list(versions, with_labels=False),
        "Use the encoder": "" if is_generator else _usage(experiment),
    }
    summary = (
        "Images generated from samples of the prior, by prior matching alone."
        if is_generator
        else results.summary()
    )
    page = render_page(experiment["name"], describe_training(experiment), summary, sections)
    atomic_write_text(path, page)


def _training_curves(experiment: dict[str, Any], metrics: list[dict[str, Any]]) -> Markup:
    if experiment.get("encoder_path"):
        return Markup()
    return charts.training_curves([charts.Run("", metrics)])


def _figure_sections(figures: Sequence[Figure]) -> dict[str, Markup]:
    """A section for each kind of figure."""

    def draw_all(kind: type, draw: Callable[[Any], Markup]) -> Markup:
        return Markup().join(draw(figure) for figure in figures if isinstance(figure, kind))

    def grid(content: Markup, css: str = "panels") -> Markup:
        return Markup('<div class="{}">{}</div>').format(css, content) if content else content

    projections = [figure for figure in figures if isinstance(figure, Projection)]
    return {
        "Reconstructions": draw_all(Reconstructions, image_panels.reconstructions),
        "Local features": draw_all(PatchMaps, image_panels.patch_maps),
        "Nearest neighbours": grid(draw_all(NeighbourPanel, image_panels.neighbours)),
        "Embeddings": grid(embedding_plots(projections)),
        "Confusion matrices": grid(draw_all(ConfusionMatrix, confusion_matrix)),
        "Distributions": grid(draw_all(Histogram, charts.histogram), css="histograms"),
        "Samples": draw_all(SampleGrid, image_panels.samples),
    }


def _usage(experiment: dict[str, Any]) -> Markup:
    """Python code that loads the newest export of the encoder."""
    if path := experiment.get("encoder_path"):
        quoted = json.dumps(path, ensure_ascii=False)
        is_keras_file = path.endswith(".keras")
        imports = "import keras" if is_keras_file else "import tensorflow as tf"
        load = "keras.saving.load_model" if is_keras_file else "tf.saved_model.load"
        code = f"{imports}\n\nencoder = {load}({quoted})  # as it was measured"
        return render("usage.html", code=code, folder="")
    folder = str(PurePosixPath(experiment["export_dir"], experiment["name"]))
    quoted = json.dumps(folder, ensure_ascii=False)
    code = (
        "from pathlib import Path\n\nimport tensorflow as tf\n\n"
        f'versions = Path({quoted}).glob("[0-9]*")\n'
        "newest = max(versions, key=lambda version: int(version.name))\n"
        "encoder = tf.saved_model.load(str(newest))\n"
        "features = encoder(images)  # images: float32 [N, H, W, C] in [0, 1]"
    )
    return render("usage.html", code=code, folder=folder)

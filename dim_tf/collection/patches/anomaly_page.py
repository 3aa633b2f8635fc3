"""anomalies.html: the most anomalous images with their heat maps, and the threshold."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from dim_tf.collection.patches.anomaly_metrics import DefectTypeMetrics
from dim_tf.collection.patches.detection import Alarms, Detector
from dim_tf.collection.patches.heat_maps import overlay, upsample
from dim_tf.collection.thumbnails import jpeg_uri, shrink
from dim_tf.data.image_faults import UndecodableError
from dim_tf.evaluation.figures import Histogram
from dim_tf.evaluation.report import charts, metric_tables
from dim_tf.evaluation.report.page import render_page
from dim_tf.evaluation.report.rendering import render

MAX_SHOWN = 120
BINS = 40


class _Card(NamedTuple):
    """A card of one image; without the image if its file was moved."""

    image: str
    heat_map: str
    name: str
    score: str
    p_value: str
    is_anomalous: bool


def render_anomaly_page(
    title: str,
    ids: Sequence[str],
    alarms: Alarms,
    detector: Detector,
    read_image: Callable[[int], np.ndarray],
    measured: Mapping[str, Any] | None = None,
    types: Sequence[DefectTypeMetrics] = (),
) -> str:
    """The page as HTML; it loads nothing.

    At most `MAX_SHOWN` images are shown, about 7 KB each.

    Args:
        title: Title of the page, such as the name of the run.
        ids: Ids of the N images.
        alarms: Alarms of the same images.
        detector: The detector that gave the alarms.
        read_image: Returns the pixels of an image, given its row; uint8 [h, w, 1 or 3], as the
            encoder sees them: the local map covers all of them. An image for which it raises
            OSError or UndecodableError is not shown.
        measured: Values against known defects, by name; None: there are none.
        types: The metrics of each type of defect.
    """
    rows = np.argsort(-alarms.scores, kind="stable")[:MAX_SHOWN]
    # One scale for all images, from the score of most locations to the highest.
    low, high = np.percentile(alarms.patch_scores, 50), alarms.patch_scores.max()
    cards = []
    for row in rows:
        uris = "", ""
        with contextlib.suppress(OSError, UndecodableError):  # moved since it was embedded
            image = shrink(read_image(int(row)))
            heat_map = upsample(alarms.patch_scores[row : row + 1], image.shape[:2])[0]
            uris = jpeg_uri(image), jpeg_uri(overlay(image, heat_map, low, high))
        cards.append(
            _Card(
                *uris,
                ids[row],
                f"{alarms.scores[row]:.3f}",
                f"{alarms.p_values[row]:.3f}",
                bool(alarms.is_anomalous[row]),
            )
        )
    count, total = int(alarms.is_anomalous.sum()), len(ids)
    summary = Markup("<strong>{} of {} images</strong> score above the threshold, {}.").format(
        f"{count:,}", f"{total:,}", detector.threshold.describe()
    )
    sections = {
        "Most anomalous images": render(
            "anomalies.html", cards=cards, num_images=f"{total:,}", num_anomalous=f"{count:,}"
        ),
        "Against known defects": metric_tables.definition_list(dict(measured or {})),
        "Types of defect": _types_table(types),
        "Scores": Markup('<div class="histograms">{}</div>').format(
            charts.histogram(_histogram(alarms.scores, detector.threshold.normal_scores))
        ),
        "Detector": metric_tables.definition_list(detector.summary()),
    }
    return render_page(title, "Anomalies by local features", summary, sections)


def _types_table(types: Sequence[DefectTypeMetrics]) -> Markup:
    if not types:
        return Markup()
    rows = [
        [
            entry.name,
            f"{entry.images:,}",
            f"{entry.image_auroc:.3f}",
            "{:.3f} to {:.3f}".format(*entry.image_interval),
            f"{entry.detected:.1%}",
        ]
        for entry in types
    ]
    columns = ["images", "image AUROC", "95 % interval", "above the threshold"]
    return render(
        "data_table.html",
        name="type",
        columns=columns,
        rows=rows,
        note="Each type against all normal images of the scored folders.",
    )


def _histogram(scores, normal_scores) -> Histogram:
    low = min(scores.min(), normal_scores.min())
    high = max(scores.max(), normal_scores.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    series = {
        name: np.histogram(values, edges, density=True)[0]
        for name, values in (("these images", scores), ("normal images", normal_scores))
    }
    return Histogram("image scores", edges, series)

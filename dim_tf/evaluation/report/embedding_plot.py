"""A projection of features as dots, which page.js enlarges until they turn into images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from dim_tf.evaluation.figures import Projection
from dim_tf.evaluation.report.charts import NUM_COLORS
from dim_tf.evaluation.report.image_panels import data_uri, tile
from dim_tf.evaluation.report.rendering import render

SIZE, MARGIN = 1000, 30
LETTER_WIDTH, LINE_HEIGHT = 15, 30  # of class names, in units of the plot
MAX_NAMES = 20  # classes whose names stand on the plot


@dataclass(frozen=True)
class _ClassDots:
    """The dots of a class: `path` has a stroke of length 0 for each."""

    index: int
    name: str
    style: str
    path: str


def embedding_plots(projections: Sequence[Projection]) -> Markup:
    """The plots; those of the same images share one sheet of them, most of the page's bytes.

    Raises:
        ValueError: As for `embedding_plot`.
    """
    sheet_ids: dict[str, str] = {}
    return Markup().join(
        embedding_plot(projection, number, sheet_ids)
        for number, projection in enumerate(projections, start=1)
    )


def embedding_plot(projection: Projection, number: int, sheet_ids: dict[str, str]) -> Markup:
    """A plot of a projection.

    Args:
        projection: Points, with the label and image of each if they have them.
        number: Number of the plot on its page.
        sheet_ids: Ids of the page's sheets of images, by content; a new one is added.

    Raises:
        ValueError: A point is not finite, or the numbers of labels or images and points differ.
    """
    points = np.asarray(projection.points, float)
    has_labels = projection.labels is not None
    labels = np.asarray(projection.labels) if has_labels else np.zeros(len(points), int)
    _check(points, labels, projection)
    order = np.argsort(labels, kind="stable")  # one path per class; images in the paths' order
    points, labels = _to_plot(points)[order], labels[order]
    classes = [
        _ClassDots(
            index,
            name,
            class_style(index),
            "".join(f"M{x:.2f} {y:.2f}h0" for x, y in points[labels == index]),
        )
        for index, name in enumerate(projection.label_names if has_labels else ("",))
        if (labels == index).any()
    ]
    names = []
    if has_labels and len(projection.label_names) <= MAX_NAMES:
        centers = {c.index: np.median(points[labels == c.index], axis=0) for c in classes}
        names = _place_names(centers, projection.label_names)
    sheet_id, sheet = _sheet(projection.images, order, f"sheet{number}", sheet_ids)
    return render(
        "embedding_plot.html",
        title=projection.title,
        number=number,
        size=SIZE,
        num_points=f"{len(points):,}",
        classes=classes,
        has_labels=has_labels,
        has_images=projection.images is not None,
        names=names,
        sheet_id=sheet_id,
        sheet=sheet,
    )


def class_style(index: int) -> str:
    """The style with the colour of a class: from the style sheet, or 137.5° of hue further on."""
    if index < NUM_COLORS:
        return f"--c:var(--c{index})"
    hue = index * 137.5 % 360
    return f"--c:oklch(var(--lightness) .13 {hue:.0f})"


def _check(points, labels, projection):
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}; expected finite ones, [N, 2]")
    for name, values in (("labels", labels), ("images", projection.images)):
        if values is not None and len(values) != len(points):
            raise ValueError(f"{len(values)} {name} of {len(points)} points; expected one each")


def _to_plot(points: np.ndarray) -> np.ndarray:
    """Points in units of the plot, whose y axis points down; both axes have the same scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (SIZE - 2 * MARGIN) / (max(high - low) or 1)
    scaled = SIZE / 2 + scale * (points - (low + high) / 2)
    return np.stack([scaled[:, 0], SIZE - scaled[:, 1]], axis=1)


def _place_names(
    centers: dict[int, np.ndarray], names: tuple[str, ...]
) -> list[tuple[int, str, float, float]]:
    """Puts each name at the center of its class, moved down where it would cover another.

    Returns:
        (class, name, x, y), from top to bottom.
    """
    texts = []
    occupied: list[tuple[float, float, float]] = []
    for index, (x, y) in sorted(centers.items(), key=lambda item: item[1][1]):
        half = LETTER_WIDTH * len(names[index]) / 2
        for other_x, other_y, other_half in occupied:  # from top to bottom
            if abs(x - other_x) < half + other_half and abs(y - other_y) < LINE_HEIGHT:
                y = other_y + LINE_HEIGHT
        occupied.append((x, y, half))
        texts.append((index, names[index], x, y))
    return texts


def _sheet(
    images: np.ndarray | None, order: np.ndarray, new_id: str, sheet_ids: dict[str, str]
) -> tuple[str, dict[str, Any] | None]:
    """All images in one hidden image, from which page.js cuts those that it shows.

    Returns:
        Its id, empty without images; and what the template writes for it, None if the page already
        has the same sheet.
    """
    if images is None:
        return "", None
    columns = math.ceil(len(images) ** 0.5)
    sheet = tile(images[order], columns, gap=0)
    uri = data_uri(sheet)
    if uri in sheet_ids:
        return sheet_ids[uri], None
    sheet_ids[uri] = new_id
    return new_id, {
        "uri": uri,
        "columns": columns,
        "image_width": images.shape[2],
        "image_height": images.shape[1],
        "width": sheet.shape[1],
        "height": sheet.shape[0],
    }

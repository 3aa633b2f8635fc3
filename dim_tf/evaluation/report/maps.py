"""A projection of features as a map: dots that page.js can enlarge until they become images."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from dim_tf.evaluation.figures import Projection
from dim_tf.evaluation.report.charts import COLOURS
from dim_tf.evaluation.report.figures import source, tiled
from dim_tf.evaluation.report.values import capitalised

SIZE, MARGIN = 1000, 30
LETTER, LINE = 15, 30  # of names, in units of the map
MOST_NAMES = 20  # classes whose names stand on the map


def projections(pictures: Sequence[Projection]) -> str:
    """The maps; those of the same images share the sheet of them, most of a page's bytes.

    Raises:
        ValueError: as `projection`.
    """
    sheets: dict[str, str] = {}
    return "".join(projection(picture, n, sheets) for n, picture in enumerate(pictures, start=1))


def projection(picture: Projection, number: int, sheets: dict[str, str]) -> str:
    """A map.

    Args:
        picture: what is on it.
        number: of the map on its page.
        sheets: the ids of the page's sheets of images, by their content; a new one is added.

    Raises:
        ValueError: a point that is not finite, or as many labels or images as there are not points.
    """
    points = np.asarray(picture.points, float)
    labels = np.zeros(len(points), int) if picture.labels is None else np.asarray(picture.labels)
    _check(points, labels, picture)
    order = np.argsort(labels, kind="stable")  # a path a class; the images in the paths' order
    points, labels = _placed(points)[order], labels[order]
    names = picture.label_names if picture.labels is not None else ("",)
    dots = keys = ""
    middles: dict[int, np.ndarray] = {}
    for index, name in enumerate(names):
        of_class = points[labels == index]
        if not len(of_class):
            continue
        colour = f'class="c{index}" style="{colour_of(index)}"'
        places = "".join(f"M{x:.2f} {y:.2f}h0" for x, y in of_class)
        dots += f'<path data-name="{escape(name)}" {colour} d="{places}"/>'
        if picture.labels is None:
            continue
        middles[index] = np.median(of_class, axis=0)
        keys += (
            f'<label {colour}><input type="checkbox" data-class="c{index}" checked>'
            f"{escape(name)}</label>"
        )
    texts = _names(middles, names) if len(names) <= MOST_NAMES else ""
    sheet, drawn = _sheet(picture.images, order, f"sheet{number}", sheets)
    of_sheet = f' data-sheet="{sheet}"' if sheet else ""
    text = f"Map of {len(points):,} points: {escape(picture.title)}"
    return (
        f'<figure class="map" id="map{number}"><h3>{escape(capitalised(picture.title))}</h3>'
        f'<div class="buttons" hidden>{_BUTTONS}</div><div class="view">'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" tabindex="0" aria-label="{text}"{of_sheet}>'
        f'{drawn}<g class="dots">{dots}</g><g class="thumbs"></g><g class="names">{texts}</g></svg>'
        f'<div class="tip" hidden></div></div><div class="keys">{keys}</div>'
        f'<p class="note">{len(points):,} points.{_how(picture)}</p></figure>'
    )


_BUTTONS = "".join(
    f'<button type="button" data-do="{what}" aria-label="{text}">{sign}</button>'
    for what, text, sign in (
        ("in", "enlarge", "+"),
        ("out", "make smaller", "−"),
        ("reset", "show all", "⤢"),
    )
)


def colour_of(index: int) -> str:
    """The style that sets the colour of a class: of the style sheet, else one hue further each."""
    if index < COLOURS:
        return f"--c:var(--c{index})"
    hue = index * 137.5 % 360
    return f"--c:oklch(var(--lightness) .13 {hue:.0f})"


def _check(points, labels, picture):
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}; expected finite ones, [N, 2]")
    for what, values in (("labels", labels), ("images", picture.images)):
        if values is not None and len(values) != len(points):
            raise ValueError(f"{len(values)} {what} of {len(points)} points; expected one each")


def _placed(points: np.ndarray) -> np.ndarray:
    """Within the map; both axes have one scale, and y points up."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (SIZE - 2 * MARGIN) / (max(high - low) or 1)
    placed = SIZE / 2 + scale * (points - (low + high) / 2)
    return np.stack([placed[:, 0], SIZE - placed[:, 1]], axis=1)


def _names(middles: dict[int, np.ndarray], names: tuple[str, ...]) -> str:
    """Each name in the middle of its class, moved down where it would cover another."""
    texts = ""
    taken: list[tuple[float, float, float]] = []
    for index, (x, y) in sorted(middles.items(), key=lambda item: item[1][1]):
        half = LETTER * len(names[index]) / 2
        for other_x, other_y, other_half in taken:  # from above to below
            if abs(x - other_x) < half + other_half and abs(y - other_y) < LINE:
                y = other_y + LINE
        taken.append((x, y, half))
        texts += f'<text class="c{index}" x="{x:.1f}" y="{y:.1f}">{escape(names[index])}</text>'
    return texts


def _sheet(
    images: np.ndarray | None, order: np.ndarray, name: str, sheets: dict[str, str]
) -> tuple[str, str]:
    """All images in one hidden picture, from which page.js cuts those that it shows.

    Returns:
        Its id; the picture, empty where the page has it already. Both empty without images.
    """
    if images is None:
        return "", ""
    across = math.ceil(len(images) ** 0.5)
    height, width = images.shape[1:3]
    sheet = tiled(images[order], across, 0)
    content = source(sheet)
    if content in sheets:
        return sheets[content], ""
    sheets[content] = name
    return name, (
        f'<defs><image id="{name}" data-across="{across}" data-width="{width}" '
        f'data-height="{height}" width="{sheet.shape[1]}" height="{sheet.shape[0]}" '
        f'href="{content}"/></defs>'
    )


def _how(picture: Projection) -> str:
    images = " Near enough, they become images." if picture.images is not None else ""
    return (
        '<span class="how"> Enlarge: buttons, double click, two fingers, Ctrl and wheel, or + and '
        f"− when the map has the focus; move: drag, or arrow keys; 0: all.{images}</span>"
    )

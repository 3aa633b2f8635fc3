"""Pictures of measures: images side by side, confusion matrices."""

import base64
import io
import math
from html import escape

import numpy as np
from PIL import Image

from dim_tf.evaluation.figures import (
    ConfusionMatrix,
    NeighbourPanel,
    Reconstructions,
    SampleGrid,
)
from dim_tf.evaluation.report.tables import row, table
from dim_tf.evaluation.report.values import capitalised

MOST_CELLS = 20  # classes of a matrix that is a table; one of more is a picture
CONFUSIONS = 6  # told in words


def neighbours(panel: NeighbourPanel) -> str:
    """Rows of a query and its neighbours."""
    note = "Left: the query; then its neighbours, the nearest first."
    same = panel.same_label
    if same is not None:
        note += f" ✓ same label ({same.sum()} of these {same.size}), ✗ another label."
    rows = ""
    for q, (query, nearest) in enumerate(zip(panel.queries, panel.neighbours, strict=True)):
        rows += _picture(query, f"query {q + 1}", "query")
        for rank, neighbour in enumerate(nearest):
            kind = "" if same is None else "same" if same[q, rank] else "other"
            text = f"neighbour {rank + 1} of query {q + 1}" + (f", {kind} label" if kind else "")
            rows += _picture(neighbour, text, kind)
    pictures = f'<div class="pictures" style="--k:{panel.neighbours.shape[1]}">{rows}</div>'
    return f'<figure>{_title(panel.title)}{pictures}<p class="note">{note}</p></figure>'


def samples(panel: SampleGrid) -> str:
    """One picture of all images, as many in a row as there are rows or more."""
    across = math.ceil(len(panel.images) ** 0.5)
    text = f"{len(panel.images)} {panel.title}"
    return f"{_title(panel.title)}{_sheet(panel.images, across, text)}"


def reconstructions(panel: Reconstructions) -> str:
    """Pairs of an image and what the decoder made of its features, one above the other."""
    pairs = ""
    for n, pair in enumerate(zip(panel.originals, panel.reconstructed, strict=True), start=1):
        images = _picture(pair[0], f"image {n}", "") + _picture(pair[1], f"image {n} decoded", "")
        pairs += f'<div class="pair">{images}</div>'
    error = np.mean((panel.originals / 255.0 - panel.reconstructed / 255.0) ** 2)
    note = (
        "Above: test images; below: what the decoder makes of their features. "
        f"Mean squared error of these {len(panel.originals)}, pixels in [0, 1]: {error:.4f}."
    )
    return f'{_title(panel.title)}<div class="pairs">{pairs}</div><p class="note">{note}</p>'


def confusions(panel: ConfusionMatrix) -> str:
    """The matrix, as shares of each true class, and the commonest confusions in words."""
    counts = np.asarray(panel.counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    matrix = _cells if len(counts) <= MOST_CELLS else _heat
    note = "Rows: the true class; columns: the answer; in percent of the row."
    worst = _worst(counts, shares, panel.label_names)
    drawn = matrix(panel, counts, shares)
    return f'<figure>{_title(panel.title)}{drawn}<p class="note">{note}{worst}</p></figure>'


def _cells(panel, counts, shares):
    rows = ""
    for i, name in enumerate(panel.label_names):
        cells = ""
        for j, other in enumerate(panel.label_names):
            percent = round(100 * shares[i, j])
            text = str(percent) if counts[i, j] else "·"
            strong = " strong" if percent > 55 else ""
            told = escape(f"{name} taken for {other}: {counts[i, j]} of {counts[i].sum()}")
            cells += f'<td class="cell{strong}" style="--p:{percent}%" title="{told}">{text}</td>'
        rows += row(escape(name), [cells])
    columns = (f"<span>{escape(name)}</span>" for name in panel.label_names)
    return table(panel.title, columns, f"<tbody>{rows}</tbody>", css="confusions")


def _heat(panel, counts, shares):
    """A picture of a pixel a cell, dark where the share is large: roots, so that few are seen."""
    pixels = (255 * (1 - np.sqrt(shares))).astype(np.uint8)[..., np.newaxis]
    right = np.trace(counts) / max(counts.sum(), 1)
    text = f"Confusion matrix of {len(counts)} classes; {100 * right:.1f}% are on the diagonal"
    return f'<img class="sheet heat" src="{source(pixels)}" alt="{text}">'


def _worst(counts, shares, names):
    off = np.where(np.eye(len(shares), dtype=bool), 0, shares)
    order = np.argsort(-off, axis=None, kind="stable")[:CONFUSIONS]
    told = [
        f"{escape(names[i])} for {escape(names[j])} ({100 * off[i, j]:.0f}%)"
        for i, j in zip(*np.unravel_index(order, off.shape), strict=True)
        if off[i, j] > 0
    ]
    return f" Most often taken for another: {', '.join(told)}." if told else ""


def _title(text: str) -> str:
    return f"<h3>{escape(capitalised(text))}</h3>"


def _sheet(images: np.ndarray, across: int, text: str) -> str:
    """One picture of several, row by row, with white pixels between."""
    return f'<img class="sheet" src="{source(tiled(images, across, 1))}" alt="{escape(text)}">'


def tiled(images: np.ndarray, across: int, gap: int) -> np.ndarray:
    """Images row by row in one, `gap` white pixels right of and below each.

    Args:
        images: uint8 [N, H, W, C].
        across: how many in a row.
        gap: pixels.

    Returns:
        uint8 [rows · (H + gap), across · (W + gap), C].
    """
    _check_picture(images[0])
    height, width, channels = images.shape[1:]
    down = math.ceil(len(images) / across)
    cells = np.full((down * across, height, width, channels), 255, np.uint8)
    cells[: len(images)] = images
    cells = np.pad(cells, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows = cells.reshape(down, across, height + gap, width + gap, channels).swapaxes(1, 2)
    return rows.reshape(down * (height + gap), across * (width + gap), channels)


def _check_picture(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        given = f"picture of shape {image.shape} and type {image.dtype}"
        raise ValueError(f"{given}; expected uint8 [H, W, C] with C = 1 or 3")


def _picture(image: np.ndarray, text: str, kind: str) -> str:
    _check_picture(image)
    return f'<span class="{kind}"><img src="{source(image)}" alt="{text}"></span>'


def source(image: np.ndarray) -> str:
    """The picture, uint8 [H, W, 1 or 3], as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")

"""Images side by side: nearest neighbours, reconstructions, local maps, samples."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from dim_tf.evaluation.figures import NeighbourPanel, PatchMaps, Reconstructions, SampleGrid
from dim_tf.evaluation.report.rendering import render


class _PanelImage(NamedTuple):
    uri: str
    alt: str
    css: str = ""  # style class of its frame


def neighbours(panel: NeighbourPanel) -> Markup:
    """A row for each query: the query and its neighbours, the nearest first."""
    same = panel.same_label
    images = []
    for q, (query, nearest) in enumerate(zip(panel.queries, panel.neighbours, strict=True)):
        images.append(_PanelImage(data_uri(query), f"query {q + 1}", "query"))
        for rank, neighbour in enumerate(nearest):
            css = "" if same is None else "same" if same[q, rank] else "other"
            alt = f"neighbour {rank + 1} of query {q + 1}" + (f", {css} label" if css else "")
            images.append(_PanelImage(data_uri(neighbour), alt, css))
    return render(
        "neighbours.html",
        title=panel.title,
        images=images,
        num_neighbours=panel.neighbours.shape[1],
        num_same=None if same is None else same.sum(),
        num_labels=0 if same is None else same.size,
    )


def samples(panel: SampleGrid) -> Markup:
    """All images as one, with as many columns as rows, or one more."""
    columns = math.ceil(len(panel.images) ** 0.5)
    return render(
        "samples.html",
        title=panel.title,
        uri=data_uri(tile(panel.images, columns, gap=1)),
        num_images=len(panel.images),
    )


def reconstructions(panel: Reconstructions) -> Markup:
    """Each image above its reconstruction, and their mean squared error."""
    pairs = [
        (
            _PanelImage(data_uri(original), f"image {n}"),
            _PanelImage(data_uri(reconstructed), f"image {n} decoded"),
        )
        for n, (original, reconstructed) in enumerate(
            zip(panel.originals, panel.reconstructed, strict=True), start=1
        )
    ]
    error = np.mean((panel.originals / 255.0 - panel.reconstructed / 255.0) ** 2)
    return render("reconstructions.html", title=panel.title, pairs=pairs, error=error)


def patch_maps(panel: PatchMaps) -> Markup:
    """Each image above its local map, whose cells are drawn as squares of one colour."""
    pairs = [
        (
            _PanelImage(data_uri(image), f"image {n}"),
            _PanelImage(data_uri(local_map), f"local map of image {n}"),
        )
        for n, (image, local_map) in enumerate(zip(panel.images, panel.maps, strict=True), start=1)
    ]
    height, width = panel.maps.shape[1:3]
    return render(
        "patch_maps.html",
        title=panel.title,
        pairs=pairs,
        grid=f"{height} × {width}",
        explained=[f"{100 * fraction:.0f} %" for fraction in panel.explained],
    )


def tile(images: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Images row by row in one image, with white pixels to the right of and below each.

    Args:
        images: uint8 [N, H, W, C].
        columns: Images in a row.
        gap: White pixels between two images.

    Returns:
        uint8 [rows * (H + gap), columns * (W + gap), C].

    Raises:
        ValueError: The images are not uint8 with 1 or 3 channels.
    """
    _check_image(images[0])
    height, width, channels = images.shape[1:]
    rows = math.ceil(len(images) / columns)
    cells = np.full((rows * columns, height, width, channels), 255, np.uint8)
    cells[: len(images)] = images
    cells = np.pad(cells, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    grid = cells.reshape(rows, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    return grid.reshape(rows * (height + gap), columns * (width + gap), channels)


def data_uri(image: np.ndarray) -> str:
    """An image as a PNG in a data URI.

    Args:
        image: uint8 [H, W, C] with C = 1 or 3.

    Raises:
        ValueError: The image has another shape or type.
    """
    _check_image(image)
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        actual = f"image of shape {image.shape} and type {image.dtype}"
        raise ValueError(f"{actual}; expected uint8 [H, W, C] with C = 1 or 3")

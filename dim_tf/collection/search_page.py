"""`write_search_page`: queries and their matches on one page that loads nothing."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from dim_tf.collection.search import Match, QueryMatches
from dim_tf.collection.thumbnails import jpeg_uri, shrink
from dim_tf.data.image_faults import UndecodableError
from dim_tf.evaluation.report.page import GALLERY_SCRIPT, render_page
from dim_tf.evaluation.report.rendering import render
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import translate_write_errors

PAGE_FILE = "search.html"
MAX_THUMBNAILS = 2000  # about 3 kB each
_HEAT_COLOR = (255, 90, 0)
_HEAT_ALPHA = 190  # of 255, where the similarity is largest


class _Cell(NamedTuple):
    """A match, and what the page shows of its image."""

    match: Match
    uri: str = ""
    heat_uri: str = ""
    frame: str = ""  # CSS
    gap: str = ""  # why there is no image


def write_search_page(
    folder: Path,
    results: Sequence[QueryMatches],
    read_image: Callable[[int], np.ndarray],
    description: str,
) -> Path:
    """Writes search.html, with thumbnails of the first `MAX_THUMBNAILS` images.

    Args:
        folder: Folder for the page.
        results: Results of a search.
        read_image: Returns the pixels of an image, given its row; uint8 [H, W, 3], upright. For a
            search by patch, the part of the image that the local map covers.
        description: A few words on the collection and its index.

    Returns:
        The page's path.

    Raises:
        RunError: The page cannot be written.
    """
    count = sum(len(result.matches) for result in results)
    left = iter(range(MAX_THUMBNAILS))
    panels = [_panel(result, read_image, left) for result in results]
    queries = f"{len(results):,} {'query' if len(results) == 1 else 'queries'}"
    keys = "Arrow keys: from image to image. Enter: enlarge. Escape: back."
    if any(match.location for result in results for match in result.matches):
        keys += " H: with and without heat maps. Frame: where the detail is most likely."
    notes = Markup('<p class="note">{}</p>').format(keys)
    path = folder / PAGE_FILE
    page = render_page(
        title="Search",
        kicker=description,
        summary=f"{queries}, {count:,} matches; the most similar come first.",
        sections={"Matches": notes + Markup().join(panels)},
        warning=""
        if count <= MAX_THUMBNAILS
        else f"The first {MAX_THUMBNAILS:,} images are shown; results.csv lists all.",
        script=GALLERY_SCRIPT,
    )
    with translate_write_errors(str(path), folder, "make room and search again"):
        atomic_write_text(path, page)
    return path


def _panel(result: QueryMatches, read_image, left: Iterator[int]) -> Markup:
    maps = [match.heat_map for match in result.matches if match.heat_map is not None]
    span = (min(map(np.min, maps)), max(map(np.max, maps))) if maps else (0.0, 1.0)
    shown = len(list(islice(left, len(result.matches))))
    cells = [
        _cell(match, read_image, span) if number < shown else _Cell(match, gap="not shown")
        for number, match in enumerate(result.matches)
    ]
    image = result.query.image
    return render(
        "search_matches.html",
        query=result.query,
        query_uri="" if image is None else jpeg_uri(shrink(image)),
        cells=cells,
    )


def _cell(match: Match, read_image, span) -> _Cell:
    try:
        uri = jpeg_uri(shrink(read_image(match.row)))
    except (OSError, InputError, RunError, UndecodableError):  # moved since it was embedded
        return _Cell(match, gap="cannot be read")
    if match.heat_map is None or match.location is None:
        return _Cell(match, uri)
    height, width = match.heat_map.shape
    frame = (
        f"left:{100 * match.location.column / width:.2f}%;"
        f"top:{100 * match.location.row / height:.2f}%;"
        f"width:{100 / width:.2f}%;height:{100 / height:.2f}%"
    )
    return _Cell(match, uri, _heat_uri(match.heat_map, *span), frame)


def _heat_uri(heat_map: np.ndarray, low: float, high: float) -> str:
    """A heat map as a PNG with one pixel per location, opaque where it is high."""
    fraction = (heat_map - low) / max(high - low, 1e-6)
    pixels = np.empty((*heat_map.shape, 4), np.uint8)
    pixels[..., :3] = _HEAT_COLOR
    pixels[..., 3] = np.rint(_HEAT_ALPHA * fraction)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")

"""Whether one image is a copy of another, by pixels: recompressed, resized, cropped or mirrored.

Both images are reduced to `SIDE` x `SIDE` pixels. Then a search finds the window of one of them
that is most like the other, or like its mirror image. It first tries a grid of windows at 16 x 16
pixels, then takes Gauss-Newton steps on the window's two sizes and two offsets (the image alignment
of Lucas & Kanade 1981, for a window's four numbers). A window changes rows and columns separately,
so that each sampling is two small matrix products:

    window(A) = Y A Xᵀ,   Y[i, j] = max(0, 1 - |y_i - j|),   y_i = S (offset + size (i + ½) / S) - ½

The distance is the root mean square of the difference, divided by that of the contrasts: 0 for
equal images, √2 for images with the same mean that have nothing in common.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

SIDE = 32  # pixels a side of a thumbnail
THUMBNAIL_BYTES = SIDE**2 * 3
COPY_DISTANCE = 0.35  # largest distance of copies; docs/CURATE.md has what it accepts and refuses
CROPPED = 0.97  # a window with a smaller side counts as a crop
_MIN_SIZE = 0.8  # smallest side of a window, as a fraction of the image's
_GRID = ((1.0, 0.0), (0.9, 0.0), (0.9, 0.05), (0.9, 0.1))  # sizes and offsets on each axis
_STEPS = 4  # of Gauss-Newton
_DAMPING = 1e-3  # relative to the mean curvature: a flat image has none
_MIN_CONTRAST = 2.0  # gray levels; below this, differences are noise
_PAIRS = 128  # aligned at once
_GRID_SIDE = 16  # on which the grid is searched
_DIFFERENT = 0.7  # grid distance above which images are no copies, and windows are not refined


@dataclass(frozen=True)
class Alignments:
    """How similar the images of P pairs are, and through which window.

    Attributes:
        distances: float32 [P].
        is_mirrored: bool [P], whether one image is like the mirror image of the other.
        sizes: float32 [P, 2], height and width of the window, as fractions of those of its image.
        is_in_first: bool [P], whether the window is in the first image.
    """

    distances: np.ndarray
    is_mirrored: np.ndarray
    sizes: np.ndarray
    is_in_first: np.ndarray

    @property
    def is_cropped(self) -> np.ndarray:
        """Whether one of the images shows less than the other, bool [P]."""
        return self.sizes.min(axis=1) < CROPPED

    def __len__(self) -> int:
        return len(self.distances)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """An image of any size as uint8 [SIDE, SIDE, 3]; its proportions are not kept.

    Args:
        image: uint8 [H, W, 3].
    """
    reduced = Image.fromarray(image).resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return np.asarray(reduced)


def align(first: np.ndarray, second: np.ndarray) -> Alignments:
    """Compares the images of each pair.

    Pairs that the grid already shows to be different keep the distance found on the grid.

    Args:
        first: uint8 [P, SIDE, SIDE, 3], thumbnails.
        second: uint8 [P, SIDE, SIDE, 3].
    """
    parts = [
        _align(_blurred(first[start : start + _PAIRS]), _blurred(second[start : start + _PAIRS]))
        for start in range(0, len(first), _PAIRS)
    ]
    if not parts:
        none = np.zeros(0, bool)
        return Alignments(np.zeros(0, np.float32), none, np.zeros((0, 2), np.float32), none)
    return Alignments(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _align(first, second):
    """The fields of `Alignments` for pairs of blurred images [P, 3, S, S]."""
    distances, windows, is_mirrored, is_in_first = _search_grid(
        _reduce(first, _GRID_SIDE), _reduce(second, _GRID_SIDE)
    )
    near = np.flatnonzero(distances <= _DIFFERENT)
    in_first, mirrored = (_per_image(flags[near]) for flags in (is_in_first, is_mirrored))
    source = np.where(in_first, first[near], second[near])
    target = np.where(in_first, second[near], first[near])
    target = np.where(mirrored, target[..., ::-1], target)
    if len(near):
        distances[near], windows[near] = _refine(source, target, windows[near])
    return distances, is_mirrored, windows[:, [0, 2]], is_in_first


def _search_grid(first, second):
    """The best of the grid's windows in either image, compared with the other or its mirror image.

    Args:
        first: float32 [P, 3, S, S].
        second: float32 [P, 3, S, S].

    Returns:
        float32 [P], distances; float32 [P, 4], the window's height, top, width and left; bool [P],
        whether the mirror image matches; bool [P], whether the window is in the first image.
    """
    count, side = len(first), first.shape[-1]
    windows, axis = _grid(side)
    found = []
    for source, target in ((first, second), (second, first)):
        by_columns = np.tensordot(source, axis, (3, 2))  # [P, 3, S, w, S]
        sampled = np.tensordot(by_columns, axis, (2, 2))  # [P, 3, w, S, w, S], columns first
        sampled = sampled.transpose(0, 1, 4, 2, 5, 3).reshape(count, 3, len(windows), -1)
        for shown in (target, target[..., ::-1]):
            shown = shown.reshape(count, 3, 1, -1)
            squares = np.square(sampled - shown).mean(axis=(1, 3))
            power = (sampled.var(axis=3).mean(axis=1) + shown.var(axis=3).mean(axis=1)) / 2
            found.append(np.sqrt(squares / np.maximum(power, _MIN_CONTRAST**2)))
    distances = np.stack(found, axis=1).reshape(count, -1)  # [P, 2 images x 2 x windows]
    best = distances.argmin(axis=1)
    case, window = np.divmod(best, len(windows))
    return distances[np.arange(count), best], windows[window], case % 2 == 1, case < 2


@cache
def _grid(side):
    """The windows of the grid [W, 4], and the matrices [w, S, S] that sample one axis."""
    axis = np.array(_GRID, np.float32)
    windows = np.array([[*rows, *columns] for rows in axis for columns in axis], np.float32)
    return windows, _interpolation(axis, side)[0]


def _refine(source, target, windows):
    """The smallest distances after some Gauss-Newton steps from windows, and their windows."""
    best, best_windows = np.full(len(source), np.inf, np.float32), windows
    for step in range(_STEPS + 1):
        sampled, gradients = _sample(source, windows)
        distances = _distances(sampled, target)
        is_better = distances < best
        best = np.where(is_better, distances, best)
        best_windows = np.where(is_better[:, np.newaxis], windows, best_windows)
        if step < _STEPS:
            windows = _gauss_newton(windows, target - sampled, gradients)
    return best, best_windows


def _gauss_newton(windows, residual, gradients):
    """The windows after one step towards the least squares of the residual.

    Args:
        windows: float32 [P, 4].
        residual: float32 [P, 3, S, S], target - window.
        gradients: float32 [P, 4, 3 S S], gradients of the window in its four numbers.
    """
    curvature = gradients @ gradients.transpose(0, 2, 1)
    descent = gradients @ residual.reshape(len(windows), -1, 1)
    mean = np.trace(curvature, axis1=1, axis2=2) / 4
    curvature += (_DAMPING * mean + 1e-3)[:, np.newaxis, np.newaxis] * np.eye(4, dtype=np.float32)
    moved = windows + np.linalg.solve(curvature, descent)[..., 0]
    sizes = np.clip(moved[:, [0, 2]], _MIN_SIZE, 1)
    offsets = np.clip(moved[:, [1, 3]], 0, 1 - sizes)
    return np.stack([sizes[:, 0], offsets[:, 0], sizes[:, 1], offsets[:, 1]], axis=1)


def _sample(images, windows):
    """The windows of images, and their gradients with respect to the windows' four numbers.

    Returns:
        float32 [P, 3, S, S]; float32 [P, 4, 3 S S].
    """
    side = images.shape[-1]
    rows, row_slopes = (m[:, np.newaxis] for m in _interpolation(windows[:, 0:2], side))
    columns, column_slopes = _interpolation(windows[:, 2:4], side)
    by_columns = _along_columns(images, columns)
    by_y = row_slopes @ by_columns
    by_x = rows @ _along_columns(images, column_slopes)
    # A sample is at S offset + size (i + ½) - ½.
    places = np.arange(side, dtype=np.float32) + 0.5
    gradients = [by_y * places[:, np.newaxis], by_y * side, by_x * places, by_x * side]
    return rows @ by_columns, np.stack(gradients, axis=1).reshape(len(images), 4, -1)


def _along_columns(images, matrices):
    """X of each image, applied to the image's rows, as one product per image."""
    count, side = len(images), images.shape[-1]
    return (images.reshape(count, -1, side) @ matrices.transpose(0, 2, 1)).reshape(images.shape)


def _interpolation(windows, side):
    """Linear interpolation matrices [P, S, S] for one axis, and their slopes at each sample.

    Args:
        windows: float32 [P, 2], size and offset.
        side: S.
    """
    places = (np.arange(side, dtype=np.float32) + 0.5) * windows[:, :1]
    places = np.clip(places + side * windows[:, 1:] - 0.5, 0, side - 1)[..., np.newaxis]
    gaps = np.arange(side, dtype=np.float32) - places
    near = np.abs(gaps) < 1
    return np.where(near, 1 - np.abs(gaps), 0), np.where(near, np.sign(gaps), 0)


def _distances(a, b):
    squares = np.square(a - b).mean(axis=(1, 2, 3))
    power = (_power(a) + _power(b)) / 2
    return np.sqrt(squares / np.maximum(power, _MIN_CONTRAST**2))


def _power(images):
    return images.var(axis=(2, 3)).mean(axis=1)


def _blurred(pixels):
    """Thumbnails without the details that a codec changes, float32 [P, 3, S, S]."""
    images = np.moveaxis(pixels, -1, 1).astype(np.float32)
    side = images.shape[-1]
    for axis in (2, 3):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = np.pad(images, pad, mode="edge")
        before, at, after = (np.take(padded, range(i, i + side), axis=axis) for i in range(3))
        images = before / 4 + at / 2 + after / 4
    return images


def _reduce(images, side):
    count, block = len(images), images.shape[-1] // side
    shape = (count, 3, side, block, side, block)
    return images.reshape(shape).mean(axis=(3, 5))


def _per_image(flags):
    return flags[:, np.newaxis, np.newaxis, np.newaxis]


class ThumbnailCache:
    """Thumbnails and sizes of images; each image is read only once.

    Each image that was read takes `THUMBNAIL_BYTES` and about 100 bytes.

    Args:
        read_image: Returns the pixels of a row, uint8 [H, W, 3].
    """

    def __init__(self, read_image: Callable[[int], np.ndarray]):
        self._read_image = read_image
        self._thumbnails: dict[int, np.ndarray] = {}
        self._shapes: dict[int, tuple[int, int]] = {}

    def thumbnails(self, rows: np.ndarray) -> np.ndarray:
        """The thumbnails of these rows, uint8 [P, SIDE, SIDE, 3]."""
        for row in rows.tolist():
            if row not in self._thumbnails:
                image = self._read_image(row)
                self._thumbnails[row] = thumbnail(image)
                self._shapes[row] = image.shape[0], image.shape[1]
        if not len(rows):
            return np.zeros((0, SIDE, SIDE, 3), np.uint8)
        return np.stack([self._thumbnails[row] for row in rows.tolist()])

    def shape(self, row: int) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        if row not in self._shapes:
            self.thumbnails(np.array([row]))
        return self._shapes[row]

    def align(self, first: np.ndarray, second: np.ndarray) -> Alignments:
        """Compares the images of pairs of rows, 16,384 at a time.

        Args:
            first: int [P].
            second: int [P].
        """
        step = 2**14
        parts = [
            align(
                self.thumbnails(first[start : start + step]),
                self.thumbnails(second[start : start + step]),
            )
            for start in range(0, max(len(first), 1), step)
        ]
        return Alignments(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("distances", "is_mirrored", "sizes", "is_in_first")
            )
        )

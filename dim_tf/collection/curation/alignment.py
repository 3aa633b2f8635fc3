"""Whether one image is a copy of another, by pixels: recompressed, resized, cropped or mirrored.

Both images are reduced to `SIDE` x `SIDE` pixels. Then the window of one of them is searched that
is most like the other, or like its mirror image: first over a grid of windows at half of that
resolution, then by Gauss-Newton steps on the window's two sizes and two offsets (the image
alignment of Lucas & Kanade 1981, for a window's four numbers). A window and a mirror image change
rows and columns apart, so that each sampling is two small matrix products:

    window(A) = Y A Xᵀ,   Y[i, j] = max(0, 1 - |y_i - j|),   y_i = S (offset + size (i + ½) / S) - ½

Their distance is the root mean square of the difference divided by that of the contrasts: 0 for
equal images, √2 for images of the same mean that have nothing in common.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 32  # pixels of a thumbnail's side
THUMBNAIL_BYTES = SIDE**2 * 3
COPY_DISTANCE = 0.3  # of copies at most; docs/CURATE.md has what it accepts and refuses
CROPPED = 0.97  # a window of a smaller side is a crop
_MIN_SIZE = 0.8  # of a window's side, as a fraction of the image's
_GRID = ((1.0, 0.0), (0.9, 0.0), (0.9, 0.05), (0.9, 0.1))  # sizes and offsets, of each axis
_STEPS = 6  # of Gauss-Newton
_DAMPING = 1e-3  # relative to the mean curvature: a flat image has none
_MIN_CONTRAST = 2.0  # gray levels; below, differences are noise
_PAIRS = 128  # aligned at once
_KERNEL = np.array([0.25, 0.5, 0.25], np.float32)  # takes off what a codec changes


@dataclass(frozen=True)
class Alignments:
    """How alike the images of P pairs are, and by which window.

    Attributes:
        distances: float32 [P].
        is_mirrored: bool [P], whether one is like the mirror image of the other.
        sizes: float32 [P, 2], height and width of the window, as fractions of its image's.
        is_in_first: bool [P], whether it is a window of the first image.
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
    """An image of any size as uint8 [SIDE, SIDE, 3], not in its proportions.

    Args:
        image: uint8 [H, W, 3].
    """
    reduced = Image.fromarray(image).resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return np.asarray(reduced)


def align(first: np.ndarray, second: np.ndarray) -> Alignments:
    """Compares the images of each pair.

    A pair takes some 20 MB of 128 pairs' work and some 3 million products.

    Args:
        first: uint8 [P, SIDE, SIDE, 3], thumbnails.
        second: uint8 [P, SIDE, SIDE, 3].
    """
    parts = [
        _align(_blur(first[start : start + _PAIRS]), _blur(second[start : start + _PAIRS]))
        for start in range(0, len(first), _PAIRS)
    ]
    if not parts:
        empty = np.zeros(0, bool)
        return Alignments(
            np.zeros(0, np.float32), empty, np.zeros((0, 2), np.float32), empty.copy()
        )
    return Alignments(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _align(first, second):
    """Of pairs whose thumbnails are blurred, the fields of `Alignments`."""
    windows, is_mirrored, is_in_first = _search_grid(_halve(first), _halve(second))
    source = np.where(_per_image(is_in_first), first, second)
    target = np.where(_per_image(is_in_first), second, first)
    target = np.where(_per_image(is_mirrored), target[:, :, ::-1], target)
    best = _distances(_sample(source, windows), target)
    best_windows = windows
    for _ in range(_STEPS):
        windows = _gauss_newton(source, target, windows)
        distances = _distances(_sample(source, windows), target)
        is_better = distances < best
        best = np.where(is_better, distances, best)
        best_windows = np.where(is_better[:, np.newaxis], windows, best_windows)
    return best, is_mirrored, best_windows[:, [0, 2]], is_in_first


def _search_grid(first, second):
    """The best of the grid's windows in either image, beside the other or its mirror image.

    Returns:
        float32 [P, 4], a window's height, top, width and left; bool [P], whether of the mirror
        image; bool [P], whether in the first.
    """
    best = np.full(len(first), np.inf, np.float32)
    windows = np.zeros((len(first), 4), np.float32)
    is_mirrored = np.zeros(len(first), bool)
    is_in_first = np.ones(len(first), bool)
    for in_first, source, target in ((True, first, second), (False, second, first)):
        for height, top in _GRID:
            for width, left in _GRID:
                window = np.array([height, top, width, left], np.float32)
                sampled = _sample(source, window[np.newaxis])
                for mirrored in (False, True):
                    shown = target[:, :, ::-1] if mirrored else target
                    distances = _distances(sampled, shown)
                    is_better = distances < best
                    best[is_better] = distances[is_better]
                    windows[is_better] = window
                    is_mirrored[is_better] = mirrored
                    is_in_first[is_better] = in_first
    return windows, is_mirrored, is_in_first


def _gauss_newton(source, target, windows):
    """The windows after one step to the least squares of window - target."""
    side = source.shape[1]
    rows, row_slopes = _interpolation(windows[:, 0:2], side)
    columns, column_slopes = _interpolation(windows[:, 2:4], side)
    by_columns = _along_columns(columns, source)
    residual = target - _along_rows(rows, by_columns)
    by_y = _along_rows(row_slopes, by_columns)
    by_x = _along_rows(rows, _along_columns(column_slopes, source))
    # A sample's place is S offset + size (i + ½) - ½.
    places = np.arange(side, dtype=np.float32) + 0.5
    jacobian = np.stack(
        [
            by_y * places[:, np.newaxis, np.newaxis],
            by_y * side,
            by_x * places[:, np.newaxis],
            by_x * side,
        ],
        axis=1,
    ).reshape(len(source), 4, -1)
    curvature = jacobian @ jacobian.transpose(0, 2, 1)
    gradient = jacobian @ residual.reshape(len(source), -1, 1)
    mean = np.trace(curvature, axis1=1, axis2=2) / 4
    curvature += (_DAMPING * mean + 1e-3)[:, np.newaxis, np.newaxis] * np.eye(4, dtype=np.float32)
    moved = windows + np.linalg.solve(curvature, gradient)[..., 0]
    sizes = np.clip(moved[:, [0, 2]], _MIN_SIZE, 1)
    offsets = np.clip(moved[:, [1, 3]], 0, 1 - sizes)
    return np.stack([sizes[:, 0], offsets[:, 0], sizes[:, 1], offsets[:, 1]], axis=1)


def _sample(images, windows):
    """The windows of images, float32 [P, S, S, 3]; one window for all, or one for each."""
    side = images.shape[1]
    rows, _ = _interpolation(windows[:, 0:2], side)
    columns, _ = _interpolation(windows[:, 2:4], side)
    return _along_rows(rows, _along_columns(columns, images))


def _interpolation(windows, side):
    """Matrices of linear interpolation [P, S, S] of one axis, and their slopes in a sample's place.

    Args:
        windows: float32 [P, 2], size and offset.
        side: S.
    """
    places = (np.arange(side, dtype=np.float32) + 0.5) * windows[:, :1]
    places = np.clip(places + side * windows[:, 1:] - 0.5, 0, side - 1)[..., np.newaxis]
    gaps = np.arange(side, dtype=np.float32) - places
    near = np.abs(gaps) < 1
    return np.where(near, 1 - np.abs(gaps), 0), np.where(near, np.sign(gaps), 0)


def _along_rows(matrices, images):
    count, side = images.shape[:2]
    return (matrices @ images.reshape(count, side, -1)).reshape(images.shape)


def _along_columns(matrices, images):
    return matrices[:, np.newaxis] @ images


def _distances(a, b):
    squares = np.square(a - b).mean(axis=(1, 2, 3))
    power = (_power(a) + _power(b)) / 2
    return np.sqrt(squares / np.maximum(power, _MIN_CONTRAST**2))


def _power(images):
    return images.var(axis=(1, 2)).mean(axis=1)


def _blur(pixels):
    images = pixels.astype(np.float32)
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = np.pad(images, pad, mode="edge")
        size = images.shape[axis]
        images = sum(
            weight * np.take(padded, range(start, start + size), axis=axis)
            for start, weight in enumerate(_KERNEL)
        )
    return images


def _halve(images):
    count, side = images.shape[:2]
    return images.reshape(count, side // 2, 2, side // 2, 2, 3).mean(axis=(2, 4))


def _per_image(flags):
    return flags[:, np.newaxis, np.newaxis, np.newaxis]


class ThumbnailCache:
    """Thumbnails and sizes of the images that were read, each once.

    An image that was read takes `THUMBNAIL_BYTES` and some 100 bytes.

    Args:
        read_image: the pixels of a row, uint8 [H, W, 3].
    """

    def __init__(self, read_image: Callable[[int], np.ndarray]):
        self._read_image = read_image
        self._thumbnails: dict[int, np.ndarray] = {}
        self._shapes: dict[int, tuple[int, int]] = {}

    def thumbnails(self, rows: np.ndarray) -> np.ndarray:
        """The thumbnails of rows, uint8 [P, SIDE, SIDE, 3]."""
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

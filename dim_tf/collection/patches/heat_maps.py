"""Heat maps: scores of locations as pixels of the image, and colours over it."""

import numpy as np
import scipy.ndimage

BLUR = 4 / 224  # standard deviation of the blur, of the longer side: the paper's 4 of 224


def upsample(scores: np.ndarray, size: tuple[int, int], blur: float = BLUR) -> np.ndarray:
    """Scores of locations as images: bilinear, then a Gaussian blur, like PatchCore's heat maps.

    The locations are assumed to divide the image evenly. At the border the outermost ones continue.

    Args:
        scores: Floats [N, H, W].
        size: Height and width in pixels, at least H and W.
        blur: Standard deviation of the blur, as a fraction of the longer side; 0: none.

    Returns:
        float32 [N, h, w].
    """
    rows, columns = upsampling_weights(scores.shape[1:3], size, blur)
    return rows @ scores.astype(np.float32) @ columns.T


def upsampling_weights(
    grid: tuple[int, int], size: tuple[int, int], blur: float = BLUR
) -> tuple[np.ndarray, np.ndarray]:
    """The weights by which `upsample` makes pixels from locations: `rows @ scores @ columns.T`.

    Args:
        grid: H and W.
        size: As for `upsample`.
        blur: As for `upsample`.

    Returns:
        float32 [h, H] and [w, W].
    """
    weights = []
    for cells, pixels in zip(grid, size, strict=True):
        matrix = scipy.ndimage.zoom(
            np.eye(cells), (pixels / cells, 1), order=1, mode="nearest", grid_mode=True
        )
        if blur:
            sigma = blur * max(size)
            matrix = scipy.ndimage.gaussian_filter1d(matrix, sigma, axis=0, mode="nearest")
        weights.append(matrix.astype(np.float32))
    return weights[0], weights[1]


def overlay(image: np.ndarray, heat_map: np.ndarray, low: float, high: float) -> np.ndarray:
    """An image in grey with its heat map in red: the same red means the same score in all images.

    Args:
        image: uint8 [h, w, 1 or 3].
        heat_map: Floats [h, w].
        low: Scores up to this one are not coloured.
        high: Scores from this one on are fully red.

    Returns:
        uint8 [h, w, 3].
    """
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    red = np.array([255.0, 30.0, 0.0])
    strength = np.clip((heat_map - low) / max(high - low, 1e-12), 0, 1)[:, :, np.newaxis] * 0.8
    return np.rint(grey * (1 - strength) + red * strength).astype(np.uint8)

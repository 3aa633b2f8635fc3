"""Raw pixels as patches: what local features have to beat."""

import numpy as np


def pixel_patches(images: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The pixels of each cell of a grid over the image.

    If a side is not divisible, cells overlap by some pixels: all have the same size, and their
    centers are spread evenly.

    Args:
        images: uint8 [N, h, w, C].
        grid: H and W, at most h and w.

    Returns:
        float16 [N, H, W, D] in [0, 1], D = ⌈h/H⌉ ⌈w/W⌉ C.
    """
    sides = [-(-pixels // cells) for pixels, cells in zip(images.shape[1:3], grid, strict=True)]
    starts = [
        np.rint(np.linspace(0, pixels - side, cells)).astype(int)
        for pixels, side, cells in zip(images.shape[1:3], sides, grid, strict=True)
    ]
    rows, columns = (
        start[:, np.newaxis] + np.arange(side) for start, side in zip(starts, sides, strict=True)
    )
    # [N, H, height of a cell, W, width of a cell, C]
    cells = images[:, rows][:, :, :, columns].swapaxes(2, 3)
    return (cells / np.float16(255)).astype(np.float16).reshape(len(images), *grid, -1)

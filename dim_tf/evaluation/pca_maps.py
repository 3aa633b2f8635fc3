"""Local maps as images: the first three principal components as red, green and blue."""

from dataclasses import dataclass

import numpy as np

from dim_tf.evaluation.map_blocks import (
    LocalMapArray,
    check_maps,
    draw_patches,
    map_blocks,
    take_patches,
)

SAMPLE = 2**14  # patches on which the components are fitted
PERCENTILES = 1, 99  # of the sample, which become 0 and 255
_RANK = 1e-6  # a component with less variance, relative to the largest, is rounding


@dataclass(frozen=True)
class PatchComponents:
    """The components of patches, the same for all images: equal colours mean similar features.

    Attributes:
        mean: float32 [D].
        directions: float32 [3, D], of length 1; 0 if the patches have fewer dimensions.
        low: float32 [3], the values that become 0.
        high: float32 [3], the values that become 255.
        explained: float64 [3], fractions of the variance.
    """

    mean: np.ndarray
    directions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    explained: np.ndarray

    def colours(self, maps: LocalMapArray) -> np.ndarray:
        """Local maps as images.

        Args:
            maps: Floats [N, H, W, D].

        Returns:
            uint8 [N, H, W, 3].
        """
        colours = np.empty((*maps.shape[:3], 3), np.uint8)
        scale = np.where(self.high > self.low, self.high - self.low, 1)
        for images, block in map_blocks(maps, 1):
            values = (block - self.mean) @ self.directions.T
            colours[images] = np.rint(255 * np.clip((values - self.low) / scale, 0, 1))
        return colours


def fit(maps: LocalMapArray, *, sample: int = SAMPLE, seed: int = 0) -> PatchComponents:
    """Fits the components on a sample of the patches.

    The sign of a component is arbitrary; it is chosen so that its largest weight is positive. So
    the same maps have the same colours wherever they are computed.

    Memory: 4 D bytes for each patch of the sample, 8 D² bytes, and blocks of the maps.

    Args:
        maps: Floats [N, H, W, D]; read in blocks of images.
        sample: Largest number of patches.
        seed: Seed of the draw.

    Raises:
        InputError: There is no map, or a number is not finite.
    """
    check_maps(maps)
    patches = take_patches(maps, draw_patches(maps, sample, seed))
    mean = patches.mean(axis=0, dtype=np.float64)
    centered = patches - mean.astype(np.float32)
    covariance = (centered.T @ centered).astype(np.float64) / len(centered)
    values, vectors = np.linalg.eigh(covariance)
    variances, directions = np.zeros(3), np.zeros((3, maps.shape[3]), np.float32)
    count = int((values[::-1][:3] > _RANK * values[-1]).sum())
    variances[:count], largest = values[::-1][:count], vectors.T[::-1][:count]
    weights = np.take_along_axis(largest, np.abs(largest).argmax(axis=1, keepdims=True), axis=1)
    directions[:count] = largest * np.sign(weights)
    low, high = np.percentile(centered @ directions.T, PERCENTILES, axis=0).astype(np.float32)
    explained = variances / max(values.sum(), np.finfo(np.float64).tiny)
    return PatchComponents(mean.astype(np.float32), directions, low, high, explained)

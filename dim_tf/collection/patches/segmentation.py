"""A linear probe on patches: do local features tell what is where?

Caron et al. 2021 (https://arxiv.org/abs/2104.14294) and Oquab et al. 2023
(https://arxiv.org/abs/2304.07193) probe frozen patches in the same way: multinomial logistic
regression on the feature of each location, with scores upsampled to the mask. Masks are int [N, h,
w]: classes from 0 on, and `IGNORED`, which is neither trained on nor counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dim_tf.collection.patches.heat_maps import upsample
from dim_tf.evaluation import bootstrap, logistic_regression
from dim_tf.evaluation.linear_classifier import LinearClassifier
from dim_tf.evaluation.map_blocks import LocalMapArray, check_maps, map_blocks, take_patches
from dim_tf.system.errors import InputError

IGNORED = -1
MAX_PATCHES = 2**17  # that the probe is trained on
_BLOCK_NUMBERS = 2**24  # of class scores or fractions of pixels at once


@dataclass(frozen=True)
class SegmentationMetrics:
    """How well test masks are predicted.

    Attributes:
        iou: Intersection over union of each class over all pixels; NaN if neither a mask nor a
            prediction has the class.
        mean_iou: The mean over the classes that occur.
        mean_iou_interval: Its 95 % interval, over test images.
        pixel_accuracy: Fraction of the pixels that are predicted correctly.
        majority_accuracy: The pixel accuracy of predicting the most frequent class everywhere.
    """

    iou: tuple[float, ...]
    mean_iou: float
    mean_iou_interval: tuple[float, float]
    pixel_accuracy: float
    majority_accuracy: float


def fit(
    maps: LocalMapArray,
    masks: np.ndarray,
    num_classes: int,
    *,
    max_patches: int = MAX_PATCHES,
    seed: int = 0,
) -> LinearClassifier:
    """Trains the probe; the class of each location is that of most of its pixels.

    Memory: 4 D + 16 bytes for each of at most `max_patches` patches, and blocks of maps and masks.

    Args:
        maps: Floats [N, H, W, D], local maps; or raw patches (`pixel_patches`).
        masks: int [N, h, w].
        num_classes: K.
        max_patches: Largest number of patches to train on; if there are more, this many are drawn.
        seed: Seed of that draw.

    Raises:
        InputError: The masks do not fit, or all patches are of one class.
    """
    check_masks(masks, maps, num_classes)
    grid = maps.shape[1], maps.shape[2]
    labels = np.concatenate(
        [
            fractions_to_labels(area_fractions(masks[block], grid, num_classes))
            for block in _mask_blocks(masks, num_classes)
        ]
    ).reshape(-1)
    usable = np.flatnonzero(labels != IGNORED)
    if len(usable) > max_patches:
        usable = np.random.default_rng(seed).choice(usable, max_patches, replace=False)
        usable.sort()
    if len(np.unique(labels[usable])) < 2:
        raise InputError(
            f"the {len(usable):,} patches of {len(masks):,} masks are of one class; a probe takes "
            "masks in which two classes cover most of a patch somewhere"
        )
    features = take_patches(maps, usable)
    return logistic_regression.fit(features, labels[usable], num_classes)[0]


def predict(
    probe: LinearClassifier, maps: LocalMapArray, size: tuple[int, int]
) -> Iterator[tuple[slice, np.ndarray]]:
    """The most likely class of each pixel, with scores interpolated between locations.

    Args:
        probe: Result of `fit`.
        maps: Floats [N, H, W, D].
        size: Height and width of the masks.

    Yields:
        Slices of the images, and int64 [n, h, w].
    """
    num_classes = len(probe.bias)
    step = max(_BLOCK_NUMBERS // (size[0] * size[1] * num_classes), 1)
    for images, block in map_blocks(maps, 1):
        for first in range(0, len(block), step):
            part = block[first : first + step]
            scores = probe.scores(part.reshape(-1, part.shape[3]))
            scores = scores.reshape(*part.shape[:3], num_classes)
            by_class = np.moveaxis(scores, 3, 1).reshape(-1, *part.shape[1:3])
            pixels = upsample(by_class, size, blur=0).reshape(len(part), num_classes, *size)
            start = images.start + first
            yield slice(start, start + len(part)), pixels.argmax(axis=1)


def measure(probe: LinearClassifier, maps: LocalMapArray, masks: np.ndarray) -> SegmentationMetrics:
    """Compares the probe's predictions with masks, pixel by pixel.

    Args:
        probe: Result of `fit`.
        maps: Floats [N, H, W, D], local maps of test images.
        masks: int [N, h, w].

    Raises:
        InputError: The masks do not fit, or all of their pixels are ignored.
    """
    num_classes = len(probe.bias)
    check_masks(masks, maps, num_classes)
    confusion = np.zeros((len(maps), num_classes, num_classes))  # of each image: mask, prediction
    for images, predicted in predict(probe, maps, masks.shape[1:3]):
        for image, mask, of_image in zip(
            range(images.start, images.stop), masks[images], predicted, strict=True
        ):
            counted = mask != IGNORED
            pairs = mask[counted].astype(np.int64) * num_classes + of_image[counted]
            counts = np.bincount(pairs, minlength=num_classes**2)
            confusion[image] = counts.reshape(num_classes, num_classes)
    total = confusion.sum(axis=0)
    if not total.any():
        raise InputError("every pixel of the masks is ignored, so that nothing can be measured")
    flat = confusion.reshape(len(confusion), -1)

    def resampled(counts):
        sums = (counts @ flat).reshape(-1, num_classes, num_classes)
        return np.nanmean(iou_of(sums), axis=1)

    iou = iou_of(total)
    return SegmentationMetrics(
        tuple(map(float, iou)),
        float(np.nanmean(iou)),
        bootstrap.interval(len(flat), resampled, None),
        float(np.trace(total) / total.sum()),
        float(total.sum(axis=1).max() / total.sum()),
    )


def iou_of(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class; NaN for a class that does not occur.

    Args:
        confusion: Floats [..., K, K], pixels by mask and prediction.

    Returns:
        float64 [..., K].
    """
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - correct
    with np.errstate(invalid="ignore"):
        return correct / union


def area_fractions(masks: np.ndarray, grid: tuple[int, int], num_classes: int) -> np.ndarray:
    """The fraction of each cell of a grid that each class covers; a pixel may be in two cells.

    Args:
        masks: int [N, h, w].
        grid: H and W.
        num_classes: K.

    Returns:
        float32 [N, H, W, K], with the sum 1 if no pixel of the cell is ignored.
    """
    is_class = (masks[..., np.newaxis] == np.arange(num_classes)).astype(np.float32)
    rows, columns = (
        _overlaps(cells, pixels) for cells, pixels in zip(grid, masks.shape[1:3], strict=True)
    )
    return np.einsum("Hh,nhwk,Ww->nHWk", rows, is_class, columns, optimize=True)


def fractions_to_labels(fractions: np.ndarray) -> np.ndarray:
    """The class of most of each cell, int64 [N, H, W]; ignored if most of the cell is ignored."""
    rest = 1 - fractions.sum(axis=3)
    labels = fractions.argmax(axis=3)
    labels[rest > fractions.max(axis=3) + 1e-6] = IGNORED
    return labels


def check_masks(masks: np.ndarray, maps: LocalMapArray, num_classes: int) -> None:
    """Checks masks.

    Raises:
        InputError: They are not int [N, h, w] for the maps' images, or have other classes.
    """
    check_maps(maps)
    if masks.ndim != 3 or masks.dtype.kind not in "iu" or len(masks) != len(maps):
        raise InputError(
            f"masks of shape {list(masks.shape)} and type {masks.dtype}; expected whole numbers "
            f"[{len(maps)}, height, width]"
        )
    low, high = int(masks.min(initial=0)), int(masks.max(initial=0))
    if low < IGNORED or high >= num_classes:
        raise InputError(
            f"a mask has the class {low if low < IGNORED else high}; expected 0 to "
            f"{num_classes - 1}, or {IGNORED} for pixels that do not count"
        )


def _mask_blocks(masks, num_classes) -> Iterator[slice]:
    step = max(_BLOCK_NUMBERS // (masks.shape[1] * masks.shape[2] * num_classes), 1)
    for first in range(0, len(masks), step):
        yield slice(first, first + step)


def _overlaps(cells: int, pixels: int) -> np.ndarray:
    """The fraction of each cell that each pixel covers, float32 [cells, pixels]."""
    edges = np.arange(cells + 1) * (pixels / cells)
    starts = np.arange(pixels)
    low = np.maximum(edges[:-1, np.newaxis], starts)
    high = np.minimum(edges[1:, np.newaxis], starts + 1)
    return (np.maximum(high - low, 0) * (cells / pixels)).astype(np.float32)

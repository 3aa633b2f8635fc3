"""The curation of a folder of images: features, neighbours and copies, then `curate`."""

from collections.abc import Callable, Sequence

import numpy as np

from dim_tf.collection.curation import copies
from dim_tf.collection.curation.curation import Curation, curate
from dim_tf.collection.curation.match_rates import CopyFeatures
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.collection.index import Index
from dim_tf.settings.curation import CurationSettings
from dim_tf.system.errors import InputError

NEIGHBOURS_PER_OUTLIER = 2  # neighbours that are copies do not count for outliers
MIN_NEIGHBOURS = 20
COPIED_IMAGES = 400  # on whose copies the threshold and recall of duplicates are measured
_SEED = 0


def curate_folder(
    images: EmbeddedImages,
    index: Index,
    encode: Callable[[Sequence[np.ndarray]], np.ndarray],
    settings: CurationSettings,
) -> Curation:
    """Curates a collection.

    Memory: that of `curate`, and 4 D · 4 bytes for each of the 400 images that are copied.

    Args:
        images: Embedded images, at least two.
        index: The index of their features.
        encode: Images, uint8 [H, W, 3] -> the same features, float32 [N, D].
        settings: Thresholds and sizes.

    Raises:
        InputError: There are fewer than two images, or an image cannot be read any more.
    """
    count = len(images.ids)
    if count < 2:
        raise InputError(f"{count} image that can be decoded; expected at least 2 to compare")
    wanted = max(MIN_NEIGHBOURS, NEIGHBOURS_PER_OUTLIER * settings.outlier_neighbours)
    neighbours = neighbour_lists(index, min(wanted, count - 1))
    return curate(images, neighbours, settings, _copy_features(images, encode), seed=_SEED)


def neighbour_lists(index: Index, k: int) -> NeighbourLists:
    """The k nearest rows of each row of an index."""
    similarities = np.empty((len(index), k), np.float32)
    rows = np.empty((len(index), k), np.int64)
    for block in index.neighbours(k):
        similarities[block.rows], rows[block.rows] = block.similarities, block.neighbours
    return NeighbourLists(similarities, rows)


def _copy_features(images, encode) -> CopyFeatures:
    rng = np.random.default_rng(_SEED)
    count = len(images.ids)
    rows = np.sort(rng.choice(count, min(COPIED_IMAGES, count), replace=False))
    features = [
        encode([copies.augmented_copy(image, kind, rng) for kind in copies.KINDS])
        for image in map(images.read_image, rows.tolist())
    ]
    return CopyFeatures(rows, copies.KINDS, np.stack(features))

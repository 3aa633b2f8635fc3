"""PatchCore: an image is as anomalous as its patch that is least like any patch of normal images.

Roth et al. 2022, Towards Total Recall in Industrial Anomaly Detection,
https://arxiv.org/abs/2106.08265. Two things differ from the paper. The paper's features come from
two layers of a network trained on ImageNet; ours are one local map of any encoder. And at the
border of a map, a neighbourhood is averaged only over the locations that exist.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.special

from dim_tf.collection.patches.coreset import PROJECTED, choose_coreset
from dim_tf.collection.patches.nearest import nearest
from dim_tf.evaluation.map_blocks import (
    LocalMapArray,
    check_maps,
    draw_patches,
    map_blocks,
    take_patches,
)
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.system.errors import InputError

NEIGHBOURHOOD: int = AnomalySettings.default("anomaly_neighbourhood")
BANK_FRACTION: float = AnomalySettings.default("anomaly_bank")
MAX_PATCHES: int = AnomalySettings.default("anomaly_patches")
SUPPORT = 9  # neighbours in the bank that weight an image's score


@dataclass(frozen=True)
class MemoryBank:
    """Patches of normal images, such that no other patch of these images is far from all of them.

    Attributes:
        patches: float32 [M, D], averaged neighbourhoods.
        neighbourhood: Locations per side that were averaged.
        radius: The largest distance of a candidate from the bank, after a random projection.
        num_candidates: Number of patches from which the bank was chosen.
    """

    patches: np.ndarray
    neighbourhood: int
    radius: float
    num_candidates: int


class AnomalyScores(NamedTuple):
    """How far images are from normal ones.

    Attributes:
        images: float32 [N].
        patches: float32 [N, H, W]: distance of each location from its nearest patch in the bank.
    """

    images: np.ndarray
    patches: np.ndarray


def build_bank(
    maps: LocalMapArray,
    *,
    neighbourhood: int = NEIGHBOURHOOD,
    fraction: float = BANK_FRACTION,
    max_patches: int = MAX_PATCHES,
    projected: int = PROJECTED,
    seed: int = 0,
) -> MemoryBank:
    """Chooses the memory bank of normal images.

    Memory: 4 D + 4 `projected` bytes for each of at most `max_patches` patches, and blocks of the
    maps.

    Args:
        maps: Floats [N, H, W, D], local maps of normal images; read in blocks of images.
        neighbourhood: Locations per side that are averaged, an odd number.
        fraction: Size of the bank, as a fraction of the candidates.
        max_patches: Largest number of candidates; if there are more patches, this many are drawn.
        projected: Size of a projected feature (`coreset.choose_coreset`).
        seed: Seed of the candidates, the projection and the first patch.

    Raises:
        InputError: There is no map, a number is not finite, or a setting is outside its range.
    """
    check_maps(maps)
    if neighbourhood < 1 or neighbourhood % 2 == 0:
        raise InputError(f"a neighbourhood of {neighbourhood} locations; expected 1, 3, 5, ...")
    if not 0 < fraction <= 1:
        raise InputError(f"a bank of {fraction:g} of the patches; expected more than 0, at most 1")
    candidates = take_patches(maps, draw_patches(maps, max_patches, seed), neighbourhood)
    size = max(round(fraction * len(candidates)), 1)
    rows, radius = choose_coreset(candidates, size, projected=projected, seed=seed)
    return MemoryBank(candidates[rows], neighbourhood, radius, len(candidates))


def score(bank: MemoryBank, maps: LocalMapArray, *, support: int = SUPPORT) -> AnomalyScores:
    """Scores images by equations 6 and 7 of the paper.

    The score of a patch is its distance from the bank. The score of an image is that of its
    farthest patch q, times

        1 - exp|q - m| / Σ exp|q - n|   over the `support` patches n of the bank nearest to m,

    where m is the bank's patch nearest to q, and is one of the n. If normal patches like m are
    rare, the others are far from q too, and the score hardly changes.

    Memory: 4 H W + 4 bytes per image, a copy of the bank, and blocks of the maps.

    Args:
        bank: The bank of normal images of the same encoder.
        maps: Floats [N, H, W, D], local maps of images; read in blocks of images.
        support: Number of patches in the sum, including m; fewer if the bank has fewer. With 1, or
            a bank of one patch, the score is the distance without the factor.

    Raises:
        InputError: The maps do not fit the bank, or a number is not finite.
    """
    check_maps(maps)
    if maps.shape[3] != bank.patches.shape[1]:
        raise InputError(
            f"local maps of {maps.shape[3]} numbers a location and a bank of "
            f"{bank.patches.shape[1]}; take both of one encoder"
        )
    image_scores = np.empty(len(maps), np.float32)
    patch_scores = np.empty(maps.shape[:3], np.float32)
    for images, block in map_blocks(maps, bank.neighbourhood):
        flat = block.reshape(-1, block.shape[3])
        distances, rows = nearest(flat, bank.patches, 1)
        patch_scores[images] = distances.reshape(block.shape[:3])
        by_image = distances.reshape(len(block), -1)
        farthest = by_image.argmax(axis=1) + np.arange(len(block)) * by_image.shape[1]
        image_scores[images] = _weighted(
            flat[farthest], distances[farthest, 0], rows[farthest, 0], bank.patches, support
        )
    return AnomalyScores(image_scores, patch_scores)


def _weighted(queries, distances, rows, bank, support) -> np.ndarray:
    count = min(support, len(bank))
    if count < 2:
        return distances
    _, supporting = nearest(bank[rows], bank, count)
    differences = queries[:, np.newaxis].astype(np.float64) - bank[supporting]
    to_support = np.sqrt(np.einsum("qkd,qkd->qk", differences, differences))
    log_sum = scipy.special.logsumexp(to_support, axis=1)
    return distances * -np.expm1(distances - log_sum)

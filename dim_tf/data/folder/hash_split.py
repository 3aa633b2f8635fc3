"""Chooses test images by hashes, so that a folder that grows keeps its split.

scikit-learn's GroupShuffleSplit also keeps groups together, but each new image changes its draw.
"""

import numpy as np

MIN_TEST, MAX_TEST = 10, 10_000


def choose_test(
    numbers: np.ndarray,
    digests: np.ndarray,
    eligible: np.ndarray,
    labels: np.ndarray | None,
    fraction: float,
) -> np.ndarray:
    """The test images: groups in the order of their digests, each of them whole.

    A group is for the test if the first 16 bits of its digest, as a number in [0, 1), are below
    `fraction`. If these groups have fewer than 10 images, the next ones are added; if they have
    more than 10,000, or more than half of all images, the last ones are left out. Some groups are
    always for training: groups with more than half of the images, groups with an image that is not
    eligible, and the last group of each class in this order.

    Args:
        numbers: int64 [N], the group of each image, counted from 0.
        digests: uint8 [N, D], digest of its group.
        eligible: bool [N], whether an image may be for the test.
        labels: int64 [N], class numbers, -1 for an image without one; None: no classes.
        fraction: Fraction of the images that are for the test, in (0, 1).

    Returns:
        Which images are for the test, bool [N].
    """
    _, first, sizes = np.unique(numbers, return_index=True, return_counts=True)
    has_ineligible = np.bincount(numbers, weights=~eligible) > 0
    for_training = has_ineligible | (sizes > len(numbers) / 2)
    keys = digests[first].T[::-1]
    order = np.lexsort((*keys, for_training))
    if labels is not None:
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        labelled = np.flatnonzero(labels >= 0)
        last = np.full(int(labels.max(initial=-1)) + 1, -1, np.int64)
        np.maximum.at(last, labels[labelled], rank[numbers[labelled]])
        for_training[order[last[last >= 0]]] = True
    candidates = order[~for_training[order]]
    totals = np.cumsum(sizes[candidates])
    starts = digests[first[candidates]].astype(np.int64)
    below = int((starts[:, 0] * 256 + starts[:, 1] < fraction * 2**16).sum())
    enough = min(int(np.searchsorted(totals, MIN_TEST)) + 1, len(candidates))
    count = max(below, enough)
    most = min(MAX_TEST, len(numbers) // 2)
    if count and totals[count - 1] > most:
        count = max(enough, int(np.searchsorted(totals, most, "right")))
    is_test = np.zeros(len(sizes), bool)
    is_test[candidates[:count]] = True
    return is_test[numbers]

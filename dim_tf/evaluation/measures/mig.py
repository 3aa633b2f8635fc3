"""Mutual information gap: whether each factor is in one number of the feature, and only in one.

Chen et al. 2018, section 4, eq. 6, https://arxiv.org/abs/1802.04942. There, the information is that
of samples of q(z|x). Here it is that of the deterministic feature, each number of it in 20 equal
intervals, as Locatello et al. 2019 compute it (https://arxiv.org/abs/1811.12359).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dim_tf.evaluation.measure import MetricInfo, Result
from dim_tf.evaluation.measure_spec import MeasureSpec, needs_labels
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError

ENDPOINT = "global"
BINS = 20


@dataclass(frozen=True)
class MutualInformationGap:
    """The mean over the factors v of (I(z_j; v) - max_{k≠j} I(z_k; v)) / H(v), j the best number.

    It is 1 if each factor is a function of one number of the feature and no other number has
    information about it. It is 0 if the two most informative numbers are equally so, as when the
    feature is constant or has each number twice. The factors are the attributes; for images with
    one class, the class is the only factor. Only "global" is measured.

    Attributes:
        representation: Its test images are measured.
        bins: Number of equal intervals between a number's smallest and largest value.
    """

    representation: Representation
    bins: int = BINS

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {"mig": MetricInfo("fraction", "higher", "mutual information gap of the factors")}

    @property
    def protocol(self) -> dict[str, str]:
        data = self.representation.data
        factors = "the class" if data.has_classes else f"{len(data.label_names)} attributes"
        return {
            "mig": (
                f"mean over the factors ({factors}) of the difference between the two largest "
                "mutual informations of a factor and a number of the global feature, over the "
                f"factor's entropy, of the {len(data.test):,} test images; each number in "
                f"{self.bins} equal intervals; factors with one value are left out"
            )
        }

    def run(self) -> Iterator[Result]:
        features = self.representation.test[ENDPOINT]
        labels = self.representation.data.test.labels
        factors = labels[:, np.newaxis] if labels.ndim == 1 else labels
        gaps = information_gaps(features, factors, self.bins)
        varying = [gap for gap in gaps if gap is not None]
        if not varying:
            raise RunError("every factor has one value in the test images, so there is no gap")
        yield Result("mig", ENDPOINT, float(np.mean(varying)))


SPEC = MeasureSpec(
    lambda context: MutualInformationGap(context.representation), requires=(needs_labels,)
)


def information_gaps(features: np.ndarray, factors: np.ndarray, bins: int) -> list[float | None]:
    """The gap of each factor, in [0, 1]; None for a factor with only one value.

    Args:
        features: float32 [N, D]; if D = 1, the gap is to a number without information.
        factors: int64 [N, K], values from 0.
        bins: Number of equal intervals between a number's smallest and largest value.
    """
    codes = _discretised(features, bins)  # [N, D]
    gaps: list[float | None] = []
    for factor in factors.T:
        entropy = _entropy(np.bincount(factor))
        if not entropy:
            gaps.append(None)
            continue
        information = [_mutual_information(code, factor, bins) for code in codes.T]
        second, first = np.sort([0.0, *information])[-2:]
        gaps.append(float((first - second) / entropy))
    return gaps


def _discretised(features, bins):
    """The number of each value's interval, 0 to bins - 1; 0 for a constant."""
    low, high = features.min(axis=0), features.max(axis=0)
    width = np.where(high > low, high - low, 1).astype(np.float64)
    return np.minimum((features - low) / width * bins, bins - 1).astype(np.int64)


def _mutual_information(code, factor, bins):
    """I(code; factor) of the empirical distribution, in nats."""
    counts = np.bincount(code + bins * factor, minlength=bins * (factor.max() + 1))
    table = counts.reshape(-1, bins)
    independent = _entropy(table.sum(axis=0)) + _entropy(table.sum(axis=1))
    return max(independent - _entropy(counts), 0.0)


def _entropy(counts):
    """The entropy of the distribution with these counts, in nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-np.sum(p * np.log(p)))

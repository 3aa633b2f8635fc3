"""The threshold of anomaly scores, with the rate of its false alarms on normal images."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.stats

from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class Threshold:
    """The score above which an image is called anomalous.

    Attributes:
        value: A score above it is an alarm.
        false_alarm_rate: The fraction of normal images that raise an alarm is at most this, on
            average over draws of the normal images on which the threshold was chosen.
        interval: The range of that fraction for 95 % of such draws.
        normal_scores: float64 [n], ascending: the scores on which it was chosen.
    """

    value: float
    false_alarm_rate: float
    interval: tuple[float, float]
    normal_scores: np.ndarray

    def describe(self) -> str:
        """The rate of false alarms, as text."""
        low, high = self.interval
        return (
            f"chosen on {len(self.normal_scores):,} normal images, so that a normal image is "
            f"called anomalous with a probability of at most {100 * self.false_alarm_rate:.3g} % "
            f"(other normal images might have given a threshold that calls {100 * low:.2g} to "
            f"{100 * high:.2g} % of them so)"
        )

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """The probability that a normal image scores at least as high as each image [N].

        It is (1 + normal images that score at least as high) / (1 + normal images): a normal image
        has a p-value of at most p with a probability of at most p.
        """
        below = np.searchsorted(self.normal_scores, scores, side="left")
        count = len(self.normal_scores)
        return (1 + count - below) / (1 + count)


def images_for(false_alarm_rate: float) -> int:
    """The smallest number of normal images on which a threshold of that rate can be chosen."""
    return math.ceil(1 / false_alarm_rate - 1e-9) - 1


def choose_threshold(normal_scores: np.ndarray, false_alarm_rate: float) -> Threshold:
    """The threshold for a false-alarm rate, by split conformal prediction.

    It is the k-th smallest of n scores, k = ⌈(1 - rate)(n + 1)⌉. A further normal image is equally
    likely to rank anywhere among the n, and so exceeds it with a probability of at most the rate,
    whatever the distribution of the scores (Vovk et al. 2005; Angelopoulos & Bates 2021,
    https://arxiv.org/abs/2107.07511). For given scores without ties, the fraction of normal images
    above the threshold is a draw from Beta(n + 1 - k, k).

    Args:
        normal_scores: Floats [n], of normal images whose patches could not be in the bank: those in
            the bank score too low.
        false_alarm_rate: The rate, in (0, 1).

    Raises:
        InputError: There are too few images for the rate, or a score is not finite.
    """
    if not 0 < false_alarm_rate < 1:
        raise InputError(f"a false-alarm rate of {false_alarm_rate:g}; expected one in (0, 1)")
    scores = np.sort(np.asarray(normal_scores, np.float64))
    if not np.isfinite(scores).all():
        raise InputError("the score of a normal image is not finite")
    count = len(scores)
    # The rounding of (1 - rate) must not add 1: with 19 images and 0.05 the last one is meant.
    rank = math.ceil((1 - false_alarm_rate) * (count + 1) - 1e-9)
    if rank > count:
        needed = images_for(false_alarm_rate)
        raise InputError(
            f"a false-alarm rate of {false_alarm_rate:g} takes at least {needed:,} normal images "
            f"beside those of the bank, and there are {count:,}; give more images or a higher rate"
        )
    low, high = scipy.stats.beta.ppf([0.025, 0.975], count + 1 - rank, rank)
    return Threshold(float(scores[rank - 1]), false_alarm_rate, (float(low), float(high)), scores)

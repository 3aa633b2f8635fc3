"""Estimators: from a critic's scores to what is maximised (Hjelm et al. 2019, section 3).

Each is three pure functions. `joint` is an elementwise function of the joint scores. `reduce` sums
up the product scores of each global feature's image, as a state that merges with that of other
product samples: of another chunk of a batch, of another replica. `value` puts both together.
Everything is float32 and finite for scores of ±1e4.

Shapes: N images, K product samples of each, L locations, G globals of an image.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from keras_models import replicas
from keras_models.critics import PairScores


class Sums(NamedTuple):
    """Summed product samples, for expectations of the scores.

    Attributes:
        count: float32 [N], how many samples were summed.
        total: float32 [N].
    """

    count: tf.Tensor
    total: tf.Tensor

    def merge(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.total + other.total)


class LogSums(NamedTuple):
    """Summed exponentials of product samples, kept as a logarithm.

    Attributes:
        count: float32 [N], how many samples each logarithm sums.
        log_total: float32 [N, ...].
    """

    count: tf.Tensor
    log_total: tf.Tensor

    def merge(self, other: "LogSums") -> "LogSums":
        both = tf.stack([self.log_total, other.log_total])
        return LogSums(self.count + other.count, tf.reduce_logsumexp(both, axis=0))


@dataclass(frozen=True)
class Estimator:
    """Of a divergence between the joint distribution and the product of the marginals.

    Attributes:
        name: the flag's.
        joint: float32 [N, L, G] -> [N, L, G].
        reduce: float32 [N, K, L, G] -> state, one row for each of the N images.
        value: ([N, L, G], state with at least N rows, the first N of which are those images') ->
            scalar.
    """

    name: str
    joint: Callable[[tf.Tensor], tf.Tensor]
    reduce: Callable[[tf.Tensor], Sums | LogSums]
    value: Callable[[tf.Tensor, Sums | LogSums], tf.Tensor]

    def __call__(self, scores: PairScores) -> tf.Tensor:
        """The scalar to be maximised.

        On replicas, each one's value uses the product samples of all, and the mean of the
        replicas' values is the value of the whole batch.
        """
        state = self.reduce(scores.product)
        if scores.foreign is not None:
            state = _merge_replicas(state, self.reduce(scores.foreign))
        return self.value(self.joint(scores.joint), state)


def _merge_replicas(own, foreign):
    """Merges the states that all replicas have of all images.

    Args:
        own: state of this replica's N images.
        foreign: state of the (R-1)·N images of the others, cyclically from the next replica on.

    Returns:
        The merged state of all R·N images, this replica's first.
    """
    first = replicas.index() * tf.shape(own.count)[0]

    def in_global_order(mine, others):
        return tf.roll(tf.concat([mine, others], 0), first, axis=0)

    of_all_images = tf.nest.map_structure(in_global_order, own, foreign)
    stacked = tf.nest.map_structure(replicas.stack, of_all_images)  # [R, R·N, ...]
    parts = [tf.nest.map_structure(lambda x, r=r: x[r], stacked) for r in range(replicas.count())]
    merged = functools.reduce(lambda a, b: a.merge(b), parts)
    return tf.nest.map_structure(lambda x: tf.roll(x, -first, axis=0), merged)


def _samples(scores: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """float32 [N]: how many scores of each image stand along `axes`."""
    shape = tf.shape(scores)
    count = tf.reduce_prod(tf.gather(shape, axes))
    return tf.fill([shape[0]], tf.cast(count, tf.float32))


def _jensen_shannon_joint(scores):
    return -tf.nn.softplus(-scores)


def _jensen_shannon_reduce(scores):
    axes = (1, 2, 3)
    return Sums(_samples(scores, axes), tf.reduce_sum(tf.nn.softplus(scores), axes))


def _difference_of_means(joint, state):
    return tf.reduce_mean(joint) - tf.reduce_sum(state.total) / tf.reduce_sum(state.count)


jensen_shannon = Estimator(
    "jsd", _jensen_shannon_joint, _jensen_shannon_reduce, _difference_of_means
)
"""E[-softplus(-t)] - E[softplus(t')] (section 3.1, eq. 4).

Bounds 2·JSD(joint, product) - 2·log 2 from below (nats); not mutual information. The number of
product samples hardly matters.
"""


def _identity(scores):
    return scores


def _donsker_varadhan_reduce(scores):
    return LogSums(_samples(scores, (1,)), tf.reduce_logsumexp(scores, axis=1))  # [N, L, G]


def _donsker_varadhan_value(joint, state):
    log_total = tf.reduce_logsumexp(state.log_total, axis=0)  # [L, G]
    log_mean = log_total - tf.math.log(tf.reduce_sum(state.count))
    return tf.reduce_mean(joint) - tf.reduce_mean(log_mean)


donsker_varadhan = Estimator("dv", _identity, _donsker_varadhan_reduce, _donsker_varadhan_value)
"""E[t] - log E[exp t'], one logarithm for each location and global (section 3.1, eq. 2).

Bounds mutual information from below (nats) in expectation over an independent critic's samples;
the logarithm of a batch's mean is biased upwards. (The authors' code takes one logarithm over all
locations.)
"""


def _info_nce_reduce(scores):
    axes = (1, 2)
    return LogSums(_samples(scores, axes), tf.reduce_logsumexp(scores, axes))  # [N, G]


def _info_nce_value(joint, state):
    n = tf.shape(joint)[0]
    negatives = tf.broadcast_to(state.log_total[:n, tf.newaxis], tf.shape(joint))  # [N, L, G]
    log_sum = tf.reduce_logsumexp(tf.stack([joint, negatives]), axis=0)
    log_count = tf.math.log1p(state.count[:n])
    return tf.reduce_mean(joint - log_sum) + tf.reduce_mean(log_count)


info_nce = Estimator("infonce", _identity, _info_nce_reduce, _info_nce_value)
"""E[t - log((exp t + Σ exp t') / (1 + K·L))] (section 3.1, eq. 5).

The anchor is the global feature: against each joint pair stand the same global with all K·L local
features of other images, so one log-sum-exp serves all locations of an image. Bounds mutual
information from below (nats) and is at most log(1 + K·L).
"""

_ESTIMATORS = {e.name: e for e in (jensen_shannon, info_nce, donsker_varadhan)}
NAMES = tuple(_ESTIMATORS)


def get(name: str) -> Estimator:
    """The estimator of that name: jsd, infonce or dv.

    Raises:
        ValueError: unknown name.
    """
    if name not in _ESTIMATORS:
        raise ValueError(f"unknown estimator {name!r}; expected one of {', '.join(NAMES)}")
    return _ESTIMATORS[name]

"""Estimators: from a critic's scores to a value to be maximised (Hjelm et al. 2019, section 3).

An estimator is three pure functions. `joint` maps the joint scores element by element. `reduce`
sums the product scores of each image's globals into a state, which can be merged with the states of
other product samples: those of another chunk of the batch or of another replica. `value` combines
the two. Everything is float32, and finite for scores of ±1e4.

The f-divergences D_f(P ‖ Q) = E_Q[f(dP/dQ)] of the joint distribution P from the product of the
marginals Q are bounded by their Fenchel duals, E_P[g(t)] - E_Q[f*(g(t'))], with the output
activation g of Nowozin et al. 2016 (f-GAN), table 2. If the dual has an exponential, it continues
along its tangent for scores above `EXP_LIMIT`.

Shapes: N images, K product samples of each, L locations, G globals per image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from keras_models.critics import ChunkedScores, PairScores
from keras_models.distribute import replicas


class Sums(NamedTuple):
    """Sums of product samples, for expectations of the scores.

    Attributes:
        count: float32 [N], the number of samples in each sum.
        total: float32 [N], the sums.
    """

    count: tf.Tensor
    total: tf.Tensor

    def merge(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.total + other.total)

    def sum_over_images(self) -> "Sums":
        """The sum over all images: one state of shape [1]."""
        return Sums(*(tf.reduce_sum(x, axis=0, keepdims=True) for x in self))

    def scale(self, factor: float) -> "Sums":
        """The state if each sample counted `factor` times."""
        return Sums(self.count * factor, self.total * factor)


class LogSums(NamedTuple):
    """Sums of exponentials of product samples, kept as logarithms.

    Attributes:
        count: float32 [N], the number of samples in each sum.
        log_total: float32 [N, ...], the logarithms of the sums.
    """

    count: tf.Tensor
    log_total: tf.Tensor

    def merge(self, other: "LogSums") -> "LogSums":
        both = tf.stack([self.log_total, other.log_total])
        return LogSums(self.count + other.count, tf.reduce_logsumexp(both, axis=0))

    def sum_over_images(self) -> "LogSums":
        """The sum over all images: one state of shape [1, ...]."""
        return LogSums(
            tf.reduce_sum(self.count, axis=0, keepdims=True),
            tf.reduce_logsumexp(self.log_total, axis=0, keepdims=True),
        )

    def scale(self, factor: float) -> "LogSums":
        """The state if each sample counted `factor` times."""
        return LogSums(self.count * factor, self.log_total + math.log(factor))


EXP_LIMIT = 40.0


def bounded_exp(t: tf.Tensor) -> tf.Tensor:
    """exp(t) up to t = `EXP_LIMIT`, and its tangent beyond: convex, smooth and finite.

    Densities do not differ by a factor of e^40, so no score of a sensible critic is that large.
    """
    below = tf.exp(tf.minimum(t, EXP_LIMIT))
    return below * (1.0 + tf.nn.relu(t - EXP_LIMIT))


@dataclass(frozen=True)
class Estimator:
    """An estimator of a divergence of the joint distribution from the product of the marginals.

    Attributes:
        name: Its name in `NAMES`.
        joint: float32 [N, L, G] -> [N, L, G].
        reduce: float32 [N, K, L, G] -> a state with one row for each of the N images.
        value: ([N, L, G], state) -> scalar. The state's first N rows belong to these images; if not
            `per_image`, it may also be a single row for all of them.
        log_ratio: Score of the optimal critic -> log p(x, y) / (p(x)·p(y)), elementwise; up to a
            constant for dv, and up to a function of the global feature for infonce. None if the
            score does not determine the density ratio.
        per_image: Whether `value` uses each image's state separately.
    """

    name: str
    joint: Callable[[tf.Tensor], tf.Tensor]
    reduce: Callable[[tf.Tensor], Sums | LogSums]
    value: Callable[[tf.Tensor, Sums | LogSums], tf.Tensor]
    log_ratio: Callable[[tf.Tensor], tf.Tensor] | None
    per_image: bool = False

    def __call__(self, scores: PairScores | ChunkedScores, sample_weight: float = 1.0) -> tf.Tensor:
        """The scalar to be maximised.

        Each replica's value uses the product samples of all replicas, and the mean of the replicas'
        values is the value of the whole batch.

        Args:
            scores: Scores of all locations, or of a random sample that is the same in all images.
            sample_weight: Number of locations that each scored location represents. The value is
                unbiased, except infonce's: the logarithm of a rescaled smaller sum is on average
                too small, so the value is too high by about half the relative variance of that sum
                (see docs/METHOD.md).
        """
        local, cross_replica = scores.reduced(self.reduce)
        state = self._merge_all_replicas(local, cross_replica).scale(sample_weight)
        return self.value(self.joint(scores.joint), state)

    def of_samples(self, joint_scores: tf.Tensor, product_scores: tf.Tensor) -> tf.Tensor:
        """The scalar to be maximised, for unpaired samples.

        Each joint sample is compared with all product samples, including other replicas'.

        Args:
            joint_scores: float32 [N], scores of samples of the joint distribution.
            product_scores: float32 [K], scores of samples of the product.
        """
        row = self.reduce(product_scores[tf.newaxis, :, tf.newaxis, tf.newaxis])
        merged = _merge_stacked(tf.nest.map_structure(replicas.all_gather, row))  # [1, ...]
        count = tf.shape(joint_scores)[0]
        repeated = tf.nest.map_structure(lambda x: tf.repeat(x, count, axis=0), merged)
        return self.value(self.joint(joint_scores[:, tf.newaxis, tf.newaxis]), repeated)

    def _merge_all_replicas(self, local, cross_replica):
        """Merges the states of all replicas, for this replica's images or summed over all images.

        Args:
            local: State of the product samples of this replica's N images.
            cross_replica: State that this replica computed for the (R-1)·N images of the other
                replicas, or None.
        """
        if self.per_image:
            return local if cross_replica is None else _merge_per_image(local, cross_replica)
        if replicas.count() == 1:
            return local
        total = local.sum_over_images()
        if cross_replica is not None:
            total = total.merge(cross_replica.sum_over_images())
        return _merge_stacked(tf.nest.map_structure(replicas.all_gather, total))


def _merge_stacked(states):
    """Merges the replicas' states, stacked as [R, ...]."""
    return tf.nest.map_structure(lambda x: x[0], states.sum_over_images())


def _merge_per_image(local, cross_replica):
    """Merges the states that all replicas computed for each image.

    Args:
        local: State of this replica's N images.
        cross_replica: State of the other replicas' (R-1)·N images, cyclically from the next one on.

    Returns:
        The merged state of all R·N images, this replica's first.
    """
    first = replicas.index() * tf.shape(local.count)[0]

    def in_global_order(local, cross_replica):
        return tf.roll(tf.concat([local, cross_replica], 0), first, axis=0)

    all_images = tf.nest.map_structure(in_global_order, local, cross_replica)
    stacked = tf.nest.map_structure(replicas.all_gather, all_images)  # [R, R·N, ...]
    merged = _merge_stacked(stacked)
    return tf.nest.map_structure(lambda x: tf.roll(x, -first, axis=0), merged)


def _sample_count(scores: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """float32 [N]: the number of scores per image along `axes`."""
    shape = tf.shape(scores)
    count = tf.reduce_prod(tf.gather(shape, axes))
    return tf.fill([shape[0]], tf.cast(count, tf.float32))


def _identity(scores):
    return scores


def _difference_of_means(joint, state):
    return tf.reduce_mean(joint) - tf.reduce_sum(state.total) / tf.reduce_sum(state.count)


def _expectations(name, joint, product, log_ratio):
    """E_P[joint(t)] - E_Q[product(t')], which is linear in both expectations."""

    def reduce(scores):
        axes = (1, 2, 3)
        return Sums(_sample_count(scores, axes), tf.reduce_sum(product(scores), axes))

    return Estimator(name, joint, reduce, _difference_of_means, log_ratio)


def _negative_softplus_of_negative(scores):
    return -tf.nn.softplus(-scores)


jensen_shannon = _expectations(
    "jsd", _negative_softplus_of_negative, tf.nn.softplus, log_ratio=_identity
)
"""E[-softplus(-t)] - E[softplus(t')] (section 3.1, eq. 4).

Bounds 2·JSD(P ‖ Q) - 2·log 2 from below (nats); not mutual information. The number of product
samples hardly matters. f-GAN's "Jensen-Shannon" form adds 2·log 2.
"""

gan = _expectations("gan", _negative_softplus_of_negative, tf.nn.softplus, log_ratio=_identity)
"""E[log σ(t)] - E[-log(1 - σ(t'))], f-GAN's "GAN" divergence: f(u) = u log u - (1+u) log(1+u).

Bounds 2·JSD(P ‖ Q) - 2·log 2. With softplus for the logarithms it is `jensen_shannon` under its
name in adversarial training.
"""

nguyen_wainwright_jordan = _expectations(
    "nwj", _identity, lambda t: bounded_exp(t - 1.0), log_ratio=lambda t: t - 1.0
)
"""E[t] - E[exp(t' - 1)] (Nguyen et al. 2010; f-MINE; f-GAN's KL): f(u) = u log u.

Bounds KL(P ‖ Q), which is the mutual information, from below (nats), without bias and with a
variance that grows with its exponential.
"""

reverse_kl = _expectations(
    "rkl", lambda t: -bounded_exp(-t), lambda t: t - 1.0, log_ratio=_identity
)
"""E[-exp(-t)] - E[t' - 1], f-GAN's reverse KL: f(u) = -log u. Bounds KL(Q ‖ P) (nats)."""

squared_hellinger = _expectations(
    "hellinger",
    lambda t: 1.0 - bounded_exp(-t),
    lambda t: bounded_exp(t) - 1.0,
    log_ratio=lambda t: 2.0 * t,
)
"""E[1 - exp(-t)] - E[exp(t') - 1], f-GAN's squared Hellinger: f(u) = (√u - 1)².

Bounds ∫ (√p - √q)², which is at most 2.
"""

pearson_chi2 = _expectations(
    "chi2",
    _identity,
    lambda t: t + t**2 / 4.0,
    log_ratio=lambda t: tf.math.log(tf.maximum(1.0 + t / 2.0, 1e-12)),
)
"""E[t] - E[t' + t'²/4], f-GAN's Pearson χ²: f(u) = (u - 1)². Bounds ∫ (p - q)²/q.

The authors' code has the wrong sign on the square and is unbounded.
"""

wasserstein = _expectations("w1", _identity, _identity, log_ratio=None)
"""E[t] - E[t'] (Arjovsky et al. 2017).

Bounds the Wasserstein-1 distance if the critic is 1-Lipschitz; otherwise it bounds nothing, and
grows without limit unless a temperature fixes the scale of the scores or there is a gradient
penalty.
"""


def _donsker_varadhan_reduce(scores):
    return LogSums(_sample_count(scores, (1,)), tf.reduce_logsumexp(scores, axis=1))  # [N, L, G]


def _donsker_varadhan_value(joint, state):
    log_total = tf.reduce_logsumexp(state.log_total, axis=0)  # [L, G]
    log_mean = log_total - tf.math.log(tf.reduce_sum(state.count))
    return tf.reduce_mean(joint) - tf.reduce_mean(log_mean)


donsker_varadhan = Estimator(
    "dv", _identity, _donsker_varadhan_reduce, _donsker_varadhan_value, log_ratio=_identity
)
"""E[t] - log E[exp t'], one logarithm for each location and global (section 3.1, eq. 2).

With exact expectations it bounds mutual information from below (nats). The logarithm of a batch's
mean is biased downwards, so the value is biased upwards. (The authors' code takes one logarithm
over all locations.)
"""


def _info_nce_reduce(scores):
    axes = (1, 2)
    return LogSums(_sample_count(scores, axes), tf.reduce_logsumexp(scores, axes))  # [N, G]


def _info_nce_value(joint, state):
    n = tf.shape(joint)[0]
    negatives = tf.broadcast_to(state.log_total[:n, tf.newaxis], tf.shape(joint))  # [N, L, G]
    log_count = tf.math.log1p(state.count[:n])
    log_sum = tf.reduce_logsumexp(tf.stack([joint, negatives]), axis=0)
    return tf.reduce_mean(joint - log_sum) + tf.reduce_mean(log_count)


def info_nce_of_vectors(
    queries: tf.Tensor, keys: tf.Tensor, positive: tf.Tensor, excluded: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """InfoNCE of dot products as a loss: the mean of -log(exp q·k⁺ / Σ_k exp q·k).

    >>> vectors = tf.eye(4) * 9.0
    >>> loss, accuracy = info_nce_of_vectors(vectors, vectors, positive=tf.range(4))
    >>> bool(loss < 1e-6), float(accuracy)
    (True, 1.0)

    `info_nce` without the logarithm of the number of samples, for pairs other than local and global
    features (van den Oord et al. 2018, eq. 4; Chen et al. 2020, eq. 1).

    Args:
        queries: float32 [P, D], this replica's queries.
        keys: float32 [K, D], the keys of all replicas.
        positive: int32 [P], row of each query's positive key.
        excluded: int32 [P], row of a key that the sum leaves out, such as the query itself; None:
            the sum includes all keys.

    Returns:
        The loss, and how often the positive key has the highest score.
    """
    scores = tf.matmul(queries, keys, transpose_b=True)  # [P, K]
    rows = tf.range(tf.shape(keys)[0])
    if excluded is not None:
        scores = tf.where(rows == excluded[:, tf.newaxis], -math.inf, scores)
    joint = tf.reduce_sum(tf.where(rows == positive[:, tf.newaxis], scores, 0.0), axis=1)
    loss = tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1) - joint)
    best = tf.argmax(scores, axis=1, output_type=tf.int32) == positive
    return loss, tf.reduce_mean(tf.cast(best, tf.float32))


info_nce = Estimator(
    "infonce", _identity, _info_nce_reduce, _info_nce_value, log_ratio=_identity, per_image=True
)
"""E[t - log((exp t + Σ exp t') / (1 + K·L))] (section 3.1, eq. 5).

The query is the global feature: the negatives of each joint pair are the same global with all K·L
local features of other images, so one log-sum-exp serves all locations of an image. At most
log(1 + K·L). With L = 1 it bounds mutual information from below (nats). The locations of an image
are not independent samples, so with more of them it may exceed the information, up to log L.
"""

_ALL = (
    jensen_shannon,
    info_nce,
    donsker_varadhan,
    nguyen_wainwright_jordan,
    gan,
    reverse_kl,
    squared_hellinger,
    pearson_chi2,
    wasserstein,
)
NAMES = tuple(e.name for e in _ALL)
ALIASES = {"kl": "nwj"}
_ESTIMATORS = {e.name: e for e in _ALL}


def get(name: str) -> Estimator:
    """The estimator of that name: a member of `NAMES` or a key of `ALIASES`.

    Raises:
        ValueError: Unknown name.
    """
    name = ALIASES.get(name, name)
    if name not in _ESTIMATORS:
        raise ValueError(f"unknown estimator {name!r}; expected one of {', '.join(NAMES)}")
    return _ESTIMATORS[name]

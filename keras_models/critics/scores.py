"""Scores of pairs: what a critic returns and an estimator reduces.

N images, L locations of a local map, G globals per image, K product samples per global, R replicas
with N images each. A score is the dot product of a local code l and a global code g:

    T(l, g) = scale(l) · Σ_p ⟨l_p, g_p⟩ + offset(g)

Parts p, scale and offset move a projection's last linear maps and its layer norm from the codes of
all locations to the few global codes and to the scores.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_models.distribute import replicas


class LocalCodes(NamedTuple):
    """Codes of the local features.

    Attributes:
        parts: float32 [N, L, F_p], one or more.
        scale: float32 [N, L]; None: 1.
    """

    parts: tuple[tf.Tensor, ...]
    scale: tf.Tensor | None


class GlobalCodes(NamedTuple):
    """Codes of the global features.

    Attributes:
        parts: float32 [N, G, F_p], as many as the local codes have.
        offset: float32 [N, G]; None: 0.
    """

    parts: tuple[tf.Tensor, ...]
    offset: tf.Tensor | None


def paired_scores(local_codes: LocalCodes, global_codes: GlobalCodes) -> tf.Tensor:
    """Scores of local codes [N, L] with the global codes [N, G] of the same row: [N, L, G]."""
    products = [
        tf.matmul(local, global_, transpose_b=True)
        for local, global_ in zip(local_codes.parts, global_codes.parts, strict=True)
    ]
    scores = tf.add_n(products)
    if local_codes.scale is not None:
        scores *= local_codes.scale[:, :, tf.newaxis]
    return scores if global_codes.offset is None else scores + global_codes.offset[:, tf.newaxis]


def all_scores(local_codes: LocalCodes, global_codes: GlobalCodes) -> tf.Tensor:
    """Scores of all local codes [m, L] with all global codes [n, G]: [n, m, L, G]."""
    products = [
        all_dot_products(local, global_)
        for local, global_ in zip(local_codes.parts, global_codes.parts, strict=True)
    ]
    scores = tf.add_n(products)
    if local_codes.scale is not None:
        scores *= local_codes.scale[tf.newaxis, :, :, tf.newaxis]
    if global_codes.offset is not None:
        scores += global_codes.offset[:, tf.newaxis, tf.newaxis]
    return scores


def all_dot_products(local_codes: tf.Tensor, global_codes: tf.Tensor) -> tf.Tensor:
    """Dot products of all local codes with all global codes, as one matrix product.

    Args:
        local_codes: float32 [m, L, U].
        global_codes: float32 [n, G, U].

    Returns:
        float32 [n, m, L, G].
    """
    m, locations, units = tf.unstack(tf.shape(local_codes))
    n, globals_ = tf.unstack(tf.shape(global_codes)[:2])
    scores = tf.matmul(
        tf.reshape(global_codes, [-1, units]),
        tf.reshape(local_codes, [-1, units]),
        transpose_b=True,
    )  # [n·G, m·L]
    if global_codes.shape[1] == 1:  # the usual case needs no copy
        return tf.reshape(scores, [n, m, locations, 1])
    scores = tf.reshape(scores, [n, globals_, m, locations])
    return tf.transpose(scores, [0, 2, 3, 1])


def drop_positives(scores: tf.Tensor, first=0) -> tf.Tensor:
    """Drops the pairs of an image with itself, so that no score needs a mask.

    In row-major order, consecutive positives are N + 1 entries apart.

    Args:
        scores: [n, N, ...] of the images first ... first + n - 1 of N.
        first: int or int32 scalar.

    Returns:
        [n, N - 1, ...], the negatives in their order.
    """
    n, total = tf.unstack(tf.shape(scores)[:2])
    rest = tf.shape(scores)[2:]

    def shaped(x, *sizes):
        return tf.reshape(x, tf.concat([sizes, rest], 0))

    # The entries before the first positive, between positives, and after the last one.
    last = first + (n - 1) * (total + 1)

    @tf.custom_gradient
    def dropped(x):
        flat = shaped(x, n * total)
        between = shaped(flat[first:last], n - 1, total + 1)[:, 1:]
        kept = tf.concat([flat[:first], shaped(between, -1), flat[last + 1 :]], 0)
        return shaped(kept, n, total - 1), with_zeros

    def with_zeros(upstream):
        flat = shaped(upstream, n * (total - 1))
        end = first + (n - 1) * total
        zero = tf.zeros_like(flat[:1])
        between = shaped(flat[first:end], n - 1, total)
        between = tf.pad(between, [[0, 0], [1, 0]] + [[0, 0]] * (between.shape.rank - 2))
        return shaped(tf.concat([flat[:first], shaped(between, -1), zero, flat[end:]], 0), n, total)

    return dropped(scores)


class PairScores(NamedTuple):
    """A critic's scores, the only input of an estimator.

    Attributes:
        joint: float32 [N, L, G]; joint[n, l, g] = T(local l of image n, global g of image n),
            samples of the joint distribution.
        product: float32 [N, K, L, G]; product[n, k, l, g] = T(local l of the k-th negative of image
            n, global g of image n), samples of the product of the marginals.
        cross_replica: float32 [(R-1)N, N, L, G], the product samples that pair the globals of the
            other replicas' images (cyclically, from the next replica on) with this replica's local
            features; None on one device and for sampled negatives.
    """

    joint: tf.Tensor
    product: tf.Tensor
    cross_replica: tf.Tensor | None = None

    def reduced(self, reduce: Callable) -> tuple[Any, Any]:
        """An estimator's states of `product` and of `cross_replica`; the second may be None."""
        cross_replica = None if self.cross_replica is None else reduce(self.cross_replica)
        return reduce(self.product), cross_replica

    def mean_product(self) -> tf.Tensor:
        """The mean of all product scores, including those with other replicas' globals."""
        blocks = [x for x in (self.product, self.cross_replica) if x is not None]
        total = tf.add_n([tf.reduce_sum(block) for block in blocks])
        return total / tf.cast(tf.add_n([tf.size(block) for block in blocks]), tf.float32)


class ChunkedScores(NamedTuple):
    """Product scores computed chunk by chunk, and again in the backward pass.

    Replaces `PairScores`, with the same values, if all scores at once would not fit into memory.

    Attributes:
        joint: As in `PairScores`.
        local_codes: Codes of this replica's N images.
        global_codes: Codes of this replica's N images.
        cross_replica_codes: Global codes of the other replicas' (R-1)N images, cyclically; None on
            one device.
        chunk: Images per chunk; the last chunk may have fewer.
    """

    joint: tf.Tensor
    local_codes: LocalCodes
    global_codes: GlobalCodes
    cross_replica_codes: GlobalCodes | None
    chunk: int

    def reduced(self, reduce: Callable) -> tuple[Any, Any]:
        """An estimator's states of the product samples: local, and cross-replica or None."""

        def local(local_codes, global_codes, first):
            return reduce(drop_positives(all_scores(local_codes, global_codes), first))

        def cross_replica(local_codes, global_codes, first):
            del first
            return reduce(all_scores(local_codes, global_codes))

        state = map_chunks(local, self.local_codes, self.global_codes, self.chunk)
        if (gathered := self.cross_replica_codes) is None:
            return state, None
        return state, map_chunks(cross_replica, self.local_codes, gathered, self.chunk)

    def mean_product(self) -> tf.Tensor:
        """The mean of all product scores, including those with other replicas' globals."""
        n, locations, globals_ = tf.unstack(tf.cast(tf.shape(self.joint), tf.float32))
        count = n * (n * replicas.count() - 1.0) * locations * globals_
        total = _sum_of_scores(self.local_codes, self.global_codes) - tf.reduce_sum(self.joint)
        if self.cross_replica_codes is not None:
            total += _sum_of_scores(self.local_codes, self.cross_replica_codes)
        return total / count


def _sum_of_scores(local_codes: LocalCodes, global_codes: GlobalCodes) -> tf.Tensor:
    """The sum of all scores, as a dot product of summed codes: no score is computed."""
    m, locations = tf.unstack(tf.shape(local_codes.parts[0])[:2])
    weights = tf.ones([1, m * locations]) if local_codes.scale is None else local_codes.scale
    weights = tf.reshape(weights, [1, m * locations])
    total = tf.constant(0.0)
    if global_codes.offset is not None:
        total += tf.reduce_sum(global_codes.offset) * tf.cast(m * locations, tf.float32)
    for local, global_ in zip(local_codes.parts, global_codes.parts, strict=True):
        local_sum = tf.matmul(weights, tf.reshape(local, [m * locations, -1]))[0]
        total += tf.tensordot(local_sum, tf.reduce_sum(global_, axis=(0, 1)), 1)
    return total


def map_chunks(function: Callable, local_codes: LocalCodes, global_codes: GlobalCodes, chunk: int):
    """Applies a function to the global codes, one chunk of images after another.

    A chunk's memory is freed before the next chunk: the backward pass computes it again.

    Args:
        function: (local codes, global codes of a chunk, the chunk's first image) -> nest of float32
            [chunk, ...].
        local_codes: Codes of all images.
        global_codes: Codes of n images.
        chunk: Images per chunk; the last chunk may have fewer.

    Returns:
        A nest of [n, ...], of the function's structure.

    Raises:
        ValueError: The number of images is unknown when the graph is traced.
    """
    n = global_codes.parts[0].shape[0]
    if n is None:
        raise ValueError(
            "scores by chunks (--score_chunk) need batches of a known size; make them with "
            "drop_remainder=True"
        )
    inputs = [x for x in tf.nest.flatten((local_codes, global_codes)) if x is not None]
    structure: list[Any] = []  # of the function's output

    def in_structure(values):
        remaining = iter(values)
        return tf.nest.map_structure(
            lambda x: None if x is None else next(remaining), (local_codes, global_codes)
        )

    def compute_chunk(first, *values):
        all_local, all_global = in_structure(values)
        chunk_global = tf.nest.map_structure(
            lambda x: None if x is None else x[first : first + chunk], all_global
        )
        out = function(all_local, chunk_global, first)
        structure[:] = [out]
        return tf.nest.flatten(out)

    @tf.custom_gradient
    def run(*values):
        chunks: list[list[tf.Tensor]] = []
        for first in range(0, n, chunk):
            with tf.control_dependencies(chunks[-1] if chunks else []):
                chunks.append(compute_chunk(first, *values))

        def backward(*upstream):
            totals = [tf.zeros_like(x) for x in values]
            previous = list(upstream)
            for first in range(0, n, chunk):
                # Control dependencies run the chunks one by one, after the incoming gradients; else
                # the graph optimizer would keep all chunks, and the forward pass's scores.
                with tf.control_dependencies(previous), tf.GradientTape() as tape:
                    copies = [tf.identity(x) for x in values]
                    tape.watch(copies)
                    out = compute_chunk(first, *copies)
                gradients = tape.gradient(
                    out,
                    copies,
                    [x[first : first + chunk] for x in upstream],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                totals = [a + b for a, b in zip(totals, gradients, strict=True)]
                previous = totals
            return totals

        return [tf.concat(parts, 0) for parts in zip(*chunks, strict=True)], backward

    outputs = run(*inputs)
    return tf.nest.pack_sequence_as(structure[0], outputs)

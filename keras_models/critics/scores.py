"""Scores of pairs: what a critic gives and an estimator sums up.

N images, L locations of a local map, G globals of an image, K product samples of each global, R
replicas with N images each. A score is the dot product of a place with an anchor:

    T(place, anchor) = scale(place) · Σ_p ⟨place_p, anchor_p⟩ + offset(anchor)

The parts p, the scale and the offset let a projection's last linear maps and its layer norm act on
the few anchors and on the scores, and not on the codes of every place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_models.distribute import replicas


class Places(NamedTuple):
    """The side of the local features.

    Attributes:
        parts: float32 [N, L, F_p], one or more.
        scale: float32 [N, L]; None: 1.
    """

    parts: tuple[tf.Tensor, ...]
    scale: tf.Tensor | None


class Anchors(NamedTuple):
    """The side of the global features.

    Attributes:
        parts: float32 [N, G, F_p], as many as the places have.
        offset: float32 [N, G]; None: 0.
    """

    parts: tuple[tf.Tensor, ...]
    offset: tf.Tensor | None


def own_scores(places: Places, anchors: Anchors) -> tf.Tensor:
    """Of each image's places with its anchors: [N, L, G]."""
    products = [
        tf.matmul(place, anchor, transpose_b=True)
        for place, anchor in zip(places.parts, anchors.parts, strict=True)
    ]
    scores = tf.add_n(products)
    if places.scale is not None:
        scores *= places.scale[:, :, tf.newaxis]
    return scores if anchors.offset is None else scores + anchors.offset[:, tf.newaxis]


def all_scores(places: Places, anchors: Anchors) -> tf.Tensor:
    """Of every place [m, L] with every anchor [n, G]: [n, m, L, G]."""
    products = [
        all_dot_products(place, anchor)
        for place, anchor in zip(places.parts, anchors.parts, strict=True)
    ]
    scores = tf.add_n(products)
    if places.scale is not None:
        scores *= places.scale[tf.newaxis, :, :, tf.newaxis]
    if anchors.offset is not None:
        scores += anchors.offset[:, tf.newaxis, tf.newaxis]
    return scores


def all_dot_products(local_codes: tf.Tensor, global_codes: tf.Tensor) -> tf.Tensor:
    """Every local code with every global code, as one matrix product.

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


def without_own(scores: tf.Tensor, first=0) -> tf.Tensor:
    """Drops the pairs of an image with itself, so that no score has to be masked.

    In row-major order an image's own entry stands N + 1 places after that of the image before it.

    Args:
        scores: [n, N, ...] of the images first ... first + n - 1 of N.
        first: int or int32 scalar.

    Returns:
        [n, N - 1, ...], the others in their order.
    """
    n, everyone = tf.unstack(tf.shape(scores)[:2])
    rest = tf.shape(scores)[2:]

    def shaped(x, *sizes):
        return tf.reshape(x, tf.concat([sizes, rest], 0))

    # What stands before the first own entry, between own entries, and after the last one.
    last = first + (n - 1) * (everyone + 1)

    @tf.custom_gradient
    def without(x):
        flat = shaped(x, n * everyone)
        between = shaped(flat[first:last], n - 1, everyone + 1)[:, 1:]
        kept = tf.concat([flat[:first], shaped(between, -1), flat[last + 1 :]], 0)
        return shaped(kept, n, everyone - 1), with_zeros

    def with_zeros(upstream):
        flat = shaped(upstream, n * (everyone - 1))
        end = first + (n - 1) * everyone
        zero = tf.zeros_like(flat[:1])
        between = shaped(flat[first:end], n - 1, everyone)
        between = tf.pad(between, [[0, 0], [1, 0]] + [[0, 0]] * (between.shape.rank - 2))
        return shaped(
            tf.concat([flat[:first], shaped(between, -1), zero, flat[end:]], 0), n, everyone
        )

    return without(scores)


class PairScores(NamedTuple):
    """A critic's scores; all that an estimator sees.

    Attributes:
        joint: float32 [N, L, G]; joint[n, l, g] = T(local l of image n, global g of image n),
            samples of the joint distribution.
        product: float32 [N, K, L, G]; product[n, k, l, g] = T(local l of the k-th other image,
            global g of image n), samples of the product of the marginals.
        foreign: None on one device and for sampled negatives; else float32 [(R-1)N, N, L, G], the
            product samples that pair the globals of the other replicas' images (cyclically, from
            the next replica on) with this replica's local features.
    """

    joint: tf.Tensor
    product: tf.Tensor
    foreign: tf.Tensor | None = None

    def reduced(self, reduce: Callable) -> tuple[Any, Any]:
        """An estimator's states of `product` and of `foreign`; None where there is none."""
        return reduce(self.product), None if self.foreign is None else reduce(self.foreign)

    def mean_product(self) -> tf.Tensor:
        """The mean of all product scores, those of other replicas' globals too."""
        blocks = [self.product] if self.foreign is None else [self.product, self.foreign]
        total = tf.add_n([tf.reduce_sum(block) for block in blocks])
        return total / tf.cast(tf.add_n([tf.size(block) for block in blocks]), tf.float32)


class ChunkedScores(NamedTuple):
    """Product scores that are made a chunk at a time, and again in the backward pass.

    Holds what the scores are made of; stands for `PairScores` where those would not fit into
    memory, with the same values.

    Attributes:
        joint: as in `PairScores`.
        places: of this replica's N images.
        anchors: likewise.
        foreign_anchors: of the others' (R-1)N images, cyclically; None on one device.
        chunk: images a chunk; the last may have less.
    """

    joint: tf.Tensor
    places: Places
    anchors: Anchors
    foreign_anchors: Anchors | None
    chunk: int

    def reduced(self, reduce: Callable) -> tuple[Any, Any]:
        """An estimator's states of the product samples; None for foreign ones on one device."""

        def product(places, anchors, first):
            return reduce(without_own(all_scores(places, anchors), first))

        def foreign(places, anchors, first):
            del first
            return reduce(all_scores(places, anchors))

        own = by_chunks(product, self.places, self.anchors, self.chunk)
        if self.foreign_anchors is None:
            return own, None
        return own, by_chunks(foreign, self.places, self.foreign_anchors, self.chunk)

    def mean_product(self) -> tf.Tensor:
        """The mean of all product scores, those of other replicas' globals too."""
        n, locations, globals_ = tf.unstack(tf.cast(tf.shape(self.joint), tf.float32))
        count = n * (n * replicas.count() - 1.0) * locations * globals_
        total = _sum_of_scores(self.places, self.anchors) - tf.reduce_sum(self.joint)
        if self.foreign_anchors is not None:
            total += _sum_of_scores(self.places, self.foreign_anchors)
        return total / count


def _sum_of_scores(places: Places, anchors: Anchors) -> tf.Tensor:
    """Of every place with every anchor; the dot product of the sums, so no score is made."""
    m, locations = tf.unstack(tf.shape(places.parts[0])[:2])
    each = tf.ones([1, m * locations]) if places.scale is None else places.scale
    each = tf.reshape(each, [1, m * locations])
    total = tf.constant(0.0)
    if anchors.offset is not None:
        total += tf.reduce_sum(anchors.offset) * tf.cast(m * locations, tf.float32)
    for place, anchor in zip(places.parts, anchors.parts, strict=True):
        sum_of_places = tf.matmul(each, tf.reshape(place, [m * locations, -1]))[0]
        total += tf.tensordot(sum_of_places, tf.reduce_sum(anchor, axis=(0, 1)), 1)
    return total


def by_chunks(function: Callable, places: Places, anchors: Anchors, chunk: int):
    """A function of every anchor's image, a chunk of images after the other.

    What a chunk takes is freed before the next one: the backward pass computes it again.

    Args:
        function: (places, anchors of a chunk, the chunk's first image) -> nest of float32
            [chunk, ...].
        places: of all images.
        anchors: of n images.
        chunk: how many of those at once; the last ones may be less.

    Returns:
        The nest of [n, ...].

    Raises:
        ValueError: the number of images is not known when the graph is made.
    """
    n = anchors.parts[0].shape[0]
    if n is None:
        raise ValueError(
            "scores by chunks (--score_chunk) need batches of a known size; make them with "
            "drop_remainder=True"
        )
    inputs = [x for x in tf.nest.flatten((places, anchors)) if x is not None]
    kept: list[Any] = []  # the output's structure

    def in_structure(values):
        left = iter(values)
        return tf.nest.map_structure(lambda x: None if x is None else next(left), (places, anchors))

    def of_chunk(first, *values):
        of_places, of_anchors = in_structure(values)
        rows = tf.nest.map_structure(
            lambda x: None if x is None else x[first : first + chunk], of_anchors
        )
        out = function(of_places, rows, first)
        kept[:] = [out]
        return tf.nest.flatten(out)

    @tf.custom_gradient
    def run(*values):
        found: list[list[tf.Tensor]] = []
        for first in range(0, n, chunk):
            with tf.control_dependencies(found[-1] if found else []):
                found.append(of_chunk(first, *values))

        def backward(*upstream):
            totals = [tf.zeros_like(x) for x in values]
            before = list(upstream)
            for first in range(0, n, chunk):
                # After the gradients that come in, and one chunk after the other: else the graph's
                # optimizer would keep the forward pass's scores, and all chunks' at once.
                with tf.control_dependencies(before), tf.GradientTape() as tape:
                    again = [tf.identity(x) for x in values]
                    tape.watch(again)
                    out = of_chunk(first, *again)
                gradients = tape.gradient(
                    out,
                    again,
                    [x[first : first + chunk] for x in upstream],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                totals = [a + b for a, b in zip(totals, gradients, strict=True)]
                before = totals
            return totals

        return [tf.concat(parts, 0) for parts in zip(*found, strict=True)], backward

    outputs = run(*inputs)
    return tf.nest.pack_sequence_as(kept[0], outputs)

"""Nearest neighbours: as a classifier, and as figures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dim_tf.evaluation import attribute_metrics
from dim_tf.evaluation.figures import NeighbourPanel
from dim_tf.evaluation.measure import NO_LABELS, MetricInfo, Result, Uncertainty, mean_accuracy
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.representation import Representation

QUERY_CHUNK = 500
CANDIDATE_CHUNK = 8192


@dataclass(frozen=True)
class NearestNeighbours:
    """k-nearest-neighbour classification by cosine similarity (Wu et al. 2018, section 3.4).

    A neighbour of similarity s votes for its label with weight exp(s / temperature). Without
    labels there are figures alone.

    Attributes:
        representation: the neighbours of its test images are training images.
        k: neighbours that vote.
        temperature: of the votes.
    """

    representation: Representation
    k: int = 20
    temperature: float = 0.07

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        if self.representation.data.has_classes:
            return {"knn": MetricInfo("fraction", "higher", "neighbour vote (k-NN)")}
        if self.representation.data.has_labels:
            return {"knn_auc": MetricInfo("auc", "higher", "neighbour vote (k-NN): mean AUC")}
        return {}

    @property
    def protocol(self) -> dict[str, str]:
        if not self.representation.data.has_labels:
            return {"knn": f"figures alone: the vote {NO_LABELS}"}
        return {
            "knn": (
                f"{self.k} nearest training images by cosine similarity s, votes weighted by "
                f"exp(s / {self.temperature})"
            )
        }

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        if not data.has_labels:
            return
        train_labels, test_labels = data.train.labels, data.test.labels
        votes = np.eye(len(data.label_names))[train_labels] if data.has_classes else train_labels
        k = min(self.k, len(train_labels))
        for endpoint, features in self.representation.train.items():
            similarity, indices = cosine_neighbours(self.representation.test[endpoint], features, k)
            weights = np.exp((similarity - similarity[:, :1]) / self.temperature)  # [N, k]
            weights /= weights.sum(axis=1, keepdims=True)
            scores = np.einsum("nk,nkc->nc", weights, votes[indices])
            if data.has_classes:
                yield Result("knn", endpoint, *mean_accuracy([scores.argmax(1) == test_labels]))
            else:
                table = attribute_metrics.by_attribute(scores, test_labels, data.label_names)
                ci95 = attribute_metrics.intervals([scores], test_labels)["auc"]
                value = attribute_metrics.means(table)["auc"]
                yield Result("knn_auc", endpoint, value, Uncertainty(None, 1, ci95))

    def figures(self) -> list[NeighbourPanel]:
        """Of the first test images, by the global feature; none where there is none."""
        if "global" not in self.representation.train:
            return []
        return neighbour_panels(self.representation)


SPEC = MeasureSpec(lambda context: NearestNeighbours(context.representation))


def cosine_neighbours(
    queries: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates most similar to each query.

    Args:
        queries: float32 [N, F].
        candidates: float32 [M, F].
        k: at most M.

    Returns:
        Similarities in [-1, 1] and indices of the candidates, both [N, k], most similar first.
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    indices = np.zeros((len(queries), k), np.int32)
    # By chunks of both: CelebA's candidates are gigabytes, of which no second copy is made.
    for begin in range(0, len(candidates), CANDIDATE_CHUNK):
        units = tf.math.l2_normalize(candidates[begin : begin + CANDIDATE_CHUNK], axis=1)
        for first in range(0, len(queries), QUERY_CHUNK):
            chunk = slice(first, first + QUERY_CHUNK)
            unit = tf.math.l2_normalize(queries[chunk], axis=1)
            nearest = tf.math.top_k(tf.matmul(unit, units, transpose_b=True), min(k, len(units)))
            # Earlier candidates first, so that of equals the earlier wins, as in one piece.
            similarities = tf.concat([best[chunk], nearest.values], axis=1)
            numbers = tf.concat([indices[chunk], nearest.indices + begin], axis=1)
            merged = tf.math.top_k(similarities, k)
            best[chunk] = merged.values
            indices[chunk] = tf.gather(numbers, merged.indices, batch_dims=1)
    return best, indices


def neighbour_panels(
    representation: Representation, num_queries: int = 8, k: int = 6
) -> list[NeighbourPanel]:
    """The neighbours of the first test images by the global feature.

    By L1 distance, as the paper shows them, and by cosine similarity.
    """
    data = representation.data
    queries = representation.test["global"][:num_queries]
    candidates = representation.train["global"]
    k = min(k, len(candidates))
    nearest = [
        np.argsort(np.abs(candidates - query).sum(axis=1), kind="stable")[:k] for query in queries
    ]
    by_title = {
        "global feature, L1 distance": np.stack(nearest),
        "global feature, cosine similarity": cosine_neighbours(queries, candidates, k)[1],
    }
    query_images = data.test.images[:num_queries]
    panels = []
    for title, indices in by_title.items():
        same_label = None
        if data.has_classes:
            same_label = data.train.labels[indices] == data.test.labels[:num_queries, np.newaxis]
        panels.append(NeighbourPanel(title, query_images, data.train.images[indices], same_label))
    return panels

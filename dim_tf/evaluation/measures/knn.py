"""Nearest neighbours: as a classifier, and as figures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dim_tf.data import image_ops
from dim_tf.evaluation import attribute_metrics, bootstrap
from dim_tf.evaluation.figures import NeighbourPanel
from dim_tf.evaluation.measure import NO_LABELS, MetricInfo, PerImage, Result, Uncertainty, accuracy
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.neighbours import cosine_neighbours, l1_neighbours
from dim_tf.evaluation.representation import Representation

K = 20  # neighbours that vote
TEMPERATURE = 0.07  # of the votes


@dataclass(frozen=True)
class NearestNeighbours:
    """k-nearest-neighbour classification by cosine similarity (Wu et al. 2018, section 3.4).

    https://arxiv.org/abs/1805.01978; the paper has 200 neighbours. The temperature is the paper's.
    A neighbour of similarity s votes for its label with weight exp(s / temperature). Without labels
    there are only figures.

    Attributes:
        representation: The neighbours of its test images are training images.
        k: Number of neighbours that vote.
        temperature: Temperature of the votes.
    """

    representation: Representation
    k: int = K
    temperature: float = TEMPERATURE

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
        k = min(self.k, len(train_labels))
        for endpoint, features in self.representation.train.items():
            similarity, indices = cosine_neighbours(self.representation.test[endpoint], features, k)
            scores = votes(
                similarity, train_labels[indices], len(data.label_names), self.temperature
            )
            if data.has_classes:
                yield accuracy("knn", endpoint, [scores.argmax(1) == test_labels], data.test.groups)
            else:
                table = attribute_metrics.by_attribute(scores, test_labels, data.label_names)
                auc = attribute_metrics.statistics([scores], test_labels)["auc"]
                ci95 = bootstrap.interval(len(test_labels), auc, groups=data.test.groups)
                value = attribute_metrics.means(table)["auc"]
                yield Result(
                    "knn_auc",
                    endpoint,
                    value,
                    Uncertainty(None, 1, ci95),
                    per_image=PerImage(len(test_labels), auc, groups=data.test.groups),
                )

    def figures(self) -> list[NeighbourPanel]:
        """Neighbours of the first test images by the global feature; none without that feature."""
        if "global" not in self.representation.train:
            return []
        return neighbour_panels(self.representation)


SPEC = MeasureSpec(lambda context: NearestNeighbours(context.representation))


def votes(
    similarity: np.ndarray, labels: np.ndarray, num_classes: int, temperature: float = TEMPERATURE
) -> np.ndarray:
    """The sums of the neighbours' weights by class, or by attribute; the weights sum to 1.

    Args:
        similarity: float [N, k], similarities of the neighbours, the most similar first.
        labels: int [N, k], their classes; or [N, k, A], their attributes, 0 or 1.
        num_classes: C; has no effect for attributes.
        temperature: A similarity s has the weight exp(s / temperature).

    Returns:
        float64 [N, C] or [N, A].
    """
    weights = np.exp((similarity - similarity[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    if labels.ndim == 2:
        return class_votes(weights, labels, num_classes)
    return np.einsum("nk,nka->na", weights, labels)


def class_votes(weights: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Sums of the neighbours' weights by class.

    Args:
        weights: float [N, k], weight of each neighbour.
        labels: int [N, k], class of each neighbour.
        num_classes: C.

    Returns:
        float64 [N, C].
    """
    votes = np.zeros((len(weights), num_classes))
    np.add.at(votes, (np.arange(len(weights))[:, np.newaxis], labels), weights)
    return votes


def neighbour_panels(
    representation: Representation, num_queries: int = 8, k: int = 6
) -> list[NeighbourPanel]:
    """The neighbours of the first test images by the global feature.

    By L1 distance, as in the paper, and by cosine similarity.
    """
    data = representation.data
    queries = representation.test["global"][:num_queries]
    candidates = representation.train["global"]
    k = min(k, len(candidates))
    by_title = {
        "global feature, L1 distance": l1_neighbours(queries, candidates, k),
        "global feature, cosine similarity": cosine_neighbours(queries, candidates, k)[1],
    }
    query_images = image_ops.to_shown(data.test.images[:num_queries])
    panels = []
    for title, indices in by_title.items():
        same_label = None
        if data.has_classes:
            same_label = data.train.labels[indices] == data.test.labels[:num_queries, np.newaxis]
        neighbours = image_ops.to_shown(data.train.images[indices])
        panels.append(NeighbourPanel(title, query_images, neighbours, same_label))
    return panels

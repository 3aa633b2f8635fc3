"""Nearest neighbours: as a classifier, and as pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dim_tf.evaluation import attributes
from dim_tf.evaluation.measure import NO_LABELS, Kind, Result, Uncertainty, of_hits
from dim_tf.evaluation.pictures import NeighbourPanel
from dim_tf.evaluation.representation import Representation

QUERIES = 500
REFERENCES = 8192


@dataclass(frozen=True)
class NearestNeighbours:
    """k-nearest-neighbour classification by cosine similarity (Wu et al. 2018, section 3.4).

    A neighbour of similarity s votes for its label with weight exp(s / temperature). Without
    labels there are pictures alone.

    Attributes:
        representation: whose training images are the neighbours of its test images.
        k: neighbours that vote.
        temperature: of the votes.
    """

    representation: Representation
    k: int = 20
    temperature: float = 0.07

    @property
    def kinds(self) -> dict[str, Kind]:
        if self.representation.splits.has_classes:
            return {"knn": Kind("share", "higher", "neighbour vote (k-NN)")}
        if self.representation.splits.labelled:
            return {"knn_auc": Kind("auc", "higher", "neighbour vote (k-NN): mean AUC")}
        return {}

    @property
    def protocol(self) -> dict[str, str]:
        if not self.representation.splits.labelled:
            return {"knn": f"pictures alone: the vote {NO_LABELS}"}
        return {
            "knn": (
                f"{self.k} nearest training images by cosine similarity s, votes weighted by "
                f"exp(s / {self.temperature})"
            )
        }

    def run(self) -> Iterator[Result]:
        splits = self.representation.splits
        if not splits.labelled:
            return
        labels = splits.train.labels
        votes = np.eye(len(splits.label_names))[labels] if splits.has_classes else labels
        k = min(self.k, len(labels))
        for endpoint, features in self.representation.train.items():
            similarity, rows = cosine_neighbours(self.representation.test[endpoint], features, k)
            weights = np.exp((similarity - similarity[:, :1]) / self.temperature)  # [N, k]
            weights /= weights.sum(axis=1, keepdims=True)
            scores = np.einsum("nk,nkc->nc", weights, votes[rows])
            if splits.has_classes:
                yield Result("knn", endpoint, *of_hits([scores.argmax(1) == splits.test.labels]))
            else:
                truth = splits.test.labels
                table = attributes.measure(scores, truth, splits.label_names)
                uncertainty = Uncertainty(None, 1, attributes.intervals([scores], truth)["auc"])
                yield Result("knn_auc", endpoint, attributes.means(table)["auc"], uncertainty)

    def pictures(self) -> list[NeighbourPanel]:
        """Of the first test images, by the global feature; none where there is none."""
        return panels(self.representation) if "global" in self.representation.train else []


def cosine_neighbours(
    queries: np.ndarray, references: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k references most similar to each query.

    Args:
        queries: float32 [N, F].
        references: float32 [M, F].
        k: at most M.

    Returns:
        Similarities in [-1, 1] and rows of the references, both [N, k], most similar first.
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.zeros((len(queries), k), np.int32)
    # By chunks of both: CelebA's references are gigabytes, of which no second copy is made.
    for begin in range(0, len(references), REFERENCES):
        units = tf.math.l2_normalize(references[begin : begin + REFERENCES], axis=1)
        for first in range(0, len(queries), QUERIES):
            asked = slice(first, first + QUERIES)
            unit = tf.math.l2_normalize(queries[asked], axis=1)
            found = tf.math.top_k(tf.matmul(unit, units, transpose_b=True), min(k, len(units)))
            # Earlier rows first, so that of equals the earlier wins, as in one piece.
            values = tf.concat([best[asked], found.values], axis=1)
            indices = tf.concat([rows[asked], found.indices + begin], axis=1)
            merged = tf.math.top_k(values, k)
            best[asked] = merged.values
            rows[asked] = tf.gather(indices, merged.indices, batch_dims=1)
    return best, rows


def panels(representation: Representation, queries: int = 8, k: int = 6) -> list[NeighbourPanel]:
    """The neighbours of the first test images by the global feature, as pictures.

    By L1 distance, as the paper shows them, and by cosine similarity.
    """
    splits = representation.splits
    asked = representation.test["global"][:queries]
    references = representation.train["global"]
    k = min(k, len(references))
    nearest = [
        np.argsort(np.abs(references - query).sum(axis=1), kind="stable")[:k] for query in asked
    ]
    by_title = {
        "global feature, L1 distance": np.stack(nearest),
        "global feature, cosine similarity": cosine_neighbours(asked, references, k)[1],
    }
    made = []
    for title, rows in by_title.items():
        same = None
        if splits.has_classes:
            same = splits.train.labels[rows] == splits.test.labels[:queries, np.newaxis]
        made.append(
            NeighbourPanel(title, splits.test.images[:queries], splits.train.images[rows], same)
        )
    return made

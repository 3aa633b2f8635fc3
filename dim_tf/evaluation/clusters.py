"""Clusters of features: do they fall into the classes, without any label?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from dim_tf.evaluation.measure import Kind, Result, Uncertainty, of_hits, spread
from dim_tf.evaluation.representation import Representation

IMAGES = 10_000  # that k-means sees: 50,000 of CIFAR-10's conv took 86 s


@dataclass(frozen=True)
class Clusters:
    """k-means of each endpoint's features, as many clusters as classes.

    Accuracy (Xie et al. 2016, section 4.2): each cluster is taken for one class, by the assignment
    under which most images fall into their own class (Kuhn 1955, "Hungarian"). Normalised mutual
    information of cluster and class, over the mean of their entropies.

    Attributes:
        representation: its labels are classes. k-means sees its training images, of more than
            10,000 as many, drawn by each seed.
        seeds: runs to average; seeds count from 0.
        starts: first centres tried by each run; the best is kept.
    """

    representation: Representation
    seeds: int = 3
    starts: int = 1

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            "cluster_accuracy": Kind("share", "higher", "cluster accuracy (k-means)"),
            "cluster_nmi": Kind("share", "higher", "cluster NMI (k-means)"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        classes = len(self.representation.splits.label_names)
        count = len(self.representation.splits.train)
        some = f"{IMAGES:,} training images drawn by each seed"
        return {
            "cluster_accuracy": (
                f"k-means, {classes} clusters, of the features as they are of "
                f"{some if count > IMAGES else 'the training images'}, best of {self.starts} "
                f"k-means++ starts, mean of {self.seeds} seeds; clusters are assigned to classes "
                "one to one by those images' labels; measured on the test images"
            ),
            "cluster_nmi": (
                "normalised mutual information of those clusters and the classes, over the mean "
                "of the two entropies; test images"
            ),
        }

    def run(self) -> Iterator[Result]:
        splits = self.representation.splits
        classes = len(splits.label_names)
        for endpoint, features in self.representation.train.items():
            hits, information = [], []
            for seed in range(self.seeds):
                rows = _drawn(len(features), seed)
                # Fewer clusters than classes where fewer features differ, as of a constant.
                kmeans = KMeans(classes, n_init=self.starts, random_state=seed)
                found = kmeans.fit_predict(features[rows])
                predicted = kmeans.predict(self.representation.test[endpoint])
                class_of = assignment(found, splits.train.labels[rows], classes)
                hits.append(class_of[predicted] == splits.test.labels)
                information.append(
                    float(normalized_mutual_info_score(splits.test.labels, predicted))
                )
            yield Result("cluster_accuracy", endpoint, *of_hits(hits))
            uncertainty = Uncertainty(spread(information), self.seeds, None)
            yield Result("cluster_nmi", endpoint, float(np.mean(information)), uncertainty)


def _drawn(count, seed):
    """Rows of the images that k-means sees."""
    if count <= IMAGES:
        return slice(None)
    return np.random.default_rng(seed).choice(count, IMAGES, replace=False)


def assignment(clusters: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The class of each cluster, one to one, so that most images are in their own class.

    Args:
        clusters: int [N], in 0 ... classes - 1.
        labels: int [N], likewise.
        classes: how many there are.

    Returns:
        int [classes], the class of each cluster.
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]

"""k-means clusters of features: how well they match the classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from dim_tf.evaluation.measure import (
    MetricInfo,
    Result,
    Uncertainty,
    accuracy,
    sample_std,
)
from dim_tf.evaluation.measure_spec import MeasureSpec, needs_classes
from dim_tf.evaluation.representation import Representation

MAX_IMAGES = 10_000  # that k-means sees: 50,000 of CIFAR-10's conv took 86 s


@dataclass(frozen=True)
class Clusters:
    """k-means of each endpoint's features, as many clusters as classes.

    Accuracy (Xie et al. 2016, section 4.2): each cluster is assigned to one class, so that most
    images fall into their own class (Kuhn 1955, the Hungarian method). NMI: mutual information of
    cluster and class, over the mean of their entropies.

    Attributes:
        representation: its labels are classes. k-means sees its training images, or 10,000 of
            them, drawn by each seed, where there are more.
        seeds: runs to average; seeds count from 0.
        starts: initialisations tried by each run; the best is kept.
    """

    representation: Representation
    seeds: int = 3
    starts: int = 1

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            "cluster_accuracy": MetricInfo("fraction", "higher", "cluster accuracy (k-means)"),
            "cluster_nmi": MetricInfo("fraction", "higher", "cluster NMI (k-means)"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        classes = len(self.representation.data.label_names)
        count = len(self.representation.data.train)
        some = f"{MAX_IMAGES:,} training images drawn by each seed"
        return {
            "cluster_accuracy": (
                f"k-means, {classes} clusters, of the features as they are of "
                f"{some if count > MAX_IMAGES else 'the training images'}, best of {self.starts} "
                f"k-means++ starts, mean of {self.seeds} seeds; clusters are assigned to classes "
                "one to one by those images' labels; measured on the test images"
            ),
            "cluster_nmi": (
                "normalised mutual information of those clusters and the classes, over the mean "
                "of the two entropies; test images"
            ),
        }

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        num_classes = len(data.label_names)
        for endpoint, features in self.representation.train.items():
            correct, nmi = [], []
            for seed in range(self.seeds):
                indices = _drawn_indices(len(features), seed)
                # Fewer clusters than classes where fewer features differ, as of a constant.
                # Without its copy of the features, as these are a copy already.
                kmeans = KMeans(num_classes, n_init=self.starts, random_state=seed, copy_x=False)
                clusters = kmeans.fit_predict(features[indices])
                test_clusters = kmeans.predict(self.representation.test[endpoint])
                class_of = assign_classes(clusters, data.train.labels[indices], num_classes)
                correct.append(class_of[test_clusters] == data.test.labels)
                nmi.append(float(normalized_mutual_info_score(data.test.labels, test_clusters)))
            yield accuracy("cluster_accuracy", endpoint, correct)
            uncertainty = Uncertainty(sample_std(nmi), self.seeds, None)
            yield Result("cluster_nmi", endpoint, float(np.mean(nmi)), uncertainty)


SPEC = MeasureSpec(lambda context: Clusters(context.representation), requires=(needs_classes,))


def _drawn_indices(count, seed):
    """Indices of the images that k-means sees."""
    if count <= MAX_IMAGES:
        return np.arange(count)
    return np.random.default_rng(seed).choice(count, MAX_IMAGES, replace=False)


def assign_classes(clusters: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The class of each cluster, one to one, so that most images are in their own class.

    Args:
        clusters: int [N], in 0 ... num_classes - 1.
        labels: int [N], likewise.
        num_classes: also the number of clusters.

    Returns:
        int [num_classes], the class of each cluster.
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]

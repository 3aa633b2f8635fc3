"""Clusters of features, by k-means and by the model itself: how well they match the classes."""

from collections.abc import Callable, Iterator
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
ASSIGNED_ENDPOINT = "global"  # which the head of a clustering model sees


@dataclass(frozen=True)
class Clusters:
    """k-means of each endpoint's features, with as many clusters as classes.

    Accuracy (Xie et al. 2016, section 4.2): each cluster is assigned to one class such that most
    images fall into their own class (Kuhn 1955, the Hungarian method). NMI: mutual information of
    cluster and class, divided by the mean of their entropies. For a model that assigns images to
    clusters (`dec`, `dac`, `imsat`, `iic`), both are also measured for its own assignment.

    Attributes:
        representation: A representation whose labels are classes. k-means sees its training images;
            if there are more than 10,000, each seed draws 10,000 of them.
        seeds: Number of runs to average; seeds count from 0.
        starts: Number of initialisations that each run tries; the best is kept.
        assign: The model's own assignment: global features [N, D] -> int [N], the cluster of each
            image; None for a model without one.
    """

    representation: Representation
    seeds: int = 3
    starts: int = 1
    assign: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        metrics = {
            "cluster_accuracy": MetricInfo("fraction", "higher", "cluster accuracy (k-means)"),
            "cluster_nmi": MetricInfo("fraction", "higher", "cluster NMI (k-means)"),
        }
        if self.assign:
            metrics |= {
                "assigned_accuracy": MetricInfo("fraction", "higher", "cluster accuracy (head)"),
                "assigned_nmi": MetricInfo("fraction", "higher", "cluster NMI (head)"),
            }
        return metrics

    @property
    def protocol(self) -> dict[str, str]:
        classes = len(self.representation.data.label_names)
        count = len(self.representation.data.train)
        some = f"{MAX_IMAGES:,} training images drawn by each seed"
        protocol = {
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
        if self.assign:
            protocol |= {
                "assigned_accuracy": (
                    "each image in the cluster that the trained model's head assigns it to; "
                    "clusters are assigned to classes one to one by the training images' labels, "
                    "and images in clusters beyond the classes count as wrong; measured on the "
                    "test images"
                ),
                "assigned_nmi": "as cluster_nmi, of those clusters",
            }
        return protocol

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        num_classes = len(data.label_names)
        for endpoint, features in self.representation.train.items():
            correct, nmi = [], []
            for seed in range(self.seeds):
                indices = _drawn_indices(len(features), seed)
                # Fewer clusters than classes if fewer features differ, as for a constant. Without
                # k-means' own copy of the features, because these are a copy already.
                kmeans = KMeans(num_classes, n_init=self.starts, random_state=seed, copy_x=False)
                clusters = kmeans.fit_predict(features[indices])
                test_clusters = kmeans.predict(self.representation.test[endpoint])
                class_of = assign_classes(clusters, data.train.labels[indices], num_classes)
                correct.append(class_of[test_clusters] == data.test.labels)
                nmi.append(float(normalized_mutual_info_score(data.test.labels, test_clusters)))
            yield accuracy("cluster_accuracy", endpoint, correct, data.test.groups)
            uncertainty = Uncertainty(sample_std(nmi), self.seeds, None)
            yield Result("cluster_nmi", endpoint, float(np.mean(nmi)), uncertainty)
        if self.assign:
            yield from self._assigned(self.assign)

    def _assigned(self, assign) -> Iterator[Result]:
        data = self.representation.data
        train, test = (
            assign(features[ASSIGNED_ENDPOINT])
            for features in (self.representation.train, self.representation.test)
        )
        class_of = assign_classes(train, data.train.labels, len(data.label_names))
        # A cluster without training images has no class.
        class_of = np.pad(class_of, (0, max(0, test.max() + 1 - len(class_of))), constant_values=-1)
        correct = class_of[test] == data.test.labels
        yield accuracy("assigned_accuracy", ASSIGNED_ENDPOINT, [correct], data.test.groups)
        nmi = float(normalized_mutual_info_score(data.test.labels, test))
        yield Result("assigned_nmi", ASSIGNED_ENDPOINT, nmi, Uncertainty(None, 1, None))


SPEC = MeasureSpec(
    lambda context: Clusters(context.representation, assign=context.assign_clusters),
    requires=(needs_classes,),
)


def _drawn_indices(count, seed):
    """Indices of the images that k-means sees."""
    if count <= MAX_IMAGES:
        return np.arange(count)
    return np.random.default_rng(seed).choice(count, MAX_IMAGES, replace=False)


def assign_classes(clusters: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The class of each cluster, one to one, such that most images are in their own class.

    Args:
        clusters: int [N], from 0; there may be more clusters than classes.
        labels: int [N], in 0 ... num_classes - 1.
        num_classes: Number of classes.

    Returns:
        int [max(num_classes, largest cluster + 1)], the class of each cluster; -1 for a cluster
        that gets no class.
    """
    counts = np.zeros((max(num_classes, clusters.max() + 1), num_classes), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    class_of = np.full(len(counts), -1)
    matched, classes = linear_sum_assignment(counts, maximize=True)
    class_of[matched] = classes
    return class_of

"""Measures resample groups of test images as a whole, and keep the groups for the verdict."""

from dataclasses import replace

import numpy as np
import pytest
from sample_representations import evaluation_data, representation

from dim_tf.evaluation.measures.clusters import Clusters
from dim_tf.evaluation.measures.few_labels import FewLabels
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.measures.probes import Probe
from dim_tf.evaluation.measures.rotation import RotationProbe
from dim_tf.evaluation.measures.svm import SupportVectorMachine
from dim_tf.evaluation.representation import Representation

GROUPS = np.arange(128) // 32  # four


def rotation_probe(representation):
    def encode(data):
        features = [
            {"global": split.images.reshape(len(split), -1)} for split in (data.train, data.test)
        ]
        return Representation(*features, data)

    return RotationProbe(representation, encode)


def measured(build, groups, multi_label):
    """The first result with an interval, of a measure of noise."""
    data = evaluation_data(multi_label=multi_label)
    data = replace(data, test=replace(data.test, groups=groups))
    results = build(representation("random", data)).run()
    return next(result for result in results if result.per_image)


@pytest.mark.parametrize(
    ("build", "multi_label"),
    [
        (NearestNeighbours, False),
        (NearestNeighbours, True),
        (lambda r: Probe(r, hidden=False, epochs=1, seeds=1, fast=True), False),
        (lambda r: Probe(r, hidden=False, epochs=1, seeds=1, fast=True), True),
        (lambda r: FewLabels(r, epochs=1, seeds=1, fast=True), False),
        (Clusters, False),
        (SupportVectorMachine, False),
        (rotation_probe, False),
    ],
    ids=["knn", "knn_auc", "probe", "probe_auc", "few_labels", "clusters", "svm", "rotation"],
)
def test_the_interval_is_of_groups(build, multi_label):
    alone, together = (measured(build, groups, multi_label) for groups in (None, GROUPS))
    assert alone.value == together.value
    assert alone.uncertainty.ci95 != together.uncertainty.ci95
    assert alone.per_image.groups is None
    np.testing.assert_array_equal(together.per_image.groups, GROUPS)

"""Measures resample groups of test images as a whole, and keep the groups for the verdict."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from sample_representations import evaluation_data, representation

from dim_tf.evaluation.measure_spec import TrainableEncoders
from dim_tf.evaluation.measures.clusters import Clusters
from dim_tf.evaluation.measures.few_labels import FewLabels
from dim_tf.evaluation.measures.fine_tuning import FineTuning
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.measures.prior_match import PriorMatch
from dim_tf.evaluation.measures.probes import Probe
from dim_tf.evaluation.measures.reconstruction import Reconstruction
from dim_tf.evaluation.measures.rotation import RotationProbe
from dim_tf.evaluation.measures.svm import SupportVectorMachine
from dim_tf.evaluation.representation import Representation
from keras_models import encoders

GROUPS = np.arange(128) // 32  # four


def rotation_probe(representation):
    def encode(data):
        features = [
            {"global": split.images.reshape(len(split), -1)} for split in (data.train, data.test)
        ]
        return Representation(*features, data)

    return RotationProbe(representation, encode)


def fine_tuning(representation):
    keras.utils.set_random_seed(0)
    networks = [encoders.ConvNet((16, 16, 1), ((4, 4, 2, 1),), (8,), 0, 5) for _ in range(2)]
    for network in networks:
        network.build()
    return FineTuning(TrainableEncoders(*networks), representation.data, epochs=1)


def measured(build, groups, multi_label=False, size=4):
    """The first result with an interval, of a measure of noise."""
    data = evaluation_data(multi_label=multi_label, size=size)
    data = replace(data, test=replace(data.test, groups=groups))
    results = build(representation("random", data)).run()
    return next(result for result in results if result.uncertainty.ci95)


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


@pytest.mark.parametrize(
    "build",
    [
        lambda r: PriorMatch(r, "gaussian", steps=2, batch_size=32),
        lambda r: Reconstruction(r, steps=2, batch_size=32, width_divisor=8),
        fine_tuning,
    ],
    ids=["prior_match", "reconstruction", "fine_tuning"],
)
def test_the_interval_is_of_groups_where_no_verdict_reads_it(build):
    alone, together = (measured(build, groups, size=16) for groups in (None, GROUPS))
    assert alone.value == pytest.approx(together.value)
    low, high = together.uncertainty.ci95
    assert (low, high) != pytest.approx(alone.uncertainty.ci95, abs=1e-5)

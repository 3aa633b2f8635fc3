"""Nearest neighbours: as a classifier and as figures."""

import numpy as np
from sample_representations import evaluation_data, measured, representation

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures.knn import NearestNeighbours, class_votes, neighbour_panels
from dim_tf.evaluation.representation import Representation


def test_attributes_by_neighbours():
    assert measured("ideal", NearestNeighbours, multi_label=True)["knn_auc"].value == 1.0


def test_votes_are_weighted_by_similarity():
    """One near neighbour outvotes two far ones."""
    near, far = [1.0, 0.0], [0.0, 1.0]
    train = EvaluationSplit(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 1, 1]))
    test = EvaluationSplit(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))
    data = EvaluationData(train, test, ("a", "b"), "synthetic")
    features = {"global": np.array([near, far, far], np.float32)}
    r = Representation(features, {"global": np.array([near], np.float32)}, data)
    assert next(NearestNeighbours(r, k=3).run()).value == 1.0


def test_votes_are_the_sums_of_weights_by_class():
    weights, labels = np.array([[0.5, 0.25, 0.25]]), np.array([[2, 0, 2]])
    np.testing.assert_array_equal(class_votes(weights, labels, 4), [[0.25, 0, 0.75, 0]])


def test_panels_show_the_nearest_images():
    data = evaluation_data()
    r = representation("ideal", data)
    for panel in neighbour_panels(r, num_queries=5, k=3):
        assert panel.neighbours.shape == (5, 3, 4, 4, 1)
        assert panel.same_label.all()
        np.testing.assert_array_equal(panel.queries, data.test.images[:5])

"""Nearest neighbours: as a classifier and as figures."""

import numpy as np
from sample_representations import evaluation_data, measured, representation

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures import knn
from dim_tf.evaluation.measures.knn import NearestNeighbours, cosine_neighbours, neighbour_panels
from dim_tf.evaluation.representation import Representation


def test_attributes_by_neighbours():
    assert measured("ideal", NearestNeighbours, multi_label=True)["knn_auc"].value == 1.0


def test_neighbours_against_a_plain_loop():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(7, 5)), rng.normal(size=(11, 5))
    similarity, indices = cosine_neighbours(
        queries.astype(np.float32), candidates.astype(np.float32), 3
    )
    for q, query in enumerate(queries):
        cosines = [query @ r / np.linalg.norm(query) / np.linalg.norm(r) for r in candidates]
        order = np.argsort(cosines)[::-1][:3]
        assert list(indices[q]) == list(order)
        np.testing.assert_allclose(similarity[q], np.array(cosines)[order], atol=1e-6)


def test_neighbours_in_chunks_are_those_in_one_piece(monkeypatch):
    """Ties too: of equal candidates the first one is nearest."""
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(7, 5)), rng.normal(size=(11, 5))
    candidates[8] = candidates[2]
    arguments = queries.astype(np.float32), candidates.astype(np.float32), 4
    similarity, indices = cosine_neighbours(*arguments)
    assert ((indices == 2).sum(1) >= (indices == 8).sum(1)).all()
    assert (indices == 8).any()
    monkeypatch.setattr(knn, "QUERY_CHUNK", 2)
    monkeypatch.setattr(knn, "CANDIDATE_CHUNK", 3)
    in_chunks = cosine_neighbours(*arguments)
    np.testing.assert_allclose(in_chunks[0], similarity, atol=1e-6)
    np.testing.assert_array_equal(in_chunks[1], indices)


def test_votes_are_weighted_by_similarity():
    """One near neighbour outvotes two far ones."""
    near, far = [1.0, 0.0], [0.0, 1.0]
    train = EvaluationSplit(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 1, 1]))
    test = EvaluationSplit(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))
    data = EvaluationData(train, test, ("a", "b"), "synthetic")
    features = {"global": np.array([near, far, far], np.float32)}
    r = Representation(features, {"global": np.array([near], np.float32)}, data)
    assert next(NearestNeighbours(r, k=3).run()).value == 1.0


def test_panels_show_the_nearest_images():
    data = evaluation_data()
    r = representation("ideal", data)
    for panel in neighbour_panels(r, num_queries=5, k=3):
        assert panel.neighbours.shape == (5, 3, 4, 4, 1)
        assert panel.same_label.all()
        np.testing.assert_array_equal(panel.queries, data.test.images[:5])

"""The benchmark of the index measures each kind, at a few rows."""

import argparse

import index_million
import numpy as np
import pytest

ARGUMENTS = argparse.Namespace(
    rows=1500, dimension=16, inner=4, clusters=10, queries=20, k=3, exact_neighbours=1500
)


@pytest.mark.parametrize("kind", index_million.KINDS)
def test_every_kind_is_measured(kind):
    results = index_million.measure(kind, ARGUMENTS)
    assert results.keys() >= {*index_million.SECONDS, "recall", "bytes", "peak"}
    assert results["description"].startswith(kind.split(",")[0])
    assert 0.9 < results["recall"] <= 1


def test_an_exact_index_of_many_rows_has_no_neighbours_of_all():
    arguments = argparse.Namespace(**vars(ARGUMENTS) | {"exact_neighbours": 1499})
    assert "neighbours" not in index_million.measure("exact", arguments)


def test_embeddings_vary_in_few_directions_around_their_centers():
    features = index_million.embeddings(500, 16, inner=4, clusters=1, seed=0)
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    assert values[3] > 1
    assert values[4] < 1e-2
    np.testing.assert_array_equal(features, index_million.embeddings(500, 16, 4, 1, seed=0))

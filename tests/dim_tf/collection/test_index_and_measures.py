"""The index and the measures of an evaluation agree on what is nearest."""

import numpy as np

from dim_tf.collection.index import Index
from dim_tf.evaluation.neighbours import cosine_neighbours


def test_an_exact_index_gives_the_neighbours_of_the_measures():
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((3000, 24)), 0).astype(np.float32)
    features[1000:1010] = features[7]
    queries = np.concatenate([features[:50], rng.random((50, 24), np.float32)])
    index = Index.build(features, [str(number) for number in range(3000)])
    similarities, rows = index.search(queries, 20)
    expected, expected_rows = cosine_neighbours(queries, features, 20)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)

"""The rules of imagededup, which the benchmark of curation applies itself."""

import curation_peers
import numpy as np
from sklearn.metrics.pairwise import cosine_similarity


def test_pairs_are_those_of_a_cosine_of_nine_tenths(monkeypatch):
    monkeypatch.setattr(curation_peers, "BLOCK", 7)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 3)).astype(np.float32)
    pairs = curation_peers.imagededup_cnn({"features": features})
    alike = np.triu(cosine_similarity(features.astype(np.float64)) >= 0.9, 1)
    assert 0 < len(pairs) < 190
    np.testing.assert_array_equal(pairs, np.argwhere(alike))


def test_codes_are_close_that_differ_in_ten_bits():
    codes = [0, 2**10 - 1, 2**11 - 1, 2**64 - 1]  # 0, 10, 11 and 64 bits
    pairs = curation_peers.close_codes(np.array(codes, np.uint64))
    assert pairs.tolist() == [[0, 1], [1, 2]]

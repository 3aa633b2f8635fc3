"""Proxies of representations of known quality: ideal high, constant low, exact by hand."""

import numpy as np
import pytest

from dim_tf.evaluation import label_free


def noise(n=300, size=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


def constant(n=300, size=16):
    return np.full((n, size), 0.3, np.float32)


def doubled(features):
    return np.concatenate([features, features], axis=-1)


def blobs(n=300, clusters=20, size=16, spread=0.01):
    """Well separated clusters."""
    centres = noise(clusters, size, seed=1)
    return centres[np.arange(n) % clusters] + spread * noise(n, size, seed=2)


def with_spectrum(alpha, n=400, size=60):
    """Features whose covariance has the eigenvalues j^-alpha exactly."""
    basis, _ = np.linalg.qr(noise(n, size) - noise(n, size).mean(axis=0))
    return (basis * np.arange(1, size + 1) ** (-alpha / 2)).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_decay_of_a_known_spectrum(alpha):
    features = with_spectrum(alpha)
    assert label_free.spectrum_decay(features) == pytest.approx(alpha, abs=0.02)
    assert label_free.spectrum_decay(10 * features + 1) == pytest.approx(alpha, abs=0.02)
    assert label_free.spectrum_decay(doubled(features)) == pytest.approx(alpha, abs=0.02)


def test_a_constant_has_no_spectrum():
    assert label_free.spectrum_decay(constant()) == np.inf


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_dimension_of_a_plane(dimension):
    rng = np.random.default_rng(0)
    plane = rng.random((1000, dimension)) @ rng.normal(size=(dimension, 16)) + 7
    features = plane.astype(np.float32)
    assert label_free.intrinsic_dimension(features) == pytest.approx(dimension, rel=0.15)
    assert label_free.intrinsic_dimension(doubled(features)) == pytest.approx(
        label_free.intrinsic_dimension(features), rel=1e-2
    )


def test_a_constant_has_no_dimension_and_equal_images_do_not_count():
    assert label_free.intrinsic_dimension(constant()) == 0.0
    some = noise()
    twins = np.concatenate([some, some[:30]])
    assert 0 < label_free.intrinsic_dimension(twins) < 20


def test_ranks_of_retrieval_by_hand():
    originals = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    copies = np.array([[9, 1], [9, 1], [-1, -1]], np.float32)
    assert label_free.retrieval_ranks(copies, originals).tolist() == [1, 3, 3]


def test_ideal_copies_are_retrieved_and_those_of_a_constant_are_not():
    features = noise()
    for ideal in (features, doubled(features)):
        assert (label_free.retrieval_ranks(3 * ideal, ideal) == 1).all()
    assert (label_free.retrieval_ranks(constant(), constant()) == 300).all()
    unrelated = label_free.retrieval_ranks(noise(seed=5), features)
    assert unrelated.mean() == pytest.approx(150, abs=20)


def test_agreement_is_1_of_the_same_and_chance_of_the_unrelated_and_of_a_constant():
    features = noise()
    np.testing.assert_array_equal(label_free.neighbour_agreement(features, 2 * features), 1)
    unrelated = label_free.neighbour_agreement(features, noise(seed=5)).mean()
    assert unrelated == pytest.approx(10 / 299, abs=0.02)
    # All images have the same ten neighbours: 0.03 ± 0.06 by chance.
    assert label_free.neighbour_agreement(constant(), constant()).mean() < 0.2


def test_agreement_by_hand():
    """The nearest other of three directions: 10° from 0°, 0° from 10° and 10° from 50°."""

    def directions(degrees):
        angle = np.radians(degrees)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    agreement = label_free.neighbour_agreement(directions([0, 10, 50]), directions([0, 40, 50]), 1)
    assert agreement.tolist() == [1, 0, 1]


def test_halves_agree_where_one_signal_is_in_both():
    signal = noise(size=4)
    both = np.concatenate([signal @ noise(4, 32, seed=s) for s in (1, 2)], axis=1)
    assert label_free.half_agreement(both).mean() > 0.6
    assert label_free.half_agreement(noise(size=64)).mean() < 0.15
    assert label_free.half_agreement(constant()).mean() < 0.1


def test_relative_alignment_against_a_plain_loop():
    one, other = noise(20, 3) + 1, noise(20, 3, seed=1) + 1
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    distances = np.square(u[:, np.newaxis] - v).sum(axis=2)
    same = np.diagonal(distances).mean()
    different = distances[~np.eye(20, dtype=bool)].mean()
    expected = 1 - same / different
    for factor in (1, 4):
        value = label_free.relative_alignment(factor * one, other)
        assert value == pytest.approx(expected, abs=1e-5)
    assert label_free.relative_alignment(doubled(one), doubled(other)) == pytest.approx(
        expected, abs=1e-5
    )
    assert label_free.relative_alignment(one, one) == pytest.approx(1)
    assert label_free.relative_alignment(constant(), constant()) == 0.0


def test_lidar_counts_the_directions_in_which_images_differ_and_their_views_do_not():
    content, nuisance = noise(400, 4), np.stack([noise(400, 4, seed=s) for s in (1, 2, 3)])
    views = np.concatenate([np.stack([content] * 3) + 0.01 * nuisance, nuisance], axis=2)
    assert label_free.lidar(views) == pytest.approx(4, rel=0.05)
    assert label_free.lidar(100 * views) == pytest.approx(label_free.lidar(views), rel=1e-3)
    assert label_free.lidar(np.stack([constant()] * 3)) == 1.0


def test_lidar_of_many_dimensions_is_that_of_few(monkeypatch):
    content = noise(100, 4) @ noise(4, 12, seed=4)
    views = np.stack([content + 0.1 * noise(100, 12, seed=s) for s in (1, 2, 3)])
    few = label_free.lidar(views @ noise(12, 12, seed=9))
    monkeypatch.setattr(label_free, "LIDAR_COMPONENTS", 6)
    assert label_free.lidar(views) == pytest.approx(few, rel=0.2)


def test_lidar_of_fewer_images_than_dimensions(monkeypatch):
    """Dimensions that are always 0 change nothing, whatever the lengths of the others."""
    content = noise(30, 10) * np.geomspace(300, 1, 10)
    views = np.stack([content + noise(30, 10, seed=s) for s in (1, 2, 3)]).astype(np.float32)
    few = label_free.lidar(views)
    monkeypatch.setattr(label_free, "LIDAR_COMPONENTS", 20)
    padded = np.concatenate([views, np.zeros((3, 30, 50), np.float32)], axis=2)
    assert label_free.lidar(padded) == pytest.approx(few, rel=1e-3)


@pytest.mark.parametrize("probe", [label_free.pretext_neighbours, label_free.pretext_probe])
def test_transformations_are_recognised_by_features_that_hold_them(probe):
    def transformed(n, seed, features):
        """N images after four transformations: noise, and one number for each."""
        one_hot = np.repeat(np.eye(4, dtype=np.float32)[:, np.newaxis], n, axis=1)
        return np.stack(
            [np.concatenate([noise(n, 4, seed + r), features * one_hot[r]], 1) for r in range(4)]
        )

    ideal = probe(transformed(40, 0, 9.0), transformed(30, 10, 9.0))
    assert ideal.shape == (30,)
    assert ideal.mean() == 1
    twice = probe(doubled(transformed(40, 0, 9.0)), doubled(transformed(30, 10, 9.0)))
    assert twice.mean() == 1
    test = transformed(30, 10, 9.0)
    test[:, 7] = test[0, 7]  # one image that looks the same after each
    np.testing.assert_array_equal(probe(transformed(40, 0, 9.0), test), [1] * 7 + [0.25] + [1] * 22)
    blind = probe(transformed(100, 0, 0.0), transformed(100, 10, 0.0)).mean()
    assert blind == pytest.approx(0.25, abs=0.1)
    same = np.stack([constant(60)] * 4)
    assert probe(same, same[:, :50]).mean() == 0.25


def test_clusters_are_stable_consistent_and_separate_where_there_are_some():
    for features in (blobs(), doubled(blobs())):
        assert label_free.cluster_stability(features) > 0.8
        copies = features + 0.01 * noise(size=features.shape[1], seed=7)
        assert label_free.cluster_consistency(features, copies) > 0.95
        assert label_free.silhouette(features) > 0.7
    assert label_free.cluster_stability(noise()) < 0.3
    assert label_free.cluster_consistency(noise(), noise(seed=5)) < 0.1
    assert label_free.silhouette(noise()) < 0.2
    assert label_free.cluster_stability(constant()) == 0
    assert label_free.cluster_consistency(constant(), constant()) == 0
    assert label_free.silhouette(constant()) == 0

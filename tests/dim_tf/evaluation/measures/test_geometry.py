"""Alignment, uniformity and effective rank of representations whose geometry is known."""

import numpy as np
import pytest
from sample_representations import evaluation_data, measured, representation

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures import geometry
from dim_tf.evaluation.measures.geometry import Geometry, alignment, effective_rank, uniformity
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError


def of(kind):
    results = measured(kind, lambda r: Geometry(r, None))
    return results["uniformity"].value, results["effective_rank"].value


def noise(n=400, dim=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def test_constant_ideal_and_random():
    assert of("constant") == (pytest.approx(0.0, abs=1e-6), 1.0)
    spread, rank = of("ideal")
    # Images of different classes are √2 apart, the others fall together.
    labels = evaluation_data().test.labels
    together = (np.mean(labels[:, np.newaxis] == labels) * 128 - 1) / 127
    assert spread == pytest.approx(np.log(together + (1 - together) * np.exp(-4)), abs=1e-4)
    assert rank == pytest.approx(3, abs=0.05)  # four one-hot numbers less their mean
    spread, rank = of("random")
    assert spread < -2.5
    assert rank > 7.5


def test_to_double_the_features_changes_nothing():
    features = noise()
    twice = np.concatenate([features, features], axis=1)
    assert uniformity(twice) == pytest.approx(uniformity(features), rel=1e-5)
    assert effective_rank(twice) == pytest.approx(effective_rank(features), rel=1e-5)
    assert alignment(twice, twice[::-1]) == pytest.approx(
        alignment(features, features[::-1]), rel=1e-5
    )


def test_effective_rank_of_known_singular_values():
    left, _, right = np.linalg.svd(noise(30, 5) - noise(30, 5).mean(0), full_matrices=False)
    left -= left.mean(0)
    values = np.array([4, 2, 1, 1, 0])
    shares = values[values > 0] / 8
    matrix = (left * values) @ right + 3.0  # the mean is no direction
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert effective_rank(matrix.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    wide = np.concatenate([matrix, np.zeros((30, 100))], axis=1).astype(np.float32)
    assert effective_rank(wide) == pytest.approx(expected, rel=1e-3)


def test_uniformity_against_a_plain_loop(monkeypatch):
    monkeypatch.setattr(geometry, "CHUNK_SIZE", 7)
    features = noise(20, 3)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [np.exp(-2 * np.sum((units[i] - units[j]) ** 2)) for i in range(20) for j in range(i)]
    assert uniformity(features) == pytest.approx(np.log(np.mean(pairs)), abs=1e-5)


def test_uniformity_of_zeros():
    assert uniformity(np.zeros((20, 3), np.float32)) == 0.0
    one = np.zeros((2, 3), np.float32)
    one[0] = [0, 3, 4]  # of length 1, and 0: 1 apart
    assert uniformity(one) == pytest.approx(-2.0)


def test_alignment_of_equal_opposite_and_unrelated():
    features = noise(2000)
    assert alignment(features, 3 * features) == pytest.approx(0, abs=1e-6)
    assert alignment(features, -features) == pytest.approx(4)
    assert alignment(features, noise(2000, seed=1)) == pytest.approx(2, abs=0.1)


def views(encode):
    """Alignment as measured by an encoder of images: uint8 [N, H, W, C] -> [N, F]."""
    rng = np.random.default_rng(0)
    split = EvaluationSplit(rng.integers(0, 256, (600, 8, 8, 1), np.uint8), np.zeros(600, np.int64))
    data = EvaluationData(split, split, ("a",), "synthetic")

    def representation_of(splits):
        return Representation(
            {"global": encode(splits.train.images)}, {"global": encode(splits.test.images)}, splits
        )

    measure = Geometry(representation_of(data), representation_of)
    return {result.metric: result.value for result in measure.run()}["alignment"], measure


def test_alignment_of_two_views():
    """What both views share is aligned, pixels are not; a constant is, and is worth nothing."""

    def pixels(images):
        return images.reshape(len(images), -1).astype(np.float32) - 127.5

    def histogram(images):
        return np.sort(pixels(images), axis=1)[:, ::8]

    assert views(lambda x: np.ones((len(x), 2), np.float32))[0] == 0.0
    assert views(histogram)[0] < 0.5 * views(pixels)[0]
    value, measure = views(pixels)
    assert 0.5 < value < 2.1
    assert value == views(pixels)[0]
    assert set(measure.protocol) == set(measure.metrics)
    assert "of the first 600 test images;" in measure.protocol["alignment"]


def test_without_an_encoder_there_is_no_alignment():
    measure = Geometry(representation("ideal", evaluation_data()), None)
    assert {r.metric for r in measure.run()} == {"uniformity", "effective_rank"}
    assert set(measure.protocol) == set(measure.metrics) == {"uniformity", "effective_rank"}


def test_one_image_has_no_uniformity():
    with pytest.raises(RunError, match="pairs of images, and there is one"):
        uniformity(noise(n=1))

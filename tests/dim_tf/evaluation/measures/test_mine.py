"""MINE: mutual information that is known, of numbers and of images with their features."""

import numpy as np
import pytest
from information import DIMS, NATS, correlated_pairs, estimate

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.fitting import MeasureTraining
from dim_tf.evaluation.measures.mine import ImageFeatureInformation, mutual_information
from dim_tf.evaluation.representation import Representation


def shades(train=1024, test=512):
    """Images of one of four shades, with some noise."""
    rng = np.random.default_rng(0)

    def split(count):
        labels = rng.integers(0, 4, count)
        shade = 50 + 40 * labels[:, np.newaxis, np.newaxis, np.newaxis]
        return EvaluationSplit(
            (shade + rng.integers(0, 20, (count, 8, 8, 1))).astype(np.uint8), labels
        )

    return EvaluationData(split(train), split(test), tuple("abcd"), "synthetic")


def measured(kind, steps=60):
    data = shades()
    rng = np.random.default_rng(1)

    def features(split):
        shade = np.eye(4)[split.labels]
        vectors = {
            "ideal": shade,
            "duplicated": np.concatenate([shade, shade], axis=1),
            "constant": np.ones((len(split), 3)),
            "random": rng.normal(size=(len(split), 4)),
        }[kind]
        return {"global": vectors.astype(np.float32)}

    representation = Representation(features(data.train), features(data.test), data)
    return next(ImageFeatureInformation(representation, steps, batch_size=128).run()).value


@pytest.mark.slow
def test_information_about_images():
    """The shade is log 4 nats of the image."""
    assert measured("ideal") == pytest.approx(np.log(4), rel=0.1)
    assert measured("constant", steps=5) == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_twice_the_same_and_what_has_nothing_to_do_with_the_image():
    assert measured("duplicated") == pytest.approx(np.log(4), rel=0.1)
    assert measured("random") < 0.05


def test_the_test_images_are_measured(monkeypatch):
    data = shades(train=6, test=4)
    features = [{"global": np.full((n, 2), float(n), np.float32)} for n in (6, 4)]
    asked = []

    def spy(train, test, training, make_trunk):
        asked.append((train, test))
        return 1.0

    monkeypatch.setattr("dim_tf.evaluation.measures.mine.mutual_information", spy)
    list(ImageFeatureInformation(Representation(*features, data), seeds=2).run())
    assert len(asked) == 2
    for train, test in asked:
        assert train[0] is data.train.images
        assert train[1] is features[0]["global"]
        assert test[0] is data.test.images
        assert test[1] is features[1]["global"]


@pytest.mark.slow
def test_seeds_repeat():
    a, b = correlated_pairs(300, 1, 1.0)

    def run(seed):
        return mutual_information(
            (a[:200], b[:200]), (a[200:], b[200:]), MeasureTraining(3, 64, 1e-3, seed)
        )

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.slow
def test_what_is_learned_by_heart_does_not_count():
    """Few samples that say nothing of each other: the bound that is maximised would be high."""
    rng = np.random.default_rng(0)
    train = tuple(rng.normal(size=(2, 64, 4)).astype(np.float32))
    test = tuple(rng.normal(size=(2, 500, 4)).astype(np.float32))
    training = MeasureTraining(100, 64, 1e-3)
    assert mutual_information(train, test, training) < 0.05


@pytest.mark.slow
def test_a_gaussian():
    a, b = correlated_pairs(50_000, 2, 1.0)
    train, test = (a[:40_000], b[:40_000]), (a[40_000:], b[40_000:])
    assert mutual_information(train, test, MeasureTraining(200, 512, 1e-3)) == pytest.approx(
        1.0, rel=0.1
    )


@pytest.mark.long
@pytest.mark.parametrize("dim", DIMS["mine"])
@pytest.mark.parametrize("nats", NATS)
def test_gaussians_of_known_information(dim, nats):
    assert estimate("mine", dim, nats) == pytest.approx(nats, rel=0.1)

"""The rotation probe of encoders that see how an image is turned, and of such that do not."""

import numpy as np
import pytest

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures import rotation
from dim_tf.evaluation.measures.rotation import RotationProbe
from dim_tf.evaluation.representation import Representation


def data(size=(8, 8), labelled=False):
    """Images with a bright top left corner, on noise."""
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 100, (count, *size, 1), np.uint8)
        images[:, : size[0] // 2, : size[1] // 2] += 120
        labels = np.zeros(count if labelled else (count, 0), np.int64)
        return EvaluationSplit(images, labels)

    return EvaluationData(split(60), split(40), ("a",) if labelled else (), "synthetic")


def measured(encode, images=None):
    images = images or data()

    def representation_of(splits):
        train, test = (
            {"global": encode(split.images.astype(np.float32))}
            for split in (splits.train, splits.test)
        )
        return Representation(train, test, splits)

    measure = RotationProbe(representation_of(images), representation_of)
    (result,) = measure.run()
    assert set(measure.protocol) == set(measure.metrics) == {result.metric}
    return result


def pixels(images):
    return images.reshape(len(images), -1)


def test_pixels_show_where_the_corner_is_also_twice():
    assert measured(pixels).value == 1
    assert measured(lambda x: np.repeat(pixels(x), 2, axis=1)).value == 1


@pytest.mark.parametrize(("size", "rotations"), [((8, 8), 4), ((6, 10), 2)])
def test_what_does_not_see_the_rotation_guesses(size, rotations):
    images = data(size)
    assert measured(pixels, images).value == 1
    assert measured(lambda x: np.ones((len(x), 3), np.float32), images).value == 1 / rotations
    brightness = measured(lambda x: pixels(x).mean(axis=1, keepdims=True), images)
    assert brightness.value == pytest.approx(1 / rotations, abs=0.02)
    noise = np.random.default_rng(1)
    random = measured(lambda x: noise.normal(size=(len(x), 8)).astype(np.float32), images)
    assert random.value == pytest.approx(1 / rotations, abs=0.12)


def test_the_interval_is_that_of_the_images():
    """A feature with the corner's row alone: half of the rotations are told apart."""
    result = measured(lambda x: pixels(x[:, :4]).mean(axis=1, keepdims=True))
    low, high = result.uncertainty.ci95
    assert result.value == pytest.approx(0.5, abs=0.05)
    assert low <= result.value <= high


def test_images_are_of_the_whole_split(monkeypatch):
    """The first ones of a folder may all be of one class."""
    monkeypatch.setattr(rotation, "TRAIN_IMAGES", 5)
    monkeypatch.setattr(rotation, "TEST_IMAGES", 3)
    seen = []

    def encode(images):
        seen.append(images)
        return pixels(images)

    images = data(labelled=True)
    measured(encode, images)
    np.testing.assert_array_equal(seen[2][:5], images.train.images[[0, 14, 29, 44, 59]])
    np.testing.assert_array_equal(seen[2][5], np.rot90(images.train.images[0]))
    assert len(seen[3]) == 4 * 3

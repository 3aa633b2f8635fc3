"""The pretext probe of encoders that see the transformations of images, and of such that do not."""

import numpy as np
import pytest

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures import pretext
from dim_tf.evaluation.measures.pretext import PretextProbe
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

    def representation_of(split_pair):
        train, test = (
            {"global": encode(split.images.astype(np.float32))}
            for split in (split_pair.train, split_pair.test)
        )
        return Representation(train, test, split_pair)

    measure = PretextProbe(representation_of(images), representation_of)
    (result,) = measure.run()
    assert set(measure.protocol) == set(measure.metrics) == {result.metric}
    return result


def pixels(images):
    return images.reshape(len(images), -1)


def test_pixels_show_where_the_corner_is_and_a_constant_shows_nothing():
    seen = measured(pixels)
    assert seen.value > 0.75  # of quadrants without the corner the place cannot be seen
    assert measured(lambda x: np.repeat(pixels(x), 2, axis=1)).value == pytest.approx(
        seen.value, abs=0.02
    )
    assert measured(lambda x: np.ones((len(x), 3), np.float32)).value == 0.25
    noise = np.random.default_rng(1)
    random = measured(lambda x: noise.normal(size=(len(x), 8)).astype(np.float32))
    assert random.value == pytest.approx(0.25, abs=0.08)


def test_what_does_not_change_with_rotation_is_told_in_quadrants_alone():
    brightness = measured(lambda x: pixels(x).mean(axis=1, keepdims=True))
    assert 0.25 < brightness.value < 0.5


def test_a_test_image_has_one_value_and_its_interval_is_that_of_the_images():
    result = measured(pixels)
    low, high = result.uncertainty.ci95
    assert low < result.value < high
    assert high - low < 0.1


def test_images_that_are_not_square_turn_by_half_a_turn():
    assert measured(pixels, data((6, 10))).value > 0.75


def test_images_are_of_the_whole_split(monkeypatch):
    """The first ones of a folder may all be of one class."""
    monkeypatch.setattr(pretext, "MAX_IMAGES", 5)
    seen = []

    def encode(images):
        seen.append(images)
        return pixels(images)

    images = data(labelled=True)
    measured(encode, images)
    np.testing.assert_array_equal(seen[2][:5], images.train.images[[0, 14, 29, 44, 59]])
    assert len(seen[3]) == 8 * 5

"""Heat maps lie where the locations are."""

import numpy as np

from dim_tf.collection.patches import heat_maps


def test_upsampling_is_bilinear_between_the_centers_of_cells():
    maps = heat_maps.upsample(np.array([[[0.0, 4.0]]]), (2, 8), blur=0)
    np.testing.assert_allclose(maps[0, 0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4])
    np.testing.assert_array_equal(maps[0, 0], maps[0, 1])


def test_a_hot_location_is_hottest_at_its_center_after_the_blur():
    scores = np.zeros((2, 4, 5))
    scores[1, 2, 3] = 1
    maps = heat_maps.upsample(scores, (64, 100))
    assert maps.shape == (2, 64, 100)
    assert not maps[0].any()
    row, column = np.unravel_index(maps[1].argmax(), (64, 100))
    assert abs(row + 0.5 - 40) <= 1
    assert abs(column + 0.5 - 70) <= 1
    assert 0 < maps[1].max() < 1


def test_an_overlay_is_red_where_the_score_is_high_and_grey_elsewhere():
    image = np.full((2, 2, 3), 100, np.uint8)
    image[0, 0] = [10, 100, 250]
    drawn = heat_maps.overlay(image, np.array([[0.0, 5.0], [1.0, 3.0]]), 1, 5)
    assert drawn[0, 0].tolist() == [120] * 3
    assert drawn[1, 0].tolist() == [100] * 3
    assert drawn[0, 1].tolist() == [224, 44, 20]
    assert 100 < drawn[1, 1, 0] < 224

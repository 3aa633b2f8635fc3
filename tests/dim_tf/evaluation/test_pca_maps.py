"""Components are those of scikit-learn, with signs that do not depend on the solver."""

import numpy as np
from sklearn.decomposition import PCA

from dim_tf.evaluation import pca_maps

RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.normal(size=(12, 12)))[0] * np.arange(12, 0, -1)
MAPS = (RNG.normal(size=(10, 3, 4, 12)) @ BASIS.T + 5).astype("f4")


def test_directions_and_variances_are_those_of_pca():
    components = pca_maps.fit(MAPS)
    expected = PCA(3).fit(MAPS.reshape(-1, 12))
    np.testing.assert_allclose(components.explained, expected.explained_variance_ratio_, rtol=1e-4)
    cosines = np.einsum("kd,kd->k", components.directions, expected.components_)
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-4)


def test_the_largest_weight_of_a_direction_is_positive():
    for seed in range(8):
        maps = np.random.default_rng(seed).normal(size=(10, 3, 4, 7)).astype("f4")
        directions = pca_maps.fit(maps).directions
        assert (directions.max(axis=1) == np.abs(directions).max(axis=1)).all()


def test_colours_are_the_projections_between_the_percentiles():
    components = pca_maps.fit(MAPS)
    colours = components.colours(MAPS)
    assert colours.shape == (10, 3, 4, 3)
    values = (MAPS - components.mean) @ components.directions.T
    ends = np.percentile(values.reshape(-1, 3), [1, 99], axis=0)
    np.testing.assert_allclose([components.low, components.high], ends, rtol=1e-4)
    order = values[..., 0].ravel().argsort()
    assert (np.diff(colours[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert colours.min() == 0
    assert colours.max() == 255
    inside = (colours > 0) & (colours < 255)
    scaled = 255 * (values - components.low) / (components.high - components.low)
    np.testing.assert_allclose(colours[inside], scaled[inside], atol=0.51)


def test_a_map_has_the_same_colours_in_any_collection_of_maps():
    components = pca_maps.fit(MAPS)
    np.testing.assert_array_equal(components.colours(MAPS)[4:5], components.colours(MAPS[4:5]))
    again = pca_maps.fit(MAPS, sample=60, seed=1)
    np.testing.assert_array_equal(
        again.directions, pca_maps.fit(MAPS, sample=60, seed=1).directions
    )


def test_patches_of_fewer_dimensions_leave_a_colour_out():
    line = (RNG.normal(size=(10, 3, 4, 1)) * np.ones(5)).astype("f4")
    components = pca_maps.fit(line)
    np.testing.assert_allclose(components.explained, [1, 0, 0], atol=1e-6)
    assert not components.colours(line)[..., 1:].any()
    assert not pca_maps.fit(np.ones((2, 2, 2, 2), "f4")).colours(np.ones((2, 2, 2, 2))).any()

"""Where in which image a detail is, against plain loops and planted details."""

import numpy as np
import pytest

from dim_tf.collection.patches import patch_search
from dim_tf.system.errors import InputError

IMAGES, LOCATIONS, SIZE = 60, 12, 6


@pytest.fixture
def local_features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((IMAGES, LOCATIONS, SIZE)).astype(np.float16)


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def by_loops(local_features, query):
    """Similarities, locations and heat maps as their definitions have them."""
    similarities, locations, maps = [], [], []
    for image in local_features.astype(np.float64):
        cosines = [[cosine(location, patch) for patch in query] for location in image]
        similarities.append(np.mean([max(of_patch) for of_patch in zip(*cosines, strict=True)]))
        maps.append([max(of_location) for of_location in cosines])
        locations.append(int(np.argmax(maps[-1])))
    return np.array(similarities), np.array(locations), np.array(maps)


@pytest.mark.parametrize("patches", [1, 3])
@pytest.mark.parametrize("block_bytes", [2**26, 1])
def test_scores_and_heat_maps_are_those_of_loops(local_features, monkeypatch, patches, block_bytes):
    monkeypatch.setattr(patch_search, "BLOCK_BYTES", block_bytes)
    query = np.random.default_rng(1).standard_normal((patches, SIZE)).astype(np.float32)
    similarities, locations, maps = by_loops(local_features, query)
    scores = patch_search.score_images(local_features, query)
    np.testing.assert_allclose(scores.similarities, similarities, atol=1e-5)
    np.testing.assert_array_equal(scores.locations, locations)
    rows = np.array([7, 3, 59])
    heat = patch_search.heat_maps(local_features, rows, query)
    np.testing.assert_allclose(heat, maps[rows], atol=1e-5)


def test_a_planted_detail_is_at_its_place(local_features):
    local_features[41, 5] = [0, 0, 9, 0, 0, 1]
    scores = patch_search.score_images(local_features, np.array([[0.0, 0, 90, 0, 0, 10]]))
    assert scores.similarities.argmax() == 41
    assert scores.locations[41] == 5
    assert scores.similarities[41] == pytest.approx(1, abs=1e-5)


def test_locations_of_zeros_have_the_similarity_0(local_features):
    local_features[2] = 0
    scores = patch_search.score_images(local_features, np.ones((1, SIZE)))
    assert scores.similarities[2] == 0


def test_memory_mapped_features_are_read_in_blocks(tmp_path, local_features, monkeypatch):
    np.save(tmp_path / "local.npy", local_features)
    mapped = np.load(tmp_path / "local.npy", mmap_mode="r", allow_pickle=False)
    whole = patch_search.score_images(local_features, np.ones((1, SIZE)))
    monkeypatch.setattr(patch_search, "BLOCK_BYTES", 4 * LOCATIONS * (SIZE + 1) * 7)
    scores = patch_search.score_images(mapped, np.ones((1, SIZE)))
    np.testing.assert_allclose(scores.similarities, whole.similarities, atol=1e-6)


@pytest.mark.parametrize(
    ("box", "locations"),
    [
        ((0, 0, 40, 80), range(8)),  # the whole image: 2 x 4 locations of 20 x 20 pixels
        ((0, 0, 20, 20), [0]),
        ((20, 40, 20, 40), [6, 7]),
        ((5, 15, 10, 20), [1]),  # the center of the first is left of it
        ((0, 10, 40, 21), [0, 1, 4, 5]),
        ((33, 71, 2, 3), [7]),  # no center
        ((39, 79, 1, 1), [7]),
        ((0, 0, 1, 1), [0]),
    ],
)
def test_a_detail_is_the_locations_whose_centers_it_holds(box, locations):
    local_map = np.arange(8.0).reshape(2, 4, 1)
    features = patch_search.features_in_box(local_map, box, (40, 80))
    assert features.tolist() == [[location] for location in locations]


@pytest.mark.parametrize("box", [(0, 0, 41, 5), (-1, 0, 5, 5), (0, 78, 5, 5), (0, 0, 0, 5)])
def test_a_detail_outside_of_the_image_is_refused(box):
    with pytest.raises(InputError, match="is not in the image of 40 x 80 pixels"):
        patch_search.features_in_box(np.zeros((2, 4, 1)), box, (40, 80))


@pytest.mark.parametrize(
    ("shape", "query", "message"),
    [
        ((3, 4), np.ones((1, 4)), r"local features of shape \[3, 4\]; expected \[N, L, D\]"),
        ((0, 4, 5), np.ones((1, 5)), "of at least one image"),
        ((3, 4, 5), np.ones(5), r"a query of shape \[5\]; expected \[P, 5\]"),
        ((3, 4, 5), np.ones((1, 4)), r"a query of shape \[1, 4\]; expected \[P, 5\]"),
        ((3, 4, 5), np.ones((0, 5)), r"a query of shape \[0, 5\]; expected"),
        ((3, 4, 5), np.zeros((1, 5)), "zero or not finite"),
        ((3, 4, 5), np.full((1, 5), np.nan), "zero or not finite"),
    ],
)
def test_wrong_input_is_refused(shape, query, message):
    with pytest.raises(InputError, match=message):
        patch_search.score_images(np.ones(shape, np.float16), query)


def test_features_that_are_not_finite_are_refused(local_features):
    local_features[33, 2, 1] = np.inf
    with pytest.raises(InputError, match="of image 33 are not finite"):
        patch_search.score_images(local_features, np.ones((1, SIZE)))


def test_patches_of_zeros_are_left_out_of_a_query():
    patches = np.array([[0, 0], [3, 4], [0, 1e-9], [np.inf, 0]], np.float32)
    np.testing.assert_array_equal(patch_search.without_zeros(patches), patches[[1, 3]])
    np.testing.assert_array_equal(patch_search.without_zeros(patches[:1]), patches[:1])

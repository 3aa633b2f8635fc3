"""PatchCore's bank and scores are those of the paper's equations; blocks do not change them."""

import numpy as np
import pytest

from dim_tf.collection.patches import anomaly
from dim_tf.evaluation import map_blocks
from dim_tf.system.errors import InputError

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(20, 4, 5, 6)).astype("f4")


def plain_score(bank, maps, support):
    """Equations 6 and 7, patch by patch in float64."""
    bank = bank.astype("f8")
    scores = []
    for patches in maps.reshape(len(maps), -1, maps.shape[3]).astype("f8"):
        distances = np.linalg.norm(patches[:, np.newaxis] - bank, axis=2)
        q = patches[distances.min(axis=1).argmax()]
        m = bank[np.linalg.norm(bank - q, axis=1).argmin()]
        near = bank[np.argsort(np.linalg.norm(bank - m, axis=1), kind="stable")[:support]]
        star = np.linalg.norm(q - m)
        weight = 1 - np.exp(star) / np.exp(np.linalg.norm(near - q, axis=1)).sum()
        scores.append(weight * star)
    return np.array(scores)


def plain_average(maps, size):
    radius, (_, height, width, _) = size // 2, maps.shape
    averages = np.empty_like(maps)
    for i in range(height):
        for j in range(width):
            rows = slice(max(i - radius, 0), i + radius + 1)
            columns = slice(max(j - radius, 0), j + radius + 1)
            averages[:, i, j] = maps[:, rows, columns].mean(axis=(1, 2))
    return averages


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbourhoods_are_averaged_within_the_map(size):
    actual = map_blocks.average_neighbourhoods(NORMAL, size)
    np.testing.assert_allclose(actual, plain_average(NORMAL, size), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("support", [2, 9])
def test_images_score_as_in_the_paper(monkeypatch, support):
    bank = anomaly.build_bank(NORMAL, neighbourhood=1, fraction=0.1, projected=6)
    maps = RNG.normal(size=(9, 4, 5, 6)).astype("f4") * 1.5
    expected = plain_score(bank.patches, maps, support)
    distances = np.linalg.norm(maps[:, :, :, np.newaxis] - bank.patches, axis=4).min(axis=3)
    for size in (2**26, 1):
        monkeypatch.setattr(map_blocks, "BLOCK_BYTES", size)
        images, patches = anomaly.score(bank, maps, support=support)
        np.testing.assert_allclose(images, expected, rtol=1e-4)
        np.testing.assert_allclose(patches, distances, rtol=1e-4)


def test_without_a_sum_the_score_is_the_largest_distance():
    bank = anomaly.build_bank(NORMAL)
    images, patches = anomaly.score(bank, NORMAL[:3] + 1, support=1)
    np.testing.assert_array_equal(images, patches.max(axis=(1, 2)))


def test_the_bank_is_of_normal_patches_and_of_the_asked_size(monkeypatch):
    patches = map_blocks.average_neighbourhoods(NORMAL, 3).reshape(-1, 6)
    for size in (2**26, 1):
        monkeypatch.setattr(map_blocks, "BLOCK_BYTES", size)
        bank = anomaly.build_bank(NORMAL, max_patches=150, fraction=0.2, seed=4)
        assert bank.patches.shape == (30, 6)
        assert bank.num_candidates == 150
        differences = np.abs(bank.patches[:, np.newaxis] - patches).max(axis=2).min(axis=1)
        assert differences.max() < 1e-6
        np.testing.assert_array_equal(
            bank.patches, anomaly.build_bank(NORMAL, max_patches=150, fraction=0.2, seed=4).patches
        )


def test_the_whole_bank_scores_its_own_images_zero():
    bank = anomaly.build_bank(NORMAL, fraction=1.0)
    np.testing.assert_allclose(anomaly.score(bank, NORMAL).patches, 0, atol=1e-5)


def test_a_strange_patch_is_found_where_it_is():
    bank = anomaly.build_bank(NORMAL, neighbourhood=1)
    maps = RNG.normal(size=(6, 4, 5, 6)).astype("f4")
    maps[2, 3, 1] += 9
    images, patches = anomaly.score(bank, maps.astype(np.float16))
    assert images.argmax() == 2
    assert np.unravel_index(patches[2].argmax(), (4, 5)) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"neighbourhood": 2}, r"a neighbourhood of 2 locations; expected 1, 3, 5"),
        ({"fraction": 0.0}, r"a bank of 0 of the patches; expected more than 0"),
        ({"maps": NORMAL[:0]}, r"shape \[0, 4, 5, 6\]; expected \[N, H, W, D\]"),
        ({"maps": NORMAL[0]}, r"shape \[4, 5, 6\]; expected"),
        ({"maps": np.where(np.arange(20)[:, None, None, None] == 7, np.nan, NORMAL)}, "of image 7"),
    ],
    ids=["neighbourhood", "fraction", "empty", "one map", "not finite"],
)
def test_wrong_inputs_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        anomaly.build_bank(**{"maps": NORMAL} | arguments)


def test_maps_of_another_encoder_are_refused():
    with pytest.raises(InputError, match=r"maps of 5 numbers a location and a bank of 6"):
        anomaly.score(anomaly.build_bank(NORMAL), NORMAL[..., :5])

"""The search: its matches by image and by patch, and results.csv."""

import csv

import numpy as np
import pytest

from dim_tf.collection.index import Index
from dim_tf.collection.search import (
    Location,
    Match,
    QueryImage,
    QueryMatches,
    search_images,
    search_patches,
    write_results,
)
from dim_tf.system.errors import InputError, RunError

FEATURES = np.random.default_rng(0).standard_normal((1200, 6)).astype(np.float32)
IDS = [f"{row}.jpg" for row in range(1200)]
QUERIES = [QueryImage("a.png"), QueryImage("b.png")]


@pytest.mark.parametrize("settings", [{}, {"exact_products": 0}])
def test_the_most_similar_images_of_each_query(settings):
    """Exactly, also where few lists would be searched."""
    index = Index.build(FEATURES, IDS, **settings)
    if settings:
        index._lists.probes = 1
    results = search_images(index, QUERIES, FEATURES[[70, 5]], 4)
    assert [result.query.name for result in results] == ["a.png", "b.png"]
    similarities, rows = Index.build(FEATURES, IDS).search(FEATURES[[70, 5]], 4)
    for result, expected, values in zip(results, rows, similarities, strict=True):
        assert [match.row for match in result.matches] == expected.tolist()
        assert [match.id for match in result.matches] == [IDS[row] for row in expected]
        assert [match.similarity for match in result.matches] == pytest.approx(values.tolist())
        assert result.matches[0].location is None


def test_of_few_images_all_are_matches():
    index = Index.build(FEATURES[:3], IDS[:3])
    (result,) = search_images(index, QUERIES[:1], FEATURES[:1], 10)
    assert len(result.matches) == 3


def test_a_search_without_queries_is_refused():
    index = Index.build(FEATURES, IDS)
    with pytest.raises(InputError, match="no query; give at least one image"):
        search_images(index, [], FEATURES[:0], 3)
    with pytest.raises(InputError, match="1 features of 2 queries"):
        search_images(index, QUERIES, FEATURES[:1], 3)


@pytest.fixture
def local_features():
    features = np.random.default_rng(1).standard_normal((50, 6, 4)).astype(np.float16)
    features[20, 5] = [9, 0, 0, 0]
    features[31, 1] = [0, 0, 9, 0]
    return features


def test_a_planted_patch_is_found_where_it_is(local_features):
    patches = [np.array([[1.0, 0, 0, 0]]), np.array([[0, 0, 2.0, 0]])]
    one, two = search_patches(local_features, (2, 3), IDS[:50], QUERIES, patches, 5)
    assert len(one.matches) == len(two.matches) == 5
    assert (one.matches[0].id, one.matches[0].location) == ("20.jpg", Location(1, 2))
    assert (two.matches[0].id, two.matches[0].location) == ("31.jpg", Location(0, 1))
    for result in (one, two):
        similarities = [match.similarity for match in result.matches]
        assert similarities == sorted(similarities, reverse=True)
        for match in result.matches:
            assert match.heat_map.shape == (2, 3)
            assert match.heat_map[match.location] == match.heat_map.max()
            assert match.heat_map.max() == pytest.approx(match.similarity, abs=1e-6)


@pytest.mark.parametrize(
    ("map_shape", "ids", "k", "message"),
    [
        ((2, 4), 50, 3, r"shape \[50, 6, 4\]; expected \[50, 8, D\], for 50 ids and a map of 2 x"),
        ((2, 3), 49, 3, r"expected \[49, 6, D\]"),
        ((2, 3), 50, 0, "k=0 images; expected at least 1"),
    ],
)
def test_a_search_by_patch_of_other_shapes_is_refused(local_features, map_shape, ids, k, message):
    with pytest.raises(InputError, match=message):
        search_patches(local_features, map_shape, IDS[:ids], QUERIES[:1], [np.ones((1, 4))], k)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_results_are_a_line_for_each_match(tmp_path):
    name = 'a "b", c\n\U0001f600.jpg'
    results = [
        QueryMatches(QueryImage(name), (Match(3, name, 0.98765), Match(1, "d", -0.5))),
        QueryMatches(QueryImage("e"), (Match(0, "f", 1.0),)),
    ]
    assert rows_of(write_results(tmp_path, results)) == [
        ["query", "rank", "id", "similarity"],
        [name, "1", name, "0.9877"],
        [name, "2", "d", "-0.5000"],
        ["e", "1", "f", "1.0000"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_results_by_patch_have_the_location(tmp_path):
    match = Match(0, "f", 0.25, Location(2, 7), np.zeros((8, 8)))
    path = write_results(tmp_path, [QueryMatches(QueryImage("e"), (match,))])
    assert rows_of(path) == [
        ["query", "rank", "id", "similarity", "location_row", "location_column"],
        ["e", "1", "f", "0.2500", "2", "7"],
    ]


def test_results_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(RunError, match=r"results\.csv could not be written: No such file"):
        write_results(tmp_path / "none", [])

"""The map: every point in its class and place, its image in the sheet in the paths' order."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sample_report import decoded
from sample_report import projection as made

from dim_tf.evaluation.report.maps import SIZE, colour_of, projection, projections


def places(page):
    """Class name → its points on the map."""
    return {
        name: np.array([pair.split() for pair in re.findall(r"M(\S+ \S+)h0", path)], float)
        for name, path in re.findall(r'<path data-name="(.*?)" .*?d="(.*?)"', page)
    }


def test_points_keep_their_shape_in_their_class():
    """One scale for both axes, y upwards, nothing outside."""
    given = made(points=30)
    found = places(projection(given, 1, {}))
    assert list(found) == ["cat", "dog", "frog"]
    ordered = np.concatenate([given.points[given.labels == label] for label in range(3)])
    placed = np.concatenate(list(found.values()))
    assert placed.min() > 0
    assert placed.max() < SIZE
    steps, expected = np.diff(placed, axis=0), np.diff(ordered, axis=0) * [1, -1]
    scale = np.linalg.norm(steps) / np.linalg.norm(expected)
    np.testing.assert_allclose(steps, scale * expected, atol=0.02)


def test_images_are_in_the_order_of_the_paths():
    """page.js finds the image of the n-th dot at the n-th place of the sheet."""
    given = made(points=10)
    page = projection(given, 1, {})
    (sheet,) = decoded(page)
    order = [i for label in range(3) for i in np.flatnonzero(given.labels == label)]
    assert re.search('data-across="4" data-width="5" data-height="6"', page)
    for n, i in enumerate(order):
        top, left = 6 * (n // 4), 5 * (n % 4)
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], given.images[i])


def test_maps_of_the_same_images_share_their_sheet():
    given = made(points=10)
    others = replace(given, images=given.images[::-1])
    page = projections([given, replace(given, points=given.points[::-1]), others])
    assert len(decoded(page)) == 2
    assert re.findall('<image id="(.*?)"', page) == ["sheet1", "sheet3"]
    assert re.findall('data-sheet="(.*?)"', page) == ["sheet1", "sheet1", "sheet3"]


def test_classes_can_be_hidden_and_are_named_on_the_map():
    page = projection(made(), 1, {})
    assert re.findall(r'data-class="(c\d)" checked>(.*?)<', page) == [
        ("c0", "cat"),
        ("c1", "dog"),
        ("c2", "frog"),
    ]
    assert sorted(re.findall(r"<text [^>]*>(.*?)</text>", page)) == ["cat", "dog", "frog"]


def test_names_do_not_cover_each_other():
    """All classes in one place."""
    given = replace(made(), points=np.zeros((12, 2)))
    heights = [
        float(y)
        for y in re.findall(r'<text class="c\d" x="\S+" y="(.*?)"', projection(given, 1, {}))
    ]
    assert len(heights) == 3
    assert min(np.diff(sorted(heights))) >= 24


def test_without_labels_and_images_there_are_dots_alone():
    given = replace(made(), labels=None, label_names=(), images=None)
    page = projection(given, 1, {})
    assert len(places(page)[""]) == 12
    assert "<input" not in page
    assert "<image" not in page
    assert "become images" not in page


def test_many_classes_have_colours_of_their_own():
    assert len({colour_of(index) for index in range(100)}) == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.full((12, 2), np.nan)}, "expected finite ones"),
        ({"points": np.zeros((12, 3))}, r"expected finite ones, \[N, 2\]"),
        ({"labels": np.zeros(5, int)}, "5 labels of 12 points"),
        ({"images": made(3).images}, "3 images of 12 points"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        projection(replace(made(), **change), 1, {})

"""Every point has its class and position; the images in the sheet are in the order of the paths."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sample_report import decode_images, projection

from dim_tf.evaluation.report.embedding_plot import (
    SIZE,
    class_style,
    embedding_plot,
    embedding_plots,
)


def class_points(page):
    """Class name -> its points on the plot."""
    return {
        name: np.array([pair.split() for pair in re.findall(r"M(\S+ \S+)h0", path)], float)
        for name, path in re.findall(r'<path data-name="(.*?)" .*?d="(.*?)"', page)
    }


def test_points_keep_their_shape_in_their_class():
    """One scale for both axes, y upwards, nothing outside."""
    figure = projection(points=30)
    drawn = class_points(embedding_plot(figure, 1, {}))
    assert list(drawn) == ["cat", "dog", "frog"]
    ordered = np.concatenate([figure.points[figure.labels == label] for label in range(3)])
    plotted = np.concatenate(list(drawn.values()))
    assert plotted.min() > 0
    assert plotted.max() < SIZE
    steps, expected = np.diff(plotted, axis=0), np.diff(ordered, axis=0) * [1, -1]
    scale = np.linalg.norm(steps) / np.linalg.norm(expected)
    np.testing.assert_allclose(steps, scale * expected, atol=0.02)


def test_images_are_in_the_order_of_the_paths():
    """page.js finds the image of the n-th dot at the n-th place of the sheet."""
    figure = projection(points=10)
    page = embedding_plot(figure, 1, {})
    (sheet,) = decode_images(page)
    order = [i for label in range(3) for i in np.flatnonzero(figure.labels == label)]
    assert re.search('data-columns="4" data-width="5" data-height="6"', page)
    for n, i in enumerate(order):
        top, left = 6 * (n // 4), 5 * (n % 4)
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], figure.images[i])


def test_plots_of_the_same_images_share_their_sheet():
    figure = projection(points=10)
    reversed_images = replace(figure, images=figure.images[::-1])
    page = embedding_plots([figure, replace(figure, points=figure.points[::-1]), reversed_images])
    assert len(decode_images(page)) == 2
    assert re.findall('<image id="(.*?)"', page) == ["sheet1", "sheet3"]
    assert re.findall('data-sheet="(.*?)"', page) == ["sheet1", "sheet1", "sheet3"]


def test_classes_can_be_hidden_and_are_named_on_the_plot():
    page = embedding_plot(projection(), 1, {})
    assert re.findall(r'data-class="(c\d)" checked>(.*?)<', page) == [
        ("c0", "cat"),
        ("c1", "dog"),
        ("c2", "frog"),
    ]
    assert sorted(re.findall(r"<text [^>]*>(.*?)</text>", page)) == ["cat", "dog", "frog"]


def test_names_do_not_cover_each_other():
    """All classes in one place."""
    figure = replace(projection(), points=np.zeros((12, 2)))
    heights = [
        float(y)
        for y in re.findall(r'<text class="c\d" x="\S+" y="(.*?)"', embedding_plot(figure, 1, {}))
    ]
    assert len(heights) == 3
    assert min(np.diff(sorted(heights))) >= 24


def test_without_labels_and_images_there_are_dots_alone():
    figure = replace(projection(), labels=None, label_names=(), images=None)
    page = embedding_plot(figure, 1, {})
    assert len(class_points(page)[""]) == 12
    assert "<input" not in page
    assert "<image" not in page
    assert "become images" not in page


def test_many_classes_have_colours_of_their_own():
    assert len({class_style(index) for index in range(100)}) == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.full((12, 2), np.nan)}, "expected finite ones"),
        ({"points": np.zeros((12, 3))}, r"expected finite ones, \[N, 2\]"),
        ({"labels": np.zeros(5, int)}, "5 labels of 12 points"),
        ({"images": projection(3).images}, "3 images of 12 points"),
    ],
)
def test_wrong_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        embedding_plot(replace(projection(), **change), 1, {})

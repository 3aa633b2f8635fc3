"""Confusion matrices: the percentages, and the most frequent confusions in words."""

import re

import numpy as np
from sample_report import decode_images, row

from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.report.confusion_matrix import confusion_matrix


def test_a_matrix_is_in_percent_of_the_true_class():
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])  # of the last class there is none
    table = confusion_matrix(ConfusionMatrix("probe", counts, ("cat", "dog", "frog")))
    assert row(table, "cat") == ["80", "20", "·"]
    assert row(table, "dog") == ["25", "75", "·"]
    assert row(table, "frog") == ["·", "·", "·"]
    assert "cat taken for dog: 2 of 10" in table
    assert "Most often taken for another: dog for cat (25%), cat for dog (20%)." in table


def test_a_large_matrix_is_an_image():
    counts = np.eye(30, dtype=int) * 3
    counts[4, 7] = 1
    names = tuple(f"class {i}" for i in range(30))
    panel = confusion_matrix(ConfusionMatrix("probe", counts, names))
    (image,) = decode_images(panel)
    assert image.shape == (30, 30)
    assert image[0, 0] == 0
    assert image[7, 4] == 255
    assert image[4, 7] == int(255 * (1 - np.sqrt(0.25)))
    assert "class 4 for class 7 (25%)" in panel
    assert not re.search("<table", panel)

"""Figures on one axis stand where their values are."""

import re

import pytest
from made_report import EVALUATION, EXPERIMENT, one_measure

from dim_tf.evaluation.report import marks
from dim_tf.evaluation.report.results import Results


def placed(page):
    """Text of each mark → its place, in percent of the axis."""
    found = re.findall(r'<i class="dot [^"]*" style="left:([\d.]+)%"[^>]*title="(.*?)"', page)
    return {text: float(place) for place, text in found}


def test_marks_stand_at_their_values():
    """MLP probe: 0.4987, random 0.3512, pixels 0.3834, paper 0.6696; AUC 0.8512: 0.3 to 0.9."""
    found = placed(marks.of_run(EXPERIMENT, Results(EVALUATION)))
    expected = {
        "this run: 49.9%": 0.4987,
        "random weights: 35.1%": 0.3512,
        "raw pixels: 38.3%": 0.3834,
        "the paper, DIM(L) JSD: 67.0%": 0.6696,
        "this run: 0.851": 0.8512,
    }
    assert found.keys() == expected.keys()
    for text, value in expected.items():
        assert found[text] == pytest.approx(100 * (value - 0.3) / 0.6, abs=0.01)


def test_each_floor_has_a_mark_of_its_own():
    floors = {
        "random_encoder": {"m": {"global": 0.2}},
        "start_weights": {"m": {"global": 0.35}},
        "pixels": {"m": {"pixels": 0.3}},
    }
    evaluation = one_measure({"global": 0.5}, references=floors)
    page = marks.of_run({**EXPERIMENT, "dataset": "digits"}, Results(evaluation))
    found = re.findall(r'<i class="dot ([^"]*)" style="left:[^>]*title="(.*?)"', page)
    assert found == [
        ("random", "random weights: 20.0%"),
        ("start", "start weights: 35.0%"),
        ("pixels", "raw pixels: 30.0%"),
        ("run", "this run: 50.0%"),
    ]
    assert '<i class="dot start"></i>start weights' in page  # the legend's


def test_the_interval_reaches_from_end_to_end():
    uncertainty = {"m": {"global": {"std": None, "n": 1, "ci95": [0.42, 0.58]}}}
    floors = {"pixels": {"m": {"pixels": 0.2}}}
    evaluation = one_measure({"global": 0.5}, uncertainty=uncertainty, references=floors)
    page = marks.of_run({**EXPERIMENT, "dataset": "digits"}, Results(evaluation))
    whisker = re.search(r'whisker run" style="left:([\d.]+)%;width:calc\(([\d.]+)%', page)
    begin, end = (float(place) for place in whisker.groups())  # the axis: 20 % to 60 %
    assert (begin, end) == (pytest.approx(100 * 0.22 / 0.4), pytest.approx(100 * 0.38 / 0.4))


def test_what_ranks_nothing_or_is_no_share_is_left_out():
    page = marks.of_run(EXPERIMENT, Results(EVALUATION))
    assert "Neural dependency" not in page
    assert "Effective rank" not in page


def test_one_figure_alone_is_no_picture():
    assert (
        marks.of_run({**EXPERIMENT, "dataset": "digits"}, Results(one_measure({"global": 0.5})))
        == ""
    )

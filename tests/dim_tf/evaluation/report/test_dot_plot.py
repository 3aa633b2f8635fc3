"""The dots stand at their values."""

import re

import pytest
from sample_report import EVALUATION, EXPERIMENT, one_measure

from dim_tf.evaluation.report import dot_plot
from dim_tf.evaluation.report.results import Results


def dot_positions(page):
    """Text of each dot -> its position, in percent of the axis."""
    dots = re.findall(r'<i class="dot [^"]*" style="left:([\d.]+)%"[^>]*title="(.*?)"', page)
    return {text: float(position) for position, text in dots}


def test_dots_stand_at_their_values():
    """MLP probe: 0.4987, random 0.3512, pixels 0.3834, paper 0.6696; AUC 0.8512: 0.3 to 0.9."""
    positions = dot_positions(dot_plot.run_dot_plot(EXPERIMENT, Results(EVALUATION)))
    expected = {
        "this run: 49.9%": 0.4987,
        "random weights: 35.1%": 0.3512,
        "raw pixels: 38.3%": 0.3834,
        "the paper, DIM(L) JSD: 67.0%": 0.6696,
        "this run: 0.851": 0.8512,
    }
    assert positions.keys() == expected.keys()
    for text, value in expected.items():
        assert positions[text] == pytest.approx(100 * (value - 0.3) / 0.6, abs=0.01)


def test_each_reference_has_a_style_of_its_own():
    references = {
        "random_weights": {"m": {"global": 0.2}},
        "start_weights": {"m": {"global": 0.35}},
        "pixels": {"m": {"pixels": 0.3}},
        "my_model": {"m": {"global": 0.4}},
        "dim/1": {"m": {"global": 0.45}},
    }
    evaluation = one_measure({"global": 0.5}, references=references)
    page = dot_plot.run_dot_plot({**EXPERIMENT, "dataset": "digits"}, Results(evaluation))
    dots = re.findall(r'<i class="dot ([^"]*)" style="left:[^>]*title="(.*?)"', page)
    assert dots == [
        ("random", "random weights: 20.0%"),
        ("start", "start weights: 35.0%"),
        ("pixels", "raw pixels: 30.0%"),
        ("letter s1", "my_model: 40.0%"),
        ("letter s2", "dim/1: 45.0%"),
        ("run", "this run: 50.0%"),
    ]
    assert '<i class="dot start"></i>start weights' in page  # the legend's
    assert '<i class="dot letter s2">2</i>dim/1' in page


def test_the_dots_are_those_of_the_chosen_feature():
    references = {
        "random_weights": {"m": {"conv": 0.3, "global": 0.2}},
        "a": {"m": {"global": 0.4}},
    }
    evaluation = one_measure({"conv": 0.6, "global": 0.5}, references=references)
    evaluation["feature"] = {"name": "conv"}
    page = dot_plot.run_dot_plot({**EXPERIMENT, "dataset": "digits"}, Results(evaluation))
    assert dot_positions(page).keys() == {"random weights: 30.0%", "a: 40.0%", "this run: 60.0%"}
    assert "<h3>The conv feature</h3>" in page


def test_the_interval_reaches_from_end_to_end():
    uncertainty = {"m": {"global": {"std": None, "n": 1, "ci95": [0.42, 0.58]}}}
    references = {"pixels": {"m": {"pixels": 0.2}}}
    evaluation = one_measure({"global": 0.5}, uncertainty=uncertainty, references=references)
    page = dot_plot.run_dot_plot({**EXPERIMENT, "dataset": "digits"}, Results(evaluation))
    whisker = re.search(r'whisker run" style="left:([\d.]+)%;width:calc\(([\d.]+)%', page)
    begin, end = (float(position) for position in whisker.groups())  # the axis: 20 % to 60 %
    assert (begin, end) == (pytest.approx(100 * 0.22 / 0.4), pytest.approx(100 * 0.38 / 0.4))


def test_only_fractions_and_aucs_that_rank_are_drawn():
    page = dot_plot.run_dot_plot(EXPERIMENT, Results(EVALUATION))
    assert "Neural dependency" not in page
    assert "Effective rank" not in page


def test_a_single_value_is_not_drawn():
    assert (
        dot_plot.run_dot_plot(
            {**EXPERIMENT, "dataset": "digits"}, Results(one_measure({"global": 0.5}))
        )
        == ""
    )

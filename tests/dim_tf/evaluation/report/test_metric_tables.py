"""Tables: rounded values, their uncertainty, references, the paper's values, missing values."""

import math
import re

import pytest
from sample_report import EVALUATION, EXPERIMENT, one_measure, row, section, write

from dim_tf.evaluation.measure import NO_LABELS


def measures(page):
    return section(page, "All measures")


def test_values_are_rounded_and_have_their_standard_deviation(tmp_path):
    page = measures(write(tmp_path, evaluation=EVALUATION))
    up = ' <span class="arrow">↑</span>'
    assert row(page, "MLP probe" + up) == ["65.5% ± 0.2", "64.1%", "49.9%"]  # n = 1: no deviation
    assert row(page, "Attributes: mean AUC" + up)[-1] == "0.851"
    assert "n = 2, 95% interval 64.6% to 66.4%" in page


def test_a_measure_shows_its_unit_and_direction(tmp_path):
    page = measures(write(tmp_path, evaluation=EVALUATION))
    assert row(page, 'Neural dependency (nats) <span class="arrow">↓</span>')[-1] == "12.35"
    assert row(page, "Effective rank")[-1] == "37.4"


def test_references_stand_below_their_measure(tmp_path):
    page = measures(write(tmp_path, evaluation=EVALUATION))
    assert row(page, "random weights") == ["51.2%", "–", "35.1%"]
    assert row(page, "raw pixels") == ["38.3%"]
    assert page.count("raw pixels</th>") == 1  # the other measures have no references


def test_missing_and_nan_are_dashes_that_say_why(tmp_path):
    page = measures(write(tmp_path, evaluation=EVALUATION))
    cells = re.search(r"Neighbour vote .*?</th>(.*?)</tr>", page).group(1)
    assert re.findall(r'title="(not [^"]*)"', cells) == ["not measured", "not a finite number"]


@pytest.mark.parametrize(
    ("better", "best"), [("higher", ["50.0%"]), ("lower", ["30.0%"]), (None, [])]
)
def test_the_best_may_be_a_reference_and_is_marked_where_the_measure_ranks(tmp_path, better, best):
    references = {"pixels": {"m": {"pixels": 0.5}}}
    evaluation = one_measure({"conv": 0.4, "global": 0.3}, better=better, references=references)
    page = write(tmp_path, evaluation=evaluation)
    assert re.findall('<strong class="best">(.*?)</strong>', page) == best


def test_equal_values_have_no_best(tmp_path):
    page = write(tmp_path, evaluation=one_measure({"conv": 0.4, "global": 0.4}))
    assert '<strong class="best">' not in page


def test_an_evaluation_of_an_older_version_must_be_repeated(tmp_path):
    page = write(tmp_path, evaluation={"knn": {"global": 0.5}, "protocol": {}})
    assert page.count("evaluate it again by --mode=evaluate") == 2  # in the summary and the table


def test_the_papers_rows_stand_below_the_runs(tmp_path):
    page = section(write(tmp_path, evaluation=EVALUATION), "Results")
    assert row(page, "paper, DIM(L) JSD") == ["73.25%", "73.62%", "66.96%"]
    assert row(page, "paper, fully supervised") == ["75.39%", "–", "–"]
    assert "1,000 epochs of training there, 20 epochs here" in page


def test_no_table_of_the_paper_for_other_data(tmp_path):
    page = write(tmp_path, experiment={**EXPERIMENT, "dataset": "digits"}, evaluation=EVALUATION)
    assert "Comparison with the paper" not in page


def test_attributes_are_sorted_by_auc(tmp_path):
    table = section(write(tmp_path, evaluation=EVALUATION), "Attributes")
    assert re.findall('<th scope="row">(.*?)</th>', table)[:3] == ["Big Nose", "Smiling", "Bald"]
    assert row(table, "Bald") == ["–", "90.0%"]


def test_costs_are_listed_with_their_sum(tmp_path):
    table = section(write(tmp_path, evaluation=EVALUATION), "Cost")
    assert row(table, "Features")[-1] == "30.0 s"
    assert row(table, "Total")[-1] == "2.0 min"
    assert 'style="width:100.0%"' in table


def summary(page):
    return re.search(r'<p class="summary">(.*?)</p>', page, re.DOTALL)[1]


def test_summary_names_the_probe_of_global_and_its_references(tmp_path):
    assert summary(write(tmp_path, evaluation=EVALUATION)) == (
        "The MLP probe on the global feature reaches <strong>49.9%</strong>, "
        "beside 35.1% with random weights and 38.3% with raw pixels."
    )


def test_the_summary_is_the_verdict_where_there_is_one(tmp_path):
    verdict = {"sentence": "Training helped: kNN 49.9 %; a<b: 1", "probe": {"sentence": "So & so"}}
    assert summary(write(tmp_path, evaluation={**EVALUATION, "verdict": verdict})) == (
        "<strong>Training helped</strong>: kNN 49.9 %; a&lt;b: 1<br><small>So &amp; so</small>"
    )
    verdict["probe"] = None
    page = write(tmp_path, evaluation={**EVALUATION, "verdict": verdict})
    assert summary(page) == "<strong>Training helped</strong>: kNN 49.9 %; a&lt;b: 1"


def test_start_weights_stand_between_random_ones_and_pixels(tmp_path):
    before = EVALUATION["references"]
    references = {
        "random_weights": before["random_weights"],
        "start_weights": {"mlp_probe": {"conv": 0.61, "global": 0.42}},
        "pixels": before["pixels"],
    }
    page = write(tmp_path, evaluation={**EVALUATION, "references": references})
    assert (
        "beside 35.1% with random weights, 42.0% with start weights and 38.3% with raw pixels."
        in summary(page)
    )
    assert row(page, "start weights") == ["61.0%", "–", "42.0%"]


@pytest.mark.parametrize(
    ("evaluation", "sentence"),
    [
        ({}, "No accuracy of the global feature was measured."),
        (
            {"protocol": {"knn": f"figures alone: the vote {NO_LABELS}"}, "measures": {}},
            "look at the nearest neighbours",
        ),
        (
            {"protocol": {"linear": f"left out: {NO_LABELS}"}, "measures": {}},
            "--measures=knn shows neighbours",
        ),
        (
            {"protocol": {"linear": f"left out: {NO_LABELS}"}, "measures": {}},
            "Without labels no acc",
        ),
        (one_measure({"conv": 0.5}), "No accuracy of the global feature was measured."),
        (one_measure({"global": math.nan}), "No accuracy of the global feature was measured."),
        (one_measure({"global": 0.5}, better=None), "No accuracy of the global"),
        (one_measure({"global": 0.5}), "<strong>50.0%</strong>, no reference was measured."),
    ],
)
def test_summary_says_what_is_missing(tmp_path, evaluation, sentence):
    assert sentence in summary(write(tmp_path, evaluation=evaluation))


def test_summary_of_attributes_is_an_auc_not_the_majority_answer(tmp_path):
    values = {"accuracy": 0.81, "majority": 0.82, "auc": 0.70}
    kinds = {
        f"linear_probe_{name}": {
            "unit": "auc" if name == "auc" else "fraction",
            "better": None if name == "majority" else "higher",
            "title": f"linear probe: {name}",
        }
        for name in values
    }
    evaluation = {f"linear_probe_{m}": {"global": v} for m, v in values.items()}
    sentence = summary(write(tmp_path, evaluation={**evaluation, "measures": kinds}))
    assert sentence.startswith("The linear probe (auc) on the global feature reaches <strong>0.700")

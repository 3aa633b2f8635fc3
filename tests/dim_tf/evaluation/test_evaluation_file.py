"""The file evaluation.json."""

import math

import pytest

from dim_tf.evaluation import evaluation_file
from dim_tf.evaluation.measure import Result, Uncertainty
from dim_tf.system.json_files import read_json_with_checksum


def test_values_are_by_metric_and_endpoint_with_their_uncertainty():
    uncertainty = Uncertainty(0.1, 2, (0.4, 0.6))
    results = [Result("m", "conv", 0.5, uncertainty), Result("m", "global", 0.25)]
    assert evaluation_file.nest(results) == {
        "m": {"conv": 0.5, "global": 0.25},
        "uncertainty": {"m": {"conv": {"std": 0.1, "n": 2, "ci95": (0.4, 0.6)}}},
    }


def test_what_is_not_finite_is_written_as_null(tmp_path):
    evaluation_file.write(tmp_path, {"a": {"b": math.nan, "c": 1.0}, "d": [math.inf, -math.inf]})
    written = read_json_with_checksum(tmp_path / "evaluation.json")
    assert written == {"a": {"b": None, "c": 1.0}, "d": [None, None]}


def test_an_evaluation_that_would_lose_metrics_keeps_the_file_of_before(tmp_path):
    full = {"measures": {"knn": {}, "mlp_probe": {}}, "knn": {"global": 0.5}}
    assert evaluation_file.keep_previous(tmp_path, full) == []
    evaluation_file.write(tmp_path, full)
    text = (tmp_path / evaluation_file.FILE).read_text()
    assert evaluation_file.keep_previous(tmp_path, full) == []
    assert not (tmp_path / evaluation_file.PREVIOUS_FILE).exists()
    assert evaluation_file.keep_previous(tmp_path, {"measures": {"knn": {}}}) == ["mlp_probe"]
    assert (tmp_path / evaluation_file.PREVIOUS_FILE).read_text() == text
    # A second one of fewer measures does not replace the fuller copy.
    evaluation_file.write(tmp_path, {"measures": {"knn": {}}})
    assert evaluation_file.keep_previous(tmp_path, {"measures": {"svm": {}}}) == ["knn"]
    assert (tmp_path / evaluation_file.PREVIOUS_FILE).read_text() == text


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"measures": null}'])
def test_a_damaged_evaluation_is_not_kept(tmp_path, text):
    (tmp_path / evaluation_file.FILE).write_text(text)
    assert evaluation_file.keep_previous(tmp_path, {"measures": {}}) == []

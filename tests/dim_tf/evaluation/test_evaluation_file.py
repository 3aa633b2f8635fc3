"""The file evaluation.json."""

import math

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

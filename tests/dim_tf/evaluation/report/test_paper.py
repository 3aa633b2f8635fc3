"""Which of the paper's rows is shown beside a run."""

import pytest

from dim_tf.evaluation.report import paper
from dim_tf.experiment import Experiment, all_fields

LOCAL = {"estimator": "jsd", "alpha": 0.0, "beta": 1.0, "occlusion": False}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "DIM(L) JSD"),
        ({"estimator": "infonce"}, "DIM(L) infoNCE"),
        ({"estimator": "infonce", "coordinates": 1.0}, "DIM(L) infoNCE + coordinates"),
        (
            {"estimator": "infonce", "relative_coordinates": 1.0, "occlusion": True},
            "DIM(L) infoNCE + coordinates + occlusion",
        ),
        ({"alpha": 1.0, "beta": 0.0}, "DIM(G)"),
        ({"alpha": 0.5, "beta": 0.1}, "DIM(L+G)"),
        ({"estimator": "nwj"}, None),
        ({"views": 2}, None),
        ({"beta": 0.0, "coordinates": 1.0}, None),
        ({"model": "vae"}, "VAE"),
        ({"model": "supervised"}, "fully supervised"),
        ({"model": "simclr"}, None),
        ({"encoder_path": "external"}, None),
    ],
)
def test_objective_has_the_papers_name(change, expected):
    assert paper.objective({**LOCAL, **change}) == expected


def test_the_settings_that_are_read_exist():
    assert LOCAL.keys() <= {*all_fields(), "model"}
    assert paper.rows(Experiment.of(name="a", dataset="cifar10", estimator="infonce").to_dict())


def test_rows_are_the_objective_and_full_supervision():
    rows = paper.rows({**LOCAL, "dataset": "stl10"})
    assert [row.objective for row in rows] == ["DIM(L) JSD", "fully supervised"]
    assert rows[0].values["mlp_probe"] == {"conv": 72.86, "fc": 70.85, "global": 65.93}


def test_second_hand_values_are_marked():
    rows = paper.rows({**LOCAL, "estimator": "dv", "dataset": "cifar10"})
    assert rows[0].objective == "DIM(L) DV*"


def test_measures_with_another_definition_here_are_left_out():
    for table in paper._TABLES.values():
        for values in table.values():
            assert {"mine", "ndm", "ndm_sigmoid", "ms_ssim"}.isdisjoint(values)


def test_data_sets_without_values_of_the_paper_have_no_rows():
    assert paper.rows({**LOCAL, "dataset": "digits"}) == []


def test_every_fraction_is_in_percent():
    for table in paper._TABLES.values():
        for values in table.values():
            for measure in ("mlp_probe", "svm", "fine_tuned", "fully_supervised"):
                assert all(1 < value < 100 for value in values.get(measure, {}).values())


def test_a_validation_split_has_no_rows_of_the_paper():
    assert paper.rows({**LOCAL, "dataset": "cifar10"})
    assert paper.rows({**LOCAL, "dataset": "cifar10", "validation_fraction": 0.1}) == []

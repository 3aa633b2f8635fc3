"""Settings: validation, JSON, what makes another experiment."""

import dataclasses

import pytest

from dim_tf.errors import InputError
from dim_tf.experiment import DEFAULT_MEASURES, MEASURES, Experiment


def test_json_round_trip():
    experiment = Experiment(name="a", estimator="dv", gamma=0.5, epochs=3)
    assert Experiment.from_json(experiment.to_json()) == experiment


def test_unknown_setting_in_json_is_refused():
    with pytest.raises(InputError, match="not an experiment"):
        Experiment.from_json('{"name": "a", "no_such_setting": 1}')


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("estimator", "mine"),
        ("dataset", "imagenet"),
        ("batch_size", 1),
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("gamma", -0.1),
        ("gamma", float("nan")),
        ("seed", 2**32),
        ("views", 3),
        ("beta", -1.0),
        ("prior", "cauchy"),
        ("name", "a/b"),
        ("name", ""),
        ("measures", "knn,mime"),
        ("measures", ""),
        ("fine_tuning_share", 1.5),
    ],
)
def test_a_wrong_setting_is_named(setting, value):
    with pytest.raises(InputError, match=f"--{setting}"):
        Experiment(**{"name": "a", setting: value})


def test_replicas_must_share_the_batch():
    with pytest.raises(InputError, match="does not divide"):
        Experiment(name="a", batch_size=64, replicas=3)


def test_an_objective_without_a_term_is_refused():
    with pytest.raises(InputError, match="nothing to learn"):
        Experiment(name="a", beta=0.0)
    Experiment(name="a", beta=0.0, model="generator")
    Experiment(name="a", beta=0.0, coordinates=1.0)


def test_measures_are_a_list_or_all():
    assert Experiment(name="a", measures="svm,knn").measure_names == ("svm", "knn")
    assert Experiment(name="a", measures="all").measure_names == MEASURES
    assert Experiment(name="a").measure_names == DEFAULT_MEASURES


def test_differences_name_what_makes_another_experiment():
    before = Experiment(name="a", estimator="jsd", epochs=1, data_dir="here")
    now = dataclasses.replace(before, estimator="dv", epochs=2, data_dir="there")
    assert now.differences(before) == ["estimator: 'jsd' -> 'dv'"]


def test_what_is_done_every_few_steps_must_fit_the_steps_of_an_execution():
    with pytest.raises(InputError, match=r"--checkpoint_every=500 .*--steps_per_execution=3"):
        Experiment(name="t", steps_per_execution=3, log_every=3)
    with pytest.raises(InputError, match="--steps=1 "):
        Experiment(name="t", steps_per_execution=5, steps=1)
    Experiment(name="t", steps_per_execution=5)


@pytest.mark.parametrize("strategy", ["one", "multi_worker"])
def test_logical_replicas_are_of_one_process(strategy):
    with pytest.raises(InputError, match="--replicas"):
        Experiment(name="t", replicas=2, strategy=strategy)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"gamma": 0.0}, False), ({"model": "vae"}, False), ({"model": "aae"}, True)],
)
def test_which_models_match_the_prior(settings, expected):
    assert Experiment(name="a", **settings).matches_prior == expected

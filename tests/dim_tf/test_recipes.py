"""Recipes: defaults under what the user gives, and nothing that contradicts it."""

import dataclasses
import itertools

import numpy as np
import pytest
from absl import flags

import dim_tf
from dim_tf import recipes, registry
from dim_tf.cli import flagfiles, help
from dim_tf.cli import flags as settings_flags
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.recipes import TWO_VIEWS
from dim_tf.run import Run
from dim_tf.settings.encoder import BACKBONE_FLAGS
from dim_tf.system.errors import InputError
from dim_tf.training import model
from dim_tf.training.model import encoder_name
from keras_models import encoders

FOLDER = {"name": "a", "dataset": "folder"}


def of_command(*arguments):
    values = flags.FlagValues()
    settings_flags.define(values)
    words = ["main", *flagfiles.expanded(list(arguments))]
    values(words)
    return settings_flags.experiment(values, words)


def without(experiment):
    """The experiment's values other than the recipe's, by the names of their flags."""
    values = experiment.to_dict()
    return {
        name: values[name]
        for name, value in TWO_VIEWS.values.items()
        if values[name] != value and (experiment.encoder.is_backbone or name not in BACKBONE_FLAGS)
    }


def test_a_folder_has_the_recipe_of_two_views():
    experiment = Experiment.of(**FOLDER)
    assert (experiment.recipe, without(experiment)) == ("two_views", {})
    assert experiment.model.without_effect == {}


@pytest.mark.parametrize(
    "settings",
    [{}, {"dataset": "cifar10"}, {**FOLDER, "recipe": "paper"}, {**FOLDER, "model": "simclr"}],
)
def test_others_have_their_own_defaults(settings):
    experiment = Experiment.of(**{"name": "a", **settings})
    assert experiment.recipe == "paper"
    fields = {name: field.default for name, field in experiment._fields().items()}
    differing = {name for name, value in experiment.to_dict().items() if value != fields.get(name)}
    assert differing == {"name", "model", *settings} | {"recipe"}


def test_the_recipe_can_be_asked_for_with_any_data_set():
    assert without(Experiment.of(name="a", dataset="cifar10", recipe="two_views")) == {}


def test_the_command_the_flagfile_and_the_api_are_one_experiment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    trained = []
    monkeypatch.setattr(Run, "train", lambda run, callbacks: trained.append(run.experiment))
    dim_tf.train("photos/")
    assert trained == [of_command("--data_dir=photos/")]
    assert trained == [of_command("--flagfile=flags/folder.cfg", "--data_dir=photos/")]


def test_what_is_given_wins_and_the_rest_stays():
    assert without(Experiment.of(**FOLDER, estimator="jsd")) == {"estimator": "jsd"}
    assert without(Experiment.of(**FOLDER, batch_size=64)) == {"batch_size": 64}


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"schedule": "constant"}, {"warmup_fraction"}),
        ({"epochs": 5}, {"minutes"}),
        ({"steps": 5}, {"minutes"}),
        ({"strategy": "multi_worker"}, {"minutes"}),
        ({"warmup_steps": 5}, {"warmup_fraction"}),
        ({"views": 1}, {"pairs", "min_crop_scale", "color_jitter_strength"}),
        ({"occlusion": True}, {"views", "pairs", "min_crop_scale", "color_jitter_strength"}),
        (
            {"augmentation": "none"},
            {"views", "pairs", "min_crop_scale", "color_jitter_strength"},
        ),
        ({"local_critic": "concat"}, {"critic_units", "critic_temperature"}),
        ({"critic_layer_norm": False}, {"critic_temperature"}),
        ({"beta": 0.0, "alpha": 1.0}, {"pairs", "critic_units", "critic_temperature"}),
        ({"beta": 0.0, "alpha": 1.0, "global_critic": "dot"}, {"pairs"}),
        (
            {"beta": 0.0, "coordinates": 1.0},
            {"pairs", "estimator", "critic_units", "critic_temperature"},
        ),
        ({"prior": "gaussian"}, {"gamma"}),
        ({"encoder": "keras:MobileNetV3Small", "frozen_steps": 0}, {"learning_rate"}),
        ({"encoder": "keras:MobileNetV3Small", "frozen_steps": -1}, set()),
        (
            {"encoder": "keras:MobileNetV3Small", "init_from": "runs/b"},
            {"learning_rate", "backbone_batch_norm", "frozen_steps"},
        ),
        ({"init_from": "runs/b"}, {"learning_rate"}),
    ],
)
def test_values_that_do_not_fit_are_left_out(settings, dropped):
    """So no error, and no notice, names a flag that the user did not give."""
    experiment = Experiment.of(**FOLDER, **settings)
    defaults = {name: field.default for name, field in experiment._fields().items()}
    changed = {name: value for name, value in without(experiment).items() if name not in settings}
    assert changed == {name: defaults[name] for name in dropped}
    assert not set(experiment.model.without_effect) & set(TWO_VIEWS.values)


CHOICES = {
    "views": [1, 2],
    "occlusion": [True],
    "symmetric": [False],
    "augmentation": ["none", "document"],
    "schedule": ["constant", "cosine"],
    "warmup_steps": [5],
    "local_critic": ["concat"],
    "global_critic": ["dot"],
    "critic_layer_norm": [False],
    "beta": [0.0],
    "alpha": [1.0],
    "coordinates": [1.0],
    "estimator": ["dv"],
    "prior_matching": ["mmd"],
    "pairs": ["global-local"],
    "critic_temperature": [0.1],
}


def test_two_flags_that_fit_each_other_fit_the_recipe():
    """An error with the recipe is one without it too."""
    values = [(name, value) for name, choices in CHOICES.items() for value in choices]
    for pair in itertools.combinations(values, 2):
        settings = dict(pair)
        try:
            Experiment.of(**FOLDER, recipe="paper", **settings)
        except InputError:
            continue
        Experiment.of(**FOLDER, **settings)


def test_an_experiment_json_has_the_values_and_no_recipe_is_applied_to_it():
    experiment = Experiment.of(**FOLDER, estimator="jsd")
    text = experiment.to_json()
    assert '"recipe": "two_views"' in text
    assert Experiment.from_json(text) == experiment
    plain = Experiment.from_json('{"name": "a", "data": {"dataset": "folder"}}')
    assert (plain.recipe, plain.training.batch_size, plain.model.views) == ("paper", 64, 1)


def test_other_values_of_an_experiment_are_the_only_ones_that_change():
    experiment = Experiment.of(**FOLDER, recipe="paper")
    assert experiment.replace(seed=3).differences(experiment) == ["seed: 0 -> 3"]
    assert experiment.replace(seed=3).recipe == "paper"
    simclr = Experiment.of(**FOLDER).replace(model="simclr")
    assert (simclr.recipe, simclr.training.batch_size) == ("paper", 0)


def test_a_recipe_of_another_model_is_refused():
    with pytest.raises(InputError, match="--recipe=two_views is for --model=dim, not simclr"):
        Experiment.of(name="a", model="simclr", recipe="two_views")
    with pytest.raises(InputError, match="--recipe='best'; expected one of 'auto', 'paper'"):
        Experiment.of(name="a", recipe="best")


def test_a_table_has_no_recipe():
    words = ["--mode=table", "--table=1", "--data_dir=photos", "--dataset=folder"]
    assert of_command(*words).recipe == "paper"


def test_its_values_are_settings_and_its_conditions_are_of_them():
    known = Experiment.of(name="a")._fields()
    assert set(TWO_VIEWS.values) <= set(known)
    assert set(TWO_VIEWS.conditions) <= set(TWO_VIEWS.values)
    for size, name in TWO_VIEWS.encoders.items():
        assert encoders.PRESETS[name].image_size in (size, None)
    assert set(TWO_VIEWS.models) <= set(registry.MODELS)


@pytest.mark.parametrize(("size", "encoder"), [(32, "small"), (64, "basic64x64"), (48, "basic")])
def test_its_encoders_are_by_image_size(monkeypatch, size, encoder):
    recipe = dataclasses.replace(TWO_VIEWS, encoders={32: "small"})
    monkeypatch.setitem(recipes.RECIPES, "two_views", recipe)
    assert encoder_name(Experiment.of(**FOLDER), (size, size, 3)) == encoder
    assert encoder_name(Experiment.of(**FOLDER, encoder="basic"), (size, size, 3)) == "basic"
    assert encoder_name(Experiment.of(**FOLDER, recipe="paper"), (32, 32, 3)) == "basic32x32"


@pytest.mark.parametrize(("steps", "warmup"), [(3, 0), (400, 20)])
def test_its_warm_up_fits_the_run(steps, warmup):
    split = Split(np.zeros([1024, 16, 16, 3], np.uint8), None)
    splits = Splits("a", split, split, (), "")
    experiment = Experiment.of(
        **FOLDER, epochs=1000, steps=steps, batch_size=256, learning_rate=1e-3
    )
    rate = model._learning_rate(experiment, splits)
    rates = [float(rate(step)) for step in range(steps)]
    assert int(np.argmax(rates)) == warmup
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 0.5e-3


def test_help_has_the_values_beside_the_defaults():
    text = " ".join(help.text("training").split())
    assert "by the number of training images. --recipe=two_views: 0." in text


def test_the_line_of_a_recipe_has_the_values_of_the_run():
    values = Experiment.of(**FOLDER, estimator="jsd").to_dict()
    line = recipes.describe("two_views", values)
    assert line.startswith("recipe two_views: --views=2 --pairs=global-global --estimator=jsd ")
    assert "--batch_size=0 --learning_rate=0 --schedule=cosine" in line
    assert "frozen_steps" not in line
    backbone = Experiment.of(**FOLDER, encoder="net.keras").to_dict()
    line = recipes.describe("two_views", backbone)
    assert line.endswith("--backbone_batch_norm=auto --frozen_steps=-1")
    assert recipes.describe("paper", values) == "recipe paper: the flags' own defaults"

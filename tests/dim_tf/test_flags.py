"""The command line's flags."""

import dataclasses

import pytest
from absl import flags

from dim_tf import flags as dim_flags
from dim_tf.data import SOURCES
from dim_tf.data.pipeline import AUGMENTATIONS
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from keras_models import critics, encoders, estimators, priors


def parsed(*arguments):
    values = flags.FlagValues()
    flags.DEFINE_multi_string("flagfile", [], "", flag_values=values)
    dim_flags.define(values)
    values(["main", *arguments])
    return values


def test_every_default_works():
    experiment = dim_flags.experiment(parsed(), ["main"])
    assert experiment == Experiment(name="digits")


def test_every_setting_is_a_flag():
    values = parsed("--estimator=dv", "--nodownload", "--batch_size=8", "--gamma=2")
    experiment = dim_flags.experiment(values, ["main"])
    assert (experiment.estimator, experiment.download) == ("dv", False)
    assert (experiment.batch_size, experiment.gamma) == (8, 2.0)
    assert {field.name for field in dataclasses.fields(Experiment)} <= set(values)


@pytest.mark.parametrize(
    "arguments",
    [["--flagfile=a/b.cfg", "--flagfile=flags/celeba.cfg"], ["--flagfile", "flags/celeba.cfg"]],
)
def test_the_last_flagfile_names_the_run(arguments):
    assert dim_flags.experiment(parsed(), ["main", *arguments]).name == "celeba"


@pytest.mark.parametrize(
    ("data_dir", "name"),
    [("a/My photos!/", "My-photos"), ("a/b/..", "a"), ("/", "folder"), ("", "folder")],
)
def test_a_folder_of_images_names_the_run(data_dir, name):
    values = parsed("--dataset=folder", f"--data_dir={data_dir}")
    assert dim_flags.experiment(values, ["main"]).name == name


def test_modes_come_in_their_order():
    assert dim_flags.modes(parsed("--mode=export,train")) == ["train", "export"]
    with pytest.raises(InputError, match="expected a list of"):
        dim_flags.modes(parsed("--mode=trian"))


def test_choices_are_those_of_the_libraries():
    """The flags stand apart, so that --help needs no TensorFlow; here both must agree."""
    choices = {field.name: field.metadata["choices"] for field in dataclasses.fields(Experiment)}
    with_alias = (*estimators.NAMES, *estimators.ALIASES)
    assert choices["estimator"] == choices["prior_divergence"] == with_alias
    assert choices["encoder"] == ("", *encoders.PRESETS)
    assert choices["local_critic"] == critics.LOCAL_NAMES
    assert choices["global_critic"] == critics.GLOBAL_NAMES
    assert choices["prior"] == priors.NAMES
    assert choices["augment"] == ("auto", *AUGMENTATIONS)
    assert {source.augment for source in SOURCES.values()} <= set(AUGMENTATIONS)
    assert choices["dataset"] == tuple(SOURCES)

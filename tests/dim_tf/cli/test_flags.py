"""The command line's flags."""

import types

import pytest
from absl import flags

from dim_tf import main, registry
from dim_tf.cli import flags as settings_flags
from dim_tf.data import SOURCES
from dim_tf.experiment import Experiment, all_fields
from dim_tf.settings.config_field import kind_of
from dim_tf.system import programs
from dim_tf.system.errors import InputError, one_line
from keras_models import adversary, critics, estimators, priors


def defined():
    values = flags.FlagValues()
    flags.DEFINE_multi_string("flagfile", [], "", flag_values=values)
    settings_flags.define(values)
    return values


def parsed(*arguments):
    values = defined()
    values(["main", *arguments])
    return values


def test_every_default_works():
    experiment = settings_flags.experiment(parsed(), ["main"])
    assert experiment == Experiment.of(name="digits")


@pytest.mark.parametrize("flag", ["epochs=20", "batch_size=64", "encoder=", "augmentation=auto"])
def test_a_flag_of_training_steps_is_refused_where_there_are_none(flag):
    """Even with its default: it was given to have an effect."""
    values = parsed("--model=pca", f"--{flag}")
    name = flag.partition("=")[0]
    with pytest.raises(InputError, match=f"--{name} has no use with --model=pca, which has no"):
        settings_flags.experiment(values, ["main"])
    used = parsed("--model=pca", "--latent_dim=32", "--noresume", "--seed=1", "--pca.whiten")
    assert settings_flags.experiment(used, ["main"]).model.whiten


def test_every_setting_is_a_flag():
    values = parsed("--estimator=dv", "--nodownload", "--batch_size=8", "--gamma=2")
    experiment = settings_flags.experiment(values, ["main"])
    assert (experiment.model.estimator, experiment.data.download) == ("dv", False)
    assert (experiment.training.batch_size, experiment.model.gamma) == (8, 2.0)
    assert set(all_fields()) <= set(values)


@pytest.mark.parametrize(
    "arguments",
    [["--flagfile=a/b.cfg", "--flagfile=flags/celeba.cfg"], ["--flagfile", "flags/celeba.cfg"]],
)
def test_the_last_flagfile_names_the_run(arguments):
    assert settings_flags.experiment(parsed(), ["main", *arguments]).name == "celeba"


@pytest.mark.parametrize(
    ("data_dir", "name"),
    [("a/My photos!/", "My-photos"), ("a/b/..", "a"), ("/", "folder"), ("", "folder")]
    + [("~nobody-there/x", "x")],
)
def test_a_folder_of_images_names_the_run(data_dir, name):
    values = parsed("--dataset=folder", f"--data_dir={data_dir}")
    assert settings_flags.experiment(values, ["main"]).name == name


def test_a_folder_that_can_be_none_is_refused():
    with pytest.raises(InputError, match="--data_dir"):
        settings_flags.experiment(parsed("--dataset=folder", "--data_dir=a\0b"), ["main"])


def test_a_folders_own_name_wins_over_the_flagfiles():
    words = ["main", "--flagfile=flags/folder.cfg"]
    names = [
        settings_flags.experiment(parsed("--dataset=folder", *arguments), words).name
        for arguments in (["--data_dir=a/cats"], ["--data_dir=a/cats", "--name=b"], [])
    ]
    assert names == ["cats", "b", "folder"]


def test_modes_come_in_their_order():
    assert settings_flags.modes(parsed("--mode=export,train")) == ["train", "export"]
    with pytest.raises(InputError, match="expected a list of"):
        settings_flags.modes(parsed("--mode=trian"))
    assert settings_flags.modes(parsed("--mode=export, train")) == ["train", "export"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("download", dict.fromkeys(("maybe", "2", ""), "true or false")),
        (
            "batch_size",
            dict.fromkeys(("1e3", "2.0", "x", "", "9" * 5000), "a whole number")
            | {"-1": "at least", "9" * 40: "at most"},
        ),
        (
            "gamma",
            dict.fromkeys(("x", "1,5", ""), "a number")
            | dict.fromkeys(("nan", "inf", "1e400"), "a finite number")
            | {"-1": "at least", "1e31": "at most"},
        ),
        ("card_note", {"a\nb": "one line", "\udcff": "UTF-8", "x" * 5000: "at most 4,096"}),
        ("prior", dict.fromkeys(("cauchy", "a\nb", "\udcff", "x" * 5000), "one of")),
    ],
)
def test_a_wrong_value_of_each_kind_is_reported_in_one_line(name, wrong, capsys):
    """What was given, and what is expected, as the program prints it."""
    for value, says in wrong.items():
        words = ["main", "--name=a", f"--{name}={value}"]
        values = defined()
        try:
            main.parse_flags(words, values)
            message = error_of(values, words)
        except SystemExit as end:
            message = capsys.readouterr().err if end.code == programs.WRONG_INPUT else ""
        assert f"--{name}=" in message
        assert name == "gamma" or one_line(value[:5]) in message
        assert says in message
        assert len(message.splitlines()) == 1
        assert message.strip().isprintable()


def test_every_flag_names_the_expected_values():
    values = defined()
    expected = {bool: "true or false", int: "a whole number", float: "a number"}
    expected[tuple] = "whole numbers with commas"
    expected[types.UnionType] = "a whole number, or height and width"
    for name, field in all_fields().items():
        choices, kind = field.metadata["choices"], kind_of(field)
        if choices or kind is not str:
            says = "one of" if choices and kind is str else expected[kind]
            with pytest.raises(flags.IllegalFlagValueError, match=f"--{name}=x: .*{says}"):
                values[name].parse("x")
        else:
            values[name].parse("x")


def error_of(values, words):
    with pytest.raises(InputError) as caught:
        settings_flags.experiment(values, words)
    return one_line(caught.value)


@pytest.mark.parametrize("mode", ["", ",", "train,", "train,,export", "train export", "\n", "all"])
def test_no_such_mode(mode):
    with pytest.raises(
        InputError, match=r"(?s)--mode=.*; expected a list of train, evaluate, export"
    ):
        settings_flags.modes(parsed(f"--mode={mode}"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batchsize=3"], "Did you mean: batch_size ?"),
        (["--nobatch_size"], "nobatch_size"),
        (["--steps", "-1"], "--steps=-1; expected at least 0"),
        (["--seed=1", "--seed=x"], "--seed=x: expected a whole number"),
        (["a\nb"], "unexpected argument 'a\\nb'"),
        (["--flagfile=no.cfg"], "--flagfile=no.cfg cannot be read"),
        (["--batch_size"], "batch_size"),
    ],
)
def test_a_wrong_command_line(words, says, capsys):
    values = defined()
    try:
        main.parse_flags(["main", *words], values)
        message = error_of(values, words)
    except SystemExit as end:
        message = f"{end.code} {capsys.readouterr().err}"
        assert message.startswith("2 error: ")
    assert says in message


def test_of_a_repeated_flag_the_last_is_taken():
    assert settings_flags.experiment(parsed("--seed=1", "--seed=2"), ["main"]).training.seed == 2


@pytest.mark.parametrize("words", [["--helpxml"], ["-h"], ["--helpfull"], ["--flagfile=help.cfg"]])
def test_help_of_every_kind(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "help.cfg").write_text("--help\n")
    with pytest.raises(SystemExit) as end:
        main.parse_flags(["main", *words], defined())
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_value_is_no_cry_for_help():
    values = defined()
    main.parse_flags(["main", "--name", "help"], values)
    assert settings_flags.experiment(values, ["main"]).name == "help"


def test_choices_are_those_of_the_libraries():
    """The flags stand apart, so that --help needs no TensorFlow; here both must agree."""
    choices = {name: field.metadata["choices"] for name, field in all_fields().items()}
    assert choices["estimator"] == (*estimators.NAMES, *estimators.ALIASES)
    assert choices["prior_divergence"] == (*adversary.NAMES, *estimators.ALIASES)
    assert choices["local_critic"] == critics.LOCAL_NAMES
    assert choices["global_critic"] == critics.GLOBAL_NAMES
    assert choices["prior"] == priors.NAMES
    assert choices["augmentation"] == ("auto", *registry.AUGMENTATIONS)
    assert {source.augmentation for source in SOURCES.values()} <= set(registry.AUGMENTATIONS)


def test_any_data_set_of_tfds_has_a_name_of_its_own():
    experiment = settings_flags.experiment(parsed("--dataset=tfds:x/y:1.0.0"), ["main"])
    assert (experiment.data.dataset, experiment.name) == ("tfds:x/y:1.0.0", "tfds-x-y-1.0.0")
    for wrong in ("tfds:", "tfds:../x", "cifar-10"):
        with pytest.raises(InputError, match="tfds:NAME"):
            settings_flags.experiment(parsed(f"--dataset={wrong}"), ["main"])


def test_mi_units_is_critic_units():
    values = parsed("--mi_units=16")
    assert settings_flags.experiment(values, ["main"]).model.critic_units == 16
    assert settings_flags.present(values) == {"critic_units": 16}


def test_settings_of_a_model_are_flags_with_its_name():
    words = ["--model=simclr", "--simclr.temperature=0.2", "--simclr.hidden_units=32,16"]
    model = settings_flags.experiment(parsed(*words), ["main"]).model
    assert (model.NAME, model.temperature, model.hidden_units) == ("simclr", 0.2, (32, 16))
    for word in ("--alpha=1", "--vicreg.variance=2"):
        with pytest.raises(InputError, match=r"not of simclr, which has --simclr\.min_crop_scale"):
            settings_flags.experiment(parsed(*words, word), ["main"])


def test_settings_of_another_model_are_for_the_rows_of_a_table():
    words = ["--mode=table", "--table=1", "--simclr.temperature=0.2", "--beta=2"]
    values = parsed(*words)
    assert settings_flags.experiment(values, ["main"]).model.beta == 2.0
    assert settings_flags.present(values)["simclr.temperature"] == 0.2


def test_a_folder_implies_its_data_set(capsys):
    values = parsed("--data_dir=a/cats")
    experiment = settings_flags.experiment(values, ["main", "--flagfile=flags/digits.cfg"])
    assert (experiment.data.dataset, experiment.name) == ("folder", "cats")
    assert "--data_dir=a/cats implies --dataset=folder" in capsys.readouterr().out
    named = settings_flags.experiment(parsed("--data_dir=a", "--dataset=cifar10"), ["main"])
    assert named.data.dataset == "cifar10"


def test_an_empty_folder_name_is_no_data_set():
    with pytest.raises(InputError, match=r"^--data_dir= is empty; give the folder of your images"):
        settings_flags.experiment(parsed("--data_dir="), ["main"])
    named = settings_flags.experiment(parsed("--data_dir=", "--dataset=cifar10"), ["main"])
    assert named.data.dataset == "cifar10"


def test_a_folder_of_another_stage_is_no_data_set():
    words = ["--mode=embed", "--embed_input=tfds:mnist:test", "--data_dir=a"]
    assert settings_flags.experiment(parsed(*words), ["main"]).data.dataset == "digits"


def test_a_list_of_numbers_may_be_empty():
    words = ["--model=simclr", "--simclr.hidden_units="]
    assert settings_flags.experiment(parsed(*words), ["main"]).model.hidden_units == ()


def test_every_model_is_a_choice():
    assert list(registry.MODELS) == parsed()["model"].parser.enum_values

"""Settings: validation, JSON, what makes another experiment."""

import dataclasses
import math
import types

import pytest

from dim_tf import registry
from dim_tf.experiment import Experiment, all_fields, groups_of, model_settings
from dim_tf.export import tflite
from dim_tf.registry import DEFAULT_MEASURES, MEASURES, TFLITE
from dim_tf.settings.config_field import kind_of
from dim_tf.system.errors import InputError
from dim_tf.training import cluster
from keras_models import critics


def test_json_round_trip():
    experiment = Experiment.of(name="a", estimator="dv", gamma=0.5, epochs=3)
    assert Experiment.from_json(experiment.to_json()) == experiment


def test_unknown_setting_in_json_is_refused():
    for text in ('{"name": "a", "no_such": 1}', '{"name": "a", "training": {"no_such": 1}}'):
        with pytest.raises(InputError, match=r"not an experiment.*no_such"):
            Experiment.from_json(text)
    with pytest.raises(InputError, match=r"setting 'model\.temperature', which is unknown"):
        Experiment.from_json('{"name": "a", "model": {"name": "vae", "temperature": 1}}')


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dataset", "imagenet"),
        ("batch_size", 1),
        ("epochs", 0),
        ("learning_rate", -1.0),
        ("batch_size", -1),
        ("minutes", -1.0),
        ("seed", 2**32),
        ("views", 3),
        ("name", "a/b"),
        ("name", ""),
        ("measures", "knn,mime"),
        ("measures", ""),
        ("measures", "knn, mlp, knn"),
        ("fine_tuning_fraction", 1.5),
        ("max_unreadable_fraction", 1.5),
        ("image_size", 4097),
        ("image_size", (64, 4097)),
        ("critic_units", 10**9),
    ],
)
def test_a_wrong_setting_is_named(setting, value):
    with pytest.raises(InputError, match=f"--{setting}"):
        Experiment.of(**{"name": "a", setting: value})


def test_the_length_is_given_once():
    with pytest.raises(InputError, match="--epochs=3 and --minutes=5 are both given; give one"):
        Experiment.of(name="a", minutes=5, epochs=3)
    with pytest.raises(InputError, match="--minutes and --steps are both given"):
        Experiment.of(name="a", minutes=5, steps=3)
    with pytest.raises(InputError, match="--minutes is for one process"):
        Experiment.of(name="a", minutes=5, strategy="multi_worker")
    assert Experiment.of(name="a", minutes=5, epochs=0).training.minutes == 5
    assert Experiment.of(name="a", minutes=0, epochs=3).training.length == "3 epochs"
    assert Experiment.of(name="a", minutes=5).training.length == "5 minutes"


def test_another_length_replaces_the_one_before():
    def length(experiment):
        training = experiment.training
        return training.epochs, training.minutes, training.steps

    measured = Experiment.of(name="a", minutes=5).replace(steps=700)
    assert length(measured) == (0, 5, 700)
    assert length(measured.replace(seed=1)) == (0, 5, 700)
    assert length(measured.replace(epochs=3)) == (3, 0, 0)
    assert length(measured.replace(minutes=0)) == (20, 0, 0)
    assert length(measured.replace(minutes=9)) == (0, 9, 0)
    assert length(Experiment.of(name="a", epochs=3, steps=7).replace(minutes=9)) == (0, 9, 0)
    assert length(Experiment.of(name="a", epochs=3, steps=7).replace(epochs=4)) == (4, 0, 7)


def test_what_training_chose_is_part_of_the_json():
    experiment = dataclasses.replace(Experiment.of(name="a"), automatic=("precision",))
    assert Experiment.from_json(experiment.to_json()) == experiment
    for value in ('"precision"', '["seed"]', "[[]]"):
        with pytest.raises(InputError, match="automatic is "):
            Experiment.from_json(f'{{"name": "a", "automatic": {value}}}')


def test_replicas_must_share_the_batch():
    with pytest.raises(InputError, match="does not divide"):
        Experiment.of(name="a", batch_size=64, replicas=3)


def test_an_objective_without_a_term_is_refused():
    with pytest.raises(InputError, match="nothing to learn"):
        Experiment.of(name="a", beta=0.0)
    Experiment.of(name="a", beta=0.0, coordinates=1.0)


def test_measures_are_a_list_or_all():
    assert Experiment.of(name="a", measures="svm,knn").evaluation.measure_names == ("svm", "knn")
    assert Experiment.of(name="a", measures="all").evaluation.measure_names == tuple(MEASURES)
    assert Experiment.of(name="a").evaluation.measure_names == DEFAULT_MEASURES


def test_values_that_stand_elsewhere_too():
    fields = all_fields()
    assert fields["worker_timeout"].default == cluster.TIMEOUT
    choices = fields["critic_implementation"].metadata["choices"]
    assert set(choices) == set(critics.DOT_PRODUCT)


def test_tflite_files_are_a_list_or_all_or_none():
    assert Experiment.of(name="a").export.tflite_names == TFLITE
    assert tuple(variant.name for variant in tflite.VARIANTS) == TFLITE
    assert Experiment.of(name="a", tflite="none").export.tflite_names == ()
    assert Experiment.of(name="a", tflite="int8, dynamic").export.tflite_names == (
        "int8",
        "dynamic",
    )
    with pytest.raises(InputError, match="--tflite has no 'int4'; expected all, none, or"):
        Experiment.of(name="a", tflite="int8,int4")


def test_differences_name_the_settings_that_make_another_experiment():
    before = Experiment.of(name="a", estimator="jsd", epochs=1, data_dir="here")
    now = before.replace(estimator="dv", epochs=2, data_dir="there")
    assert now.differences(before) == ["estimator: 'jsd' -> 'dv'"]


@pytest.mark.parametrize(
    ("settings", "augmentation", "of_pipeline"),
    [
        ({}, "none", "none"),
        ({"dataset": "tfds:mnist"}, "none", "none"),
        ({"dataset": "folder", "recipe": "paper"}, "natural", "natural"),
        ({"dataset": "folder", "augmentation": "none"}, "none", "none"),
        ({"augmentation": "aerial"}, "aerial", "aerial"),
        ({"dataset": "folder"}, "natural", "none"),
        ({"views": 2}, "natural", "none"),
        ({"model": "simclr"}, "natural", "none"),
        ({"dataset": "folder", "model": "simclr", "augmentation": "aerial"}, "aerial", "none"),
    ],
)
def test_images_are_augmented_once(settings, augmentation, of_pipeline):
    experiment = Experiment.of(name="a", **settings)
    assert (experiment.augmentation, experiment.pipeline_augmentation) == (
        augmentation,
        of_pipeline,
    )


@pytest.mark.parametrize("settings", [{"views": 2}, {"model": "simclr"}])
def test_two_views_are_augmented(settings):
    with pytest.raises(InputError, match="--augmentation=none makes both views of an image the"):
        Experiment.of(name="a", augmentation="none", **settings)


def test_the_augmentation_counts_and_not_its_name():
    before = Experiment.from_json('{"name": "a", "data": {"augmentation": "none"}}')
    assert Experiment.of(name="a").differences(before) == []
    other = Experiment.from_json('{"name": "a", "data": {"augmentation": "document"}}')
    assert Experiment.of(name="a").differences(other) == ["augmentation: 'document' -> 'none'"]


def test_intervals_must_fit_the_steps_of_an_execution():
    with pytest.raises(InputError, match=r"--checkpoint_every=500 .*--steps_per_execution=3"):
        Experiment.of(name="t", steps_per_execution=3, log_every=3)
    with pytest.raises(InputError, match="--steps=1 "):
        Experiment.of(name="t", steps_per_execution=5, steps=1)
    Experiment.of(name="t", steps_per_execution=5)


def test_a_temperature_is_of_the_dot_product_critic_with_layer_norm():
    warm = {"name": "t", "critic_temperature": 0.2}
    with pytest.raises(InputError, match="leave it or --nocritic_layer_norm out"):
        Experiment.of(**warm, critic_layer_norm=False)
    for others in ({"local_critic": "concat"}, {"beta": 0.0, "alpha": 1.0}):
        with pytest.raises(InputError, match="no weighted term has it"):
            Experiment.of(**warm, **others)
    Experiment.of(**warm, local_critic="concat", alpha=1.0, global_critic="dot")


def test_the_reference_critic_has_no_chunks():
    with pytest.raises(InputError, match="--score_chunk is for --critic_implementation=fast"):
        Experiment.of(name="t", critic_implementation="reference", score_chunk=8)


def test_warm_up_is_of_a_schedule():
    with pytest.raises(InputError, match="--warmup_steps is for --schedule=cosine"):
        Experiment.of(name="t", warmup_steps=5)
    with pytest.raises(InputError, match="--warmup_fraction is for --schedule=cosine"):
        Experiment.of(name="t", warmup_fraction=0.1)
    with pytest.raises(InputError, match="two lengths of the warm-up; give one"):
        Experiment.of(name="t", schedule="cosine", warmup_steps=5, warmup_fraction=0.1)


@pytest.mark.parametrize("strategy", ["one", "multi_worker"])
def test_logical_replicas_are_of_one_process(strategy):
    with pytest.raises(InputError, match="--replicas"):
        Experiment.of(name="t", replicas=2, strategy=strategy)


FIELDS = all_fields()
OWNER = {flag: model for model in registry.MODELS for flag in model_settings(model).flags()}
# What no setting of the type takes; how each is refused: test_config_field.py.
WRONG = {
    bool: [1, "true"],
    int: [True, "64", -2, 10**40],
    float: [True, "0.1", -1, math.inf, -math.inf, math.nan, 10**40],
    str: [1, None, "a\nb", "\ud800", "a" * 5000],
    types.UnionType: [None, True, "a", "96x160", [1, 2, 3], [0, 1], [-1, 1], -1, 1.5, 10**40],
    tuple: [1, None, "a", ["1"], [-1], [10**40], [1] * 100],
}


def test_every_setting_is_checked_and_every_number_has_bounds():
    for name, field in FIELDS.items():
        model = OWNER.get(name, "dim")
        for value in WRONG[kind_of(field)]:
            with pytest.raises(InputError, match=f"^--{name}.*expected ") as caught:
                Experiment.of(**{"name": "a", "model": model, name: value})
            assert str(caught.value).isprintable()


def test_an_image_size_is_a_number_or_height_and_width():
    sizes = [64, "64", (64,), [64, 64], "64,64"]
    assert {Experiment.of(name="t", image_size=size).data.image_size for size in sizes} == {64}
    for size in ((96, 160), [96, 160], "96,160"):
        experiment = Experiment.of(name="t", image_size=size)
        assert experiment.data.request.frame.shape == (96, 160, 3)
        assert Experiment.from_json(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a/b", "leave out '/'"),
        ("..", "hidden"),
        (".git", "hidden"),
        ("a,b", "one of a list"),
        ("a ", "begins or ends with a space"),
        ("\u3000a", "begins or ends with a space"),
        ("ü" * 101, "more than 200 bytes"),
        ("a[1]", "stands for other files"),
        ("a*", "stands for other files"),
        ("a\\b", "stands for other files"),
        ("serving", "server's configuration"),
    ],
)
def test_a_name_is_a_folders(name, says):
    with pytest.raises(InputError, match=f"--name.*{says}"):
        Experiment.of(name=name)


@pytest.mark.parametrize(
    "name", ["a b", "ü", "it's", 'say "a"', "a$b", "a.b", "<b>", "-", "ü" * 100]
)
def test_other_names_are_taken(name):
    assert Experiment.of(name=name).run_path.name == name


def test_a_run_folder_is_no_pattern():
    """TensorFlow would find no checkpoint in it, or remove those of another."""
    with pytest.raises(InputError, match=r"--run_dir: the run folder 'runs/a\*b' has '\*'"):
        Experiment.of(name="a", run_dir="runs/a*b")


def test_a_path_begins_at_home_and_has_names_of_files(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a")
    paths = [name for name, field in FIELDS.items() if field.metadata["is_path"]]
    assert {"run_dir", "data_dir", "export_dir", "encoder_path", "embed_output"} <= set(paths)
    experiment = Experiment.of(name="a", apply="copy", **dict.fromkeys(paths, "~/b"))
    assert {experiment.to_dict()[name] for name in paths} == {"/home/a/b"}
    assert Experiment.from_json(experiment.to_json()) == experiment
    for name in paths:
        with pytest.raises(InputError, match=f"--{name}=.*more than 255 bytes"):
            Experiment.of(**{"name": "a", name: f"b/{'x' * 256}/c"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("[]", "no object"),
        ('"a"', "no object"),
        ("null", "no object"),
        ("[" * 100_000, "nested more than"),
        ('{"name": ' + "[" * 60 + "]" * 60 + "}", "nested more than"),
        ('{"name": "a", "name": "b"}', "entry 'name' twice"),
        ('{"name": "a", "training": 1}', "training is 1; expected an object of settings"),
        ('{"name": "a", "model": {"name": "no"}}', "--model='no'; expected one of 'dim'"),
        ('{"name": "a", "no_such": 1}', "setting 'no_such', which is unknown"),
        ('{"name": "a", "training": {"seed": ' + "9" * 5000 + "}}", "not an experiment.json"),
        ('{"name": "a", "model": {"gamma": 1e400}}', "--gamma=inf; expected a finite number"),
        ('{"name": "a", "model": {"gamma": NaN}}', "--gamma=nan; expected a finite number"),
        ('{"name": "\\ud800"}', "surrogates not allowed"),
        ('\ufeff{"name": "a"}', "BOM"),
    ],
)
def test_another_json_is_refused(text, says):
    with pytest.raises(InputError, match=says) as caught:
        Experiment.from_json(text)
    assert "\n" not in str(caught.value)


def test_spaces_in_a_list_are_nothing():
    assert Experiment.of(name="a", measures="knn, mlp").evaluation.measure_names == ("knn", "mlp")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "uniform"),
        ({"gamma": 0.0}, ""),
        ({"model": "vae"}, ""),
        ({"model": "aae", "aae.prior": "ball"}, "ball"),
    ],
)
def test_which_prior_the_features_are_matched_with(settings, expected):
    assert Experiment.of(name="a", **settings).model.matched_prior == expected


def test_every_flag_is_one_groups_alone():
    flags = [*Experiment.flags()]
    for name, group in groups_of(model_settings("dim")).items():
        flags += [] if name == "model" else group.flags()
    for model in registry.MODELS:
        flags += model_settings(model).flags()
    assert len(flags) == len(set(flags)) == len(all_fields())


@pytest.mark.parametrize("model", registry.MODELS)
def test_every_model_has_settings_of_its_name(model):
    settings = model_settings(model)
    assert model == settings.NAME
    assert ("" if model == "dim" else f"{model}.") == settings.PREFIX
    experiment = Experiment.of(name="a", model=model)
    assert Experiment.from_json(experiment.to_json()) == experiment
    assert Experiment.of(**experiment.to_dict()) == experiment


def test_a_setting_of_another_model_is_refused_with_those_that_there_are():
    message = "--alpha is a setting of --model=dim, not of beta_vae, which has --beta_vae.kl_weight"
    with pytest.raises(InputError, match=message):
        Experiment.of(name="a", model="beta_vae", alpha=1.0)
    with pytest.raises(InputError, match="of --model=beta_vae, not of ae, which has none of its"):
        Experiment.of(name="a", model="ae", **{"beta_vae.kl_weight": 1.0})
    with pytest.raises(InputError, match="no setting 'no_such'; see --helpfull"):
        Experiment.of(name="a", no_such=1)


def test_another_model_is_another_experiment_with_its_own_settings():
    dim = Experiment.of(name="a", alpha=0.5, batch_size=8)
    simclr = dim.replace(model="simclr", **{"simclr.temperature": 0.2})
    assert (simclr.model.NAME, simclr.model.temperature) == ("simclr", 0.2)
    assert simclr.training.batch_size == 8
    assert simclr.differences(dim) == [
        "model: 'dim' -> 'simclr'",
        "augmentation: 'none' -> 'natural'",
    ]
    hotter = simclr.replace(**{"simclr.temperature": 0.3})
    assert hotter.differences(simclr) == ["simclr.temperature: 0.2 -> 0.3"]

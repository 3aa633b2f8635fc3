"""From flags to the runs of a table."""

from pathlib import Path

import pytest

from dim_tf import registry
from dim_tf.evaluation.report import paper
from dim_tf.experiment import Experiment, known_settings, model_settings
from dim_tf.models.dim import DIM
from dim_tf.system.errors import InputError
from dim_tf.tables.commands import job_command
from dim_tf.tables.definitions import TABLES, Row
from dim_tf.tables.plan import (
    PATH_SETTINGS,
    differences,
    make_plan,
    redact_paths,
    result_settings,
)

FLAGS = Path(__file__).parents[3] / "flags"
OCCLUSION = {"conv": 76.77, "fc": 74.45, "global": 72.87}


def plan_of(**settings):
    known = known_settings(DIM)
    model_settings = {name: value for name, value in settings.items() if name in known}
    return make_plan(Experiment.of(name="t", **model_settings), settings)


def test_the_flag_lists_the_tables():
    assert tuple(TABLES) == registry.TABLES


@pytest.mark.parametrize("key", TABLES)
def test_every_row_can_be_run_or_says_why_not(key):
    plan = plan_of(table=key, dataset="cifar10")
    keys = [row.key for row in plan.table.rows]
    assert len(set(keys)) == len(keys)
    assert plan.jobs
    assert {job.row.key for job in plan.jobs} | plan.unavailable.keys() == set(keys)


def test_a_key_has_the_same_settings_in_every_table():
    seen = {}
    for table in TABLES.values():
        for row in table.rows:
            assert seen.setdefault(row.key, row.settings) == row.settings


@pytest.mark.parametrize(
    ("table", "row", "metric", "values"),
    [
        ("1", "dim_l_infonce", "mlp_probe", {"conv": 75.21, "fc": 75.57, "global": 69.13}),
        ("1", "ae", "mlp_probe", {"conv": 62.19, "fc": 55.78, "global": 54.47}),
        ("3", "dim_lg_jsd", "svm", {"conv": 57.55, "fc": 45.56, "global": 18.63}),
        ("3", "dim_g_jsd", "ndm", {"global": 9.96}),
        ("4", "dim_l_infonce", "mlp_probe", {"conv": 77.46, "fc": 73.33, "global": 70.65}),
        ("4", "dim_l_infonce_occlusion", "mlp_probe", OCCLUSION),
        ("cpc", "cpc", "mlp_probe", {"conv": 77.45, "fc": 77.45, "global": 77.45}),
    ],
)
def test_rows_have_the_papers_values(table, row, metric, values):
    definition = next(r for r in TABLES[table].rows if r.key == row)
    assert definition.paper["cifar10"][metric] == values


def test_names_are_those_of_the_papers_rows():
    later = {"simclr", "vicreg", "barlow_twins", "two_views"}
    not_there = {"1": later, "2": {*later, "dim_l_dv"}}
    for key, without in not_there.items():
        assert {row.key for row in TABLES[key].rows if not row.paper} <= without
    assert paper.values("cifar10", "DIM(L) DV*")
    assert paper.values("digits", "VAE") == {}


def test_all_rows_come_with_the_first_seed_before_any_with_the_next():
    plan = plan_of(table="1", rows="dim_l_infonce,dim_l_jsd:1", table_seeds="3,5")
    assert [job.name for job in plan.jobs] == [
        "dim_l_infonce-seed3",
        "dim_l_jsd-seed3",
        "dim_l_infonce-seed5",
    ]
    assert [job.seed for job in plan.jobs] == [3, 3, 5]


def test_flags_apply_to_all_rows_and_rows_add_their_own():
    plan = plan_of(table="1", dataset="cifar10", epochs=7, critic_units=512, precision="bfloat16")
    job = next(job for job in plan.jobs if job.row.key == "dim_g_jsd")
    e = job.experiment
    assert (e.training.epochs, e.training.precision) == (7, "bfloat16")
    assert e.model.critic_units == 512
    assert (e.model.alpha, e.model.beta, e.model.gamma, e.model.estimator) == (1, 0, 1, "jsd")
    assert e.run_path.as_posix() == "runs/table1-cifar10/runs/dim_g_jsd-seed0"
    assert (e.evaluation.measure_names, e.table.name) == (("mlp",), "")


def test_a_flag_with_the_value_of_all_rows_is_accepted():
    assert plan_of(table="4", estimator="infonce").jobs


def test_a_setting_of_some_models_applies_to_their_rows():
    plan = plan_of(table="1", **{"beta_vae.kl_weight": 2.0, "simclr.temperature": 0.1})
    models = {job.row.key: job.experiment.model for job in plan.jobs}
    assert not plan.unavailable
    assert models["beta_vae"].kl_weight == 2.0
    assert models["simclr"].temperature == 0.1
    assert not models["vae"].values()


def test_every_row_is_of_a_model_that_is_here_and_has_only_its_settings():
    for table in TABLES.values():
        for row in table.rows:
            model = row.settings["model"]
            assert model in registry.MODELS, row.key
            assert set(row.settings) <= known_settings(model_settings(model)), row.key


def test_every_model_with_an_encoder_has_a_row_among_the_cited_methods():
    models = {row.settings["model"] for row in TABLES["cited"].rows}
    assert models == {name for name in registry.MODELS if model_settings(name).HAS_ENCODER}


def test_cited_methods_share_the_runs_of_table_1():
    """On CIFAR-10, with the flags of flags/table1_cifar10.cfg, which name the encoder."""
    budget = {"dataset": "cifar10", "epochs": 10, "critic_units": 512}
    cited = {job.row.key: job for job in plan_of(table="cited", **budget).jobs}
    for job in plan_of(table="1", encoder="basic32x32", **budget).jobs:
        if job.row.key in cited:
            recorded = result_settings(job.experiment)
            assert differences(recorded, cited[job.row.key].experiment) == []
    assert {"vae", "dim_l_infonce", "simclr"} < cited.keys()


@pytest.mark.parametrize(
    ("dataset", "encoder", "measures"),
    [
        ("tiny_imagenet", "alex64x64", ("mlp", "knn")),
        ("tiny_imagenet_stl10", "alex64x64", ("mlp", "knn", "fine_tuning")),
        ("stl10", "alex64x64", ("mlp", "knn", "fine_tuning")),
        ("fashion_mnist", "basic28x28", ("mlp", "knn")),
    ],
)
def test_table_2_on_other_data_sets(dataset, encoder, measures):
    plan = plan_of(table="2", dataset=dataset)
    assert not plan.unavailable
    assert {job.experiment.encoder.name for job in plan.jobs} == {encoder}
    assert {job.experiment.evaluation.measure_names for job in plan.jobs} == {measures}
    titles = [column.title for column in plan.columns]
    assert titles[:6] == ["conv", "fc", "Y", "kNN conv", "kNN fc", "kNN Y"]
    assert ("fine-tuned" in titles) == ("fine_tuning" in measures)


def test_flags_override_a_tables_settings():
    assert plan_of(table="2", rows="dim_l_jsd").jobs[0].experiment.encoder.name == "alex64x64"
    small = plan_of(table="2", rows="dim_l_jsd", encoder="basic64x64").jobs[0].experiment
    assert (small.encoder.name, small.data.image_size) == ("basic64x64", 64)


def test_measures_that_are_named_are_added():
    plan = plan_of(table="1", rows="dim_l_jsd", measures="svm,mlp")
    assert plan.jobs[0].experiment.evaluation.measure_names == ("mlp", "svm")


def test_references_are_measured_once():
    plan = plan_of(table="1", rows="dim_l_dv,dim_l_jsd", table_seeds="0,1")
    assert [job.experiment.evaluation.references for job in plan.jobs] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "--mode=table needs --table"),
        ({"table": "1", "rows": "vea"}, "--rows has no 'vea'"),
        ({"table": "1", "rows": "dim_l_jsd:2"}, "--rows=dim_l_jsd:2"),
        ({"table": "1", "rows": "dim_l_jsd:x"}, "--rows=dim_l_jsd:x"),
        ({"table": "1", "rows": "dim_l_jsd,dim_l_jsd"}, "each row once"),
        ({"table": "1", "table_seeds": "0,0"}, "--table_seeds=0,0"),
        ({"table": "1", "table_seeds": "zero"}, "--table_seeds=zero"),
        ({"table": "1", "table_seeds": "4294967296"}, "numbers up to 4294967295"),
        ({"table": "1", "estimator": "dv"}, "--estimator=dv: the rows of --table=1"),
        ({"table": "4", "occlusion": True}, "--occlusion=True: the rows of --table=4"),
        ({"table": "1", "prior": "gaussian"}, "--prior=gaussian: the rows of --table=1"),
        (
            {"table": "3", "beta_vae.kl_weight": 2.0},
            "--beta_vae.kl_weight is a setting of a model of which --table=3 has no row",
        ),
        ({"table": "1", "simclr.temperature": -1.0}, "--simclr.temperature=-1.0; expected more"),
        ({"table": "1", "seed": 1}, "--table_seeds"),
        ({"table": "1", "resume": False}, "--resume is not for"),
        ({"table": "1", "reference": "a"}, "--reference is not for"),
    ],
)
def test_wrong_flags_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        plan_of(**settings)


def test_a_data_sets_name_becomes_one_folder_name():
    plans = {dataset: plan_of(table="1", dataset=dataset) for dataset in ("cifar10", "tfds:x/y")}
    assert [str(plan.folder) for plan in plans.values()] == [
        "runs/table1-cifar10",
        "runs/table1-tfds-x-y",
    ]


def test_paths_of_the_machine_are_redacted(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    folders = {name: f"/disk/{name}" for name in ("run_dir", "results", "data_dir", "cache_dir")}
    folders["export_dir"] = "/disk/run_dir/exported/"
    plan = plan_of(table="1", dataset="cifar10", **folders)
    text = redact_paths(" ".join([*folders.values(), "/home/me/.cache/a", "a/b"]), plan)
    assert text == "RUN_DIR RESULTS DATA_DIR CACHE_DIR EXPORT_DIR/ ~/.cache/a a/b"
    assert set(folders) <= set(PATH_SETTINGS)
    assert "disk" not in job_command(plan.jobs[0])


def test_a_runs_folder_is_refused_for_a_table(tmp_path):
    (tmp_path / "experiment.json").touch()
    with pytest.raises(InputError, match="holds a run"):
        plan_of(table="1", run_dir=str(tmp_path))


def test_an_unavailable_row_is_refused_only_where_it_is_asked_for():
    plan = plan_of(table="cpc", dataset="cifar10")
    assert [job.row.key for job in plan.jobs] == ["dim_one_global", "cpc"]
    assert "map of globals" in plan.unavailable["dim_many_globals"]
    with pytest.raises(InputError, match=r"dim_many_globals .* cannot be run: .*map of globals"):
        plan_of(table="cpc", dataset="cifar10", rows="dim_one_global,dim_many_globals")


def test_a_table_without_available_rows_is_refused(monkeypatch):
    monkeypatch.setattr(
        "dim_tf.tables.plan._unavailable_reason", lambda plan, row: "no such encoder"
    )
    with pytest.raises(InputError, match="of --table=1 cannot be run: no such encoder"):
        plan_of(table="1")


@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_cpc_has_its_own_encoder_of_crops(dataset):
    plan = plan_of(table="cpc", dataset=dataset)
    encoders = {job.row.key: job.experiment.encoder.name for job in plan.jobs}
    assert encoders["cpc"] == ""  # by the image size
    assert encoders["dim_one_global"].startswith("fold")
    with pytest.raises(InputError, match="take --encoder=crops32x32 or crops64x64"):
        Experiment.of(name="t", model="cpc", encoder="basic32x32")


def test_the_stand_in_for_stl10_is_augmented_as_stl10_is():
    jobs = plan_of(table="2", dataset="tiny_imagenet_stl10").jobs
    assert {job.experiment.data.augmentation for job in jobs} == {"natural"}


@pytest.mark.parametrize("key", ["2", "cpc"])
def test_stl10_is_augmented(key):
    assert {j.experiment.data.augmentation for j in plan_of(table=key, dataset="stl10").jobs} == {
        "natural"
    }
    others = plan_of(table=key, dataset="tiny_imagenet").jobs
    assert {job.experiment.data.augmentation for job in others} == {"auto"}


def value_like(value, text):
    """The value of a flag, of the same type as another."""
    if isinstance(value, tuple):
        return tuple(int(part) for part in text.split(","))
    return type(value)(text)


OF_LENGTH = ("epochs", "dec.pretraining_steps")


@pytest.mark.parametrize(
    ("table", "encoder"),
    [
        ("1", {"encoder": "basic32x32"}),
        ("2", {"encoder": "basic32x32", "image_size": 0}),
        ("cited", {}),
    ],
)
def test_rows_equal_their_flagfiles(table, encoder):
    budget = {"dataset": "cifar10", "epochs": 1000, "log_every": 50, "critic_units": 512}
    plan = plan_of(table=table, **budget, **encoder)
    checked = set()
    for job in plan.jobs:
        flagfile = FLAGS / f"{job.row.key}_cifar10.cfg"
        if flagfile.exists():
            lines = flagfile.read_text(encoding="utf-8").splitlines()
            flags = dict(line[2:].split("=", 1) for line in lines if line.startswith("--"))
            flags = {name: value for name, value in flags.items() if name not in OF_LENGTH}
            if job.row.settings.get("encoder") == "":  # by the image size
                flags.pop("encoder", None)
            row_settings = {name: job.experiment.to_dict()[name] for name in flags}
            assert row_settings == {
                name: value_like(row_settings[name], text) for name, text in flags.items()
            }
            checked.add(job.row.key)
    baselines = {row.key for row in plan.table.rows if row.settings["model"] != "dim"}
    assert checked - {"two_views"} == baselines
    assert {job.experiment.model.prior for job in plan.jobs if job.row.key not in baselines} == {
        "uniform"
    }


def test_a_setting_that_this_version_does_not_know_is_refused():
    plan = plan_of(table="1")
    with pytest.raises(InputError, match="there is no setting 'wings'"):
        plan.job(Row("a", "A", {"wings": 2}), 0)


def test_differences_are_those_on_which_metrics_depend():
    before = Experiment.of(name="a", epochs=1, data_dir="here", estimator="dv")
    recorded = result_settings(before)
    del recorded["precision"]  # of a version that had no such setting
    now = before.replace(epochs=2, data_dir="there", name="b")
    assert differences(recorded, now) == ["epochs: 1 -> 2"]
    assert differences({**recorded, "wings": 2}, before) == ["wings: unknown to this version"]

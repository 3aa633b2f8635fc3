"""Models that are fitted without steps: from their settings to a checkpoint and an export."""

import importlib.util
import json

import numpy as np
import pytest

from dim_tf import preconditions, registry
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment, model_settings
from dim_tf.export import saved_model
from dim_tf.models.fitted import FittedModel, FittedPrototypes
from dim_tf.run import Run
from dim_tf.system import memory
from dim_tf.system.errors import InputError
from dim_tf.training import fit, init_from
from dim_tf.training.model import encoder_name, load_trained, make_encoder, random_encoder

SETTINGS = {
    "pca": {},
    "fastica": {},
    "infomax_ica": {},
    "sfa": {"sfa.components": 4},
    "som": {"som.rows": 2, "som.columns": 3, "som.passes": 1},
    "rbm": {"rbm.passes": 1},
    "kmeans_features": {"kmeans_features.centroids": 4, "kmeans_features.patches": 200},
}


def splits(count=60, side=8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return Splits("random", Split(images, None), Split(images[:9], None), (), "random images")


def experiment(model, folder="", **settings):
    size = {} if issubclass(model_settings(model), FittedPrototypes) else {"latent_dim": 5}
    own = SETTINGS[model]
    return Experiment.of(name="t", run_dir=str(folder), model=model, **{**size, **own, **settings})


def test_all_of_them_are_here():
    fitted = [m for m in registry.MODELS if issubclass(model_settings(m), FittedModel)]
    assert fitted == list(SETTINGS)


@pytest.mark.parametrize("model", SETTINGS)
def test_it_is_fitted_and_comes_back(tmp_path, model, capsys):
    data = splits()
    settings = experiment(model, tmp_path / "run", **{f"{model}.images": 50})
    fitted = fit.fit(settings, data)
    content = json.loads((tmp_path / "run/fit.json").read_text())
    assert (content["images"], content["training_images"]) == (50, 60)
    printed = f"train: {model}: fitted {fit.describe(settings)}\n"
    assert printed in capsys.readouterr().out
    assert "fitted on 50 of 60 training images in " in printed
    again, step = load_trained(settings, data)
    assert step == 1
    new = random_encoder(settings, data.train.images)
    for mine, theirs, before in zip(
        again.encoder.variables, fitted.encoder.variables, new.variables, strict=True
    ):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
        assert not np.array_equal(mine.numpy(), before.numpy()), mine.path
    assert encoder_name(settings, (8, 8, 3)) == model


@pytest.mark.slow  # seconds for each SavedModel
@pytest.mark.parametrize("model", SETTINGS)
def test_its_export_has_its_features(tmp_path, model):
    data = splits()
    encoder = fit.fit(experiment(model, tmp_path / "run"), data).encoder
    options = saved_model.SavedModelOptions({})
    saved_model.save(encoder, tmp_path / "export", options)
    pixels = data.test.images.astype(np.float32) / 255
    assert saved_model.check(tmp_path / "export", encoder, pixels, options) < 1e-5


@pytest.mark.parametrize("model", SETTINGS)
def test_it_is_a_function_of_the_seed(tmp_path, model):
    first, again, other = (
        fit.fit(experiment(model, tmp_path / f"{n}", seed=seed), splits()).encoder.get_weights()
        for n, seed in enumerate((1, 1, 2))
    )
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    if model in ("fastica", "som", "rbm", "kmeans_features"):  # of random numbers
        assert any(not np.allclose(one, two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("model", SETTINGS)
def test_every_setting_is_read(tmp_path, model, monkeypatch):
    read = set()

    class Watched(model_settings(model)):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    settings = Watched(**{name.partition(".")[2]: x for name, x in SETTINGS[model].items()})
    encoder = settings.make_encoder((8, 8, 3), 5)
    encoder.build()
    read.clear()
    settings.make_encoder((8, 8, 3), 5)
    settings.fitted_images(60)
    settings.fit(encoder, fit.sample(splits().train.images, 60, 0), 0)
    assert {field.name for field in settings.flags().values()} <= read


def test_a_run_is_fitted_once(tmp_path, capsys):
    run = Run(experiment("pca", tmp_path / "run"))
    run.__dict__["_data"] = splits()
    run.train()
    before = (tmp_path / "run/fit.json").read_text()
    run.train()
    assert "train: pca is fitted already; --noresume fits it anew" in capsys.readouterr().out
    assert (tmp_path / "run/fit.json").read_text() == before
    with pytest.raises(InputError, match="holds another experiment"):
        fit.fit(experiment("pca", tmp_path / "run", latent_dim=4), splits())
    with pytest.raises(InputError, match="fitted without steps"):
        run.train(callbacks=[object()])
    other = Experiment.of(name="d", encoder="basic", init_from=str(tmp_path / "run"))
    with pytest.raises(InputError, match="that encoder is fitted by --model=pca"):
        init_from.load_weights(make_encoder(other, (16, 16, 3)), other)


def test_a_damaged_record_is_refused_and_a_missing_one_is_not(tmp_path):
    settings = experiment("pca", tmp_path)
    assert fit.describe(settings) == ""
    (tmp_path / "fit.json").write_text('{"images": 5}')
    with pytest.raises(InputError, match=r"fit\.json is no record of a fit; remove it"):
        fit.describe(settings)
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(InputError, match=r"fit\.json cannot be read .*; remove it"):
        fit.describe(settings)


def test_the_sample_is_images_in_their_order(monkeypatch):
    images = splits().train.images
    monkeypatch.setattr(fit, "_READ_IMAGES", 7)
    drawn = fit.sample(images, 20, seed=3)
    everything = images.astype(np.float32) / 255 * 2 - 1
    which = [np.abs(everything - one).max((1, 2, 3)).argmin() for one in drawn]
    assert which == sorted(set(which))
    np.testing.assert_allclose(everything[which], drawn, atol=1e-6)
    np.testing.assert_allclose(fit.sample(images, 60, seed=3), everything, atol=1e-6)


def test_images_that_do_not_suffice_or_fit_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"--model=pca: 4 images .* at most 3 components, and 5"):
        fit.fit(experiment("pca", tmp_path, **{"pca.images": 4}), splits())
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(InputError, match=r"--pca\.images: a fit on 60 images of 8x8 pixels takes"):
        fit.fit(experiment("pca", tmp_path), splits())


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("pca", {"epochs": 5}),
        ("som", {"learning_rate": 0.1}),
        ("rbm", {"encoder": "basic32x32"}),
        ("sfa", {"init_from": "runs/a"}),
        ("fastica", {"augmentation": "natural"}),
        ("som", {"latent_dim": 32}),
        ("kmeans_features", {"latent_dim": 32}),
        ("infomax_ica", {"replicas": 2}),
    ],
)
def test_settings_of_training_steps_are_refused(model, settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"--{name} has no use with --model={model}, .* leave it"):
        Experiment.of(name="t", model=model, **settings)


def test_settings_without_use_are_not_the_experiments():
    settings = Experiment.of(name="t", model="pca", dataset="folder")
    assert settings.augmentation == settings.hyperparameters["augmentation"] == "none"
    unused = {"learning_rate", "batch_size", "encoder"}
    assert not unused & {*settings.hyperparameters, *settings.used_settings}
    assert {"latent_dim", "pca.whiten", "seed"} <= set(settings.hyperparameters)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "minisom" else find_spec(name)
    )
    with pytest.raises(InputError, match=r"--model=som needs the package minisom: pip install"):
        preconditions.check(Experiment.of(name="t", model="som"), ["train"])
    preconditions.check(Experiment.of(name="t", model="pca"), ["train"])

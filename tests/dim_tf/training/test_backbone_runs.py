"""Runs whose encoder is a Keras model: resumed, moved, begun with other weights, exported."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import small_backbone

from dim_tf import preconditions
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.stages.export import export
from dim_tf.system.errors import InputError
from dim_tf.training import encoder_config, init_from, loop
from dim_tf.training.model import (
    image_request,
    load_trained,
    make_encoder,
    make_model,
    random_encoder,
)
from keras_models import encoders
from keras_models.encoders import BackboneEncoder, backbone_config, keras_file

SHAPE = (16, 16, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def splits():
    split = Split(PIXELS, np.arange(20) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.keras"
    small_backbone.write(path, dropout=0.1)
    return path


def experiment(folder, file, **settings):
    defaults = {"batch_size": 4, "epochs": 2, "latent_dim": 4}
    if "model" not in settings:
        defaults["critic_units"] = 8
    defaults |= {"input_scaling": "127,128", "jit_compile": "false", "online_probe": False}
    all_settings = {**defaults, **settings}
    return Experiment.of(name="t", run_dir=str(folder), encoder=str(file), **all_settings)


def record_of(settings):
    """Writes what a run folder with a checkpoint has of the encoder."""
    encoder = make_encoder(settings, SHAPE)
    (settings.run_path / "checkpoints").mkdir(parents=True)
    encoder_config.write(settings.run_path, settings, encoder)
    (settings.run_path / "checkpoints" / "ckpt-1.index").write_text("")
    return encoder


def losses(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_a_run_folder_has_all_of_the_encoder_but_its_weights(tmp_path, file):
    settings = experiment(tmp_path / "run", file, encoder_head="mlp", precision="bfloat16")
    encoder = record_of(settings)
    file.unlink()
    config = encoder_config.read(tmp_path / "run")
    again = make_encoder(settings, SHAPE, config=config)
    for one in (encoder, again):
        one.build()
    assert again.get_config() == encoder.get_config()
    again.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(again(images)["global"], encoder(images)["global"])


def test_another_file_under_the_same_path_is_noticed(tmp_path, file):
    settings = experiment(tmp_path / "run", file)
    record_of(settings)
    config = encoder_config.read(settings.run_path)
    config.check_files(settings)
    elsewhere = tmp_path / "elsewhere.keras"
    shutil.copy(file, elsewhere)
    config.check_files(settings.replace(encoder=str(elsewhere)))
    small_backbone.write(file, seed=1)
    with pytest.raises(InputError, match=r"began with another file than --encoder=.*SHA-256"):
        config.check_files(settings)


def test_a_damaged_record_is_refused(tmp_path, file):
    settings = experiment(tmp_path / "run", file)
    record_of(settings)
    path = settings.run_path / encoder_config.FILE
    path.write_text(path.read_text().replace('"latent_dim": 4', '"latent_dim": 5'))
    with pytest.raises(InputError, match=r"encoder.json cannot be read .*sha256"):
        encoder_config.read(settings.run_path)


def test_random_weights_are_random_where_the_run_began_with_others(tmp_path, file):
    settings = experiment(tmp_path / "run", file)
    trained = make_encoder(settings, SHAPE).backbone.get_layer("stem").kernel.numpy()
    np.testing.assert_array_equal(trained, keras.models.load_model(file).get_layer("stem").kernel)
    drawn = random_encoder(settings, PIXELS).backbone.get_layer("stem").kernel.numpy()
    assert not np.array_equal(drawn, trained)
    record_of(settings)
    file.unlink()
    drawn, again = (
        random_encoder(settings, PIXELS).backbone.get_layer("stem").kernel.numpy() for _ in range(2)
    )
    np.testing.assert_array_equal(again, drawn)
    assert not np.array_equal(drawn, trained)


def test_the_features_of_random_weights_do_not_vanish(tmp_path, file):
    """Batch norms have the statistics of the images, and train, or not, as the run's do."""
    encoder = random_encoder(
        experiment(tmp_path / "run", file, backbone_batch_norm="frozen"), PIXELS
    )
    norms = [x for x in encoder._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    assert [(norm.momentum, norm.trainable) for norm in norms] == [(0.99, False)] * len(norms)
    normed = encoder.backbone.get_layer("stem_norm").output  # before dropout
    normed = keras.Model(encoder.backbone.inputs, normed)(encoder._scaled(PIXELS, 1.0, 0.0))
    np.testing.assert_allclose(np.mean(normed, (0, 1, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.std(normed, (0, 1, 2)), 1.0, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"input_scaling": "auto"}, "its weights were trained on; give --input_scaling=-1"),
        ({"local_layer": "stam"}, "has no layer 'stam' with a map"),
        ({"encoder_weights": "no.weights.h5"}, "no file of weights 'no.weights.h5'"),
    ],
)
def test_files_that_are_no_usable_model_are_one_line(tmp_path, file, settings, says):
    with pytest.raises(InputError, match=says) as error:
        make_encoder(experiment(tmp_path, file, **settings), SHAPE)
    assert str(error.value).startswith(f"--encoder={file}: ")


def test_training_says_which_layers_it_uses_and_what_is_cut_off(tmp_path):
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, 2, "same", name="stem")(images)
    x = keras.layers.Conv2D(4, 8, 8, use_bias=False, name="end")(x)
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    net = keras.Model(images, x, name="net")
    net.get_layer("stem").trainable = False
    net.save(tmp_path / "net.keras")
    encoder = make_encoder(experiment(tmp_path, tmp_path / "net.keras"), SHAPE)
    assert loop.describe_backbone(encoder) == (
        "net: local stem 8x8x4, conv stem 8x8x4, --input_scaling=127,128; 1,024 of its "
        "1,151 weights come after conv and are neither used nor trained: give a larger "
        "--image_size or another --conv_layer; 112 weights are of layers that came with "
        "trainable=False and are not trained"
    )


def of_exports_kind(latent_dim=5):
    encoder = encoders.ConvNet((8, 8, 3), ((4, 4, 2, 1),), (8,), 0, latent_dim)
    encoder.build()
    return encoder


def test_an_export_gives_its_weights_to_a_run_that_begins(small_model):
    path, exported = small_model
    settings = Experiment.of(name="t", init_from=str(path))
    encoder = of_exports_kind()
    source = init_from.load_weights(encoder, settings)
    assert str(source) == f"of the exported encoder {path}"
    for ours, theirs in zip(encoder.variables, exported.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match=r"another encoder .*of shape \[8, 6\] here, .*\[8, 5\]"):
        init_from.load_weights(of_exports_kind(latent_dim=6), settings)


@pytest.fixture
def begun(tmp_path, file, monkeypatch):
    """The folder of a run of that file that has trained two steps."""
    monkeypatch.setattr(init_from, "restore_encoder", lambda *_: 2)
    settings = experiment(tmp_path / "begun", file)
    record_of(settings)
    (settings.run_path / "experiment.json").write_text(settings.to_json())
    return settings.run_path


def assigned(settings):
    encoder = make_encoder(settings, SHAPE)
    encoder.build()
    return init_from.load_weights(encoder, settings)


def test_weights_that_learned_from_other_pixels_are_refused(tmp_path, file, begun):
    same = experiment(tmp_path / "new", file, init_from=str(begun), input_scaling="127.0,128")
    assert str(assigned(same)) == f"of step 2 of {begun}"
    for scaling in ("0..1", "caffe", "127,128,127,128,128,128"):
        other = same.replace(input_scaling=scaling)
        says = rf"pixels of --input_scaling=127,128, .* takes {scaling}; give --input_scaling=127,"
        with pytest.raises(InputError, match=says):
            assigned(other)


def test_weights_of_a_model_with_another_activation_are_refused(tmp_path, file, begun):
    config = backbone_config.serialize(small_backbone.net())
    config["config"]["layers"][3]["config"]["negative_slope"] = 0.5
    other = tmp_path / "other.keras"
    backbone_config.deserialize(config).save(other)
    says = (
        r"another encoder than this run \(negative_slope of layer 'early' is 0.5 here, 0.0 there\);"
        rf" give --encoder={file} and the settings"
    )
    with pytest.raises(InputError, match=says):
        assigned(experiment(tmp_path / "new", other, init_from=str(begun)))


def test_other_layers_for_endpoints_are_said(tmp_path, file, begun):
    source = assigned(experiment(tmp_path / "new", file, init_from=str(begun), local_layer="stem"))
    assert str(source) == f"of step 2 of {begun} (local_layer 'dropout', here 'stem')"


def test_a_run_of_another_kind_of_encoder_is_named(tmp_path, begun):
    settings = Experiment.of(name="t", encoder="basic64x64", init_from=str(begun))
    encoder = encoders.ConvNet((64, 64, 3), ((4, 4, 2, 1),), (8,), 0, 5)
    says = r"that encoder is net.keras, this run's basic64x64; give --encoder=/.*net.keras, or"
    with pytest.raises(InputError, match=says):
        init_from.load_weights(encoder, settings)


def test_an_export_of_another_kind_or_scaling_is_refused(small_model, tmp_path, file, monkeypatch):
    path, exported = small_model
    weights = init_from._read_export(path)
    encoder = small_backbone.small_backbone_encoder(input_scaling="0..1")
    kept = dataclasses.replace(
        weights,
        name="net.keras",
        flag="net.keras",
        shapes=[(v.path, tuple(v.shape)) for v in encoder.variables],
        settings={"input_scaling": "torch"},
    )
    monkeypatch.setattr(init_from, "_read_export", lambda _: kept)
    settings = experiment(tmp_path / "new", file, init_from=str(path))
    with pytest.raises(InputError, match=r"takes 0..1; give --input_scaling=torch"):
        init_from.load_weights(encoder, settings)
    preset = Experiment.of(name="t", encoder="basic64x64", init_from=str(path))
    with pytest.raises(InputError, match=r"is net.keras, this run's basic64x64; give --enc.*=net"):
        init_from.load_weights(exported, preset)


def test_files_without_usable_weights_are_one_line(tmp_path, file):
    settings = experiment(tmp_path / "new", file, init_from=str(tmp_path))
    with pytest.raises(InputError, match=r"no run folder .* and no exported encoder"):
        init_from.load_weights(make_encoder(settings, SHAPE), settings)


def test_start_weights_are_looked_for_before_tensorflow_is_imported(tmp_path, file):
    settings = experiment(tmp_path / "run", file)
    preconditions.check(settings, ["train"])
    missing = settings.replace(encoder_weights=str(tmp_path / "no.weights.h5"))
    with pytest.raises(InputError, match=r"--encoder_weights=.*no.weights.h5 is no file"):
        preconditions.check(missing, ["train"])
    no_run = settings.replace(init_from=str(tmp_path))
    with pytest.raises(InputError, match=r"--init_from=.* is no run folder"):
        preconditions.check(no_run, ["train"])
    record_of(settings)
    file.unlink()
    preconditions.check(settings, ["train"])
    with pytest.raises(InputError, match=r"--encoder=.* is no file"):
        preconditions.check(settings.replace(resume=False), ["train"])


def test_images_have_the_size_of_the_models_input(tmp_path, file):
    """Given by the user, by the run that has begun, by the file, or left to the images."""
    folder = {"dataset": "folder", "data_dir": "photos"}
    asked = experiment(tmp_path / "run", file, **folder)
    assert image_request(asked).image_size == (16, 16)
    assert image_request(asked.replace(image_size=32)).image_size == 32
    small_backbone.write(file, shape=(None, None, 3))
    open_size = image_request(asked)
    assert (open_size.image_size, open_size.any_size) == (0, True)
    record_of(asked.replace(backbone_batch_norm="train", frozen_steps=0))
    file.unlink()
    assert image_request(asked).image_size == (16, 16)
    assert image_request(asked.replace(resume=False)).image_size == 0
    ours = Experiment.of(name="t", run_dir=str(tmp_path / "run"), encoder="basic", **folder)
    assert image_request(ours).any_size is False
    assert image_request(experiment(tmp_path / "run", file)).image_size == 0  # of a named data set


def test_the_size_is_read_from_a_file_without_loading_it(tmp_path):
    two = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    models = {
        "sequential": keras.Sequential([keras.Input((24, 32, 1)), keras.layers.Conv2D(2, 3)]),
        "unbuilt": keras.Sequential([keras.layers.Flatten()]),
        "two": keras.Model(two, keras.layers.Add()(two)),
        "vector": keras.Sequential([keras.Input((9,)), keras.layers.Dense(2)]),
    }
    sizes = {}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        sizes[name] = keras_file.input_size(str(tmp_path / f"{name}.keras"))
    assert sizes == {"sequential": (24, 32), "unbuilt": None, "two": None, "vector": None}
    (tmp_path / "broken.keras").write_bytes(b"PK")
    for name in ("broken.keras", "missing.keras", "x" * 400):
        assert keras_file.input_size(str(tmp_path / name)) is None


FREEZING = {"frozen_steps": 3, "backbone_learning_rate_scale": 0.5, "weight_decay": 0.1}


@pytest.fixture(scope="module")
def straight(tmp_path_factory, splits):
    """The folder and the model of a run of seven steps that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight")
    small_backbone.write(folder / "net.keras", dropout=0.1)
    run = experiment(folder / "run", folder / "net.keras", steps=7, **FREEZING)
    return folder / "run", loop.train(run, splits)


@pytest.mark.slow
@pytest.mark.parametrize("stopped_at", [2, 3, 5])
def test_a_run_that_stopped_goes_on_exactly_without_the_file(
    tmp_path, file, splits, straight, stopped_at, capsys
):
    """Before, at and after the step from which the backbone learns."""
    folder, model_of_straight = straight
    loop.train(experiment(tmp_path / "parts", file, steps=stopped_at, **FREEZING), splits)
    shutil.move(file, tmp_path / "moved.keras")
    parts = loop.train(experiment(tmp_path / "parts", file, steps=7, **FREEZING), splits)
    assert losses(tmp_path / "parts") == losses(folder)
    line = "train: net: local dropout 8x8x6, conv late 4x4x8, --input_scaling=127,128"
    assert line in capsys.readouterr().out
    for ours, theirs in zip(parts.variables, model_of_straight.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model, step = load_trained(experiment(tmp_path / "parts", file, **FREEZING), splits)
    assert step == 7
    for ours, theirs in zip(model.encoder.variables, parts.encoder.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_run_gives_its_encoders_weights_to_another(tmp_path, file, splits):
    first = loop.train(experiment(tmp_path / "first", file, steps=2), splits)
    second = experiment(
        tmp_path / "second", file, model="simclr", init_from=str(tmp_path / "first"), steps=1
    )
    model = make_model(second, splits)
    source = init_from.load_weights(model.encoder, second)
    assert str(source) == f"of step 2 of {tmp_path / 'first'}"
    for ours, theirs in zip(model.encoder.variables, first.encoder.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    loop.train(second, splits)
    shutil.rmtree(tmp_path / "first")  # a run that goes on does not need it
    loop.train(second.replace(steps=2), splits)
    with pytest.raises(InputError, match=r"another encoder than this run .*hidden"):
        init_from.load_weights(
            _built(make_encoder(experiment(tmp_path / "x", file, encoder_head="mlp"), SHAPE)),
            second.replace(init_from=str(tmp_path / "second")),
        )


def _built(encoder):
    encoder.build()
    return encoder


@pytest.mark.slow
def test_a_backbone_that_never_learns_is_said(tmp_path, file, splits, capsys):
    run = experiment(tmp_path / "run", file, steps=2, frozen_steps=2)
    loop.train(run, splits)
    assert "train: the backbone stays frozen for all 2 steps" in capsys.readouterr().out
    loop.train(run.replace(steps=3), splits)
    assert "stays frozen" not in capsys.readouterr().out


@pytest.mark.slow
def test_two_replicas_from_settings_are_one_device(tmp_path, file, splits, two_replicas):
    settings_of_both = {"steps": 2, "gamma": 0.0, "learning_rate": 1e-3, "frozen_steps": 1}
    small_backbone.write(file)  # dropout would draw other numbers
    one = loop.train(experiment(tmp_path / "one", file, **settings_of_both), splits)
    settings = experiment(tmp_path / "two", file, replicas=2, **settings_of_both)
    two = loop.train(settings, splits, two_replicas)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-5)
    assert all(norm.synchronized for norm in _norms(two.encoder))
    assert not any(norm.synchronized for norm in _norms(one.encoder))
    for ours, theirs in zip(two.encoder.variables, one.encoder.variables, strict=True):
        if "moving" in ours.path:
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-5)


def _norms(encoder: BackboneEncoder):
    kind = keras.layers.BatchNormalization
    return [layer for layer in encoder.backbone.layers if isinstance(layer, kind)]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"jit_compile": "true"}, {"precision": "bfloat16"}])
def test_xla_and_bfloat16_run_and_are_loaded_in_float32(tmp_path, file, splits, settings):
    run = experiment(tmp_path / "run", file, steps=2, **settings)
    loop.train(run, splits)
    assert all(np.isfinite(losses(tmp_path / "run")))
    model, _ = load_trained(run, splits)
    assert model.encoder.backbone.get_layer("down").compute_dtype == "float32"


@pytest.mark.slow
def test_it_is_exported_with_everything(tmp_path, file, splits):
    exports = {"export_dir": str(tmp_path / "exported"), "tflite": "float32"}
    run = experiment(tmp_path / "run", file, steps=2, **exports)
    loop.train(run, splits)
    file.unlink()
    export(run, splits)
    version = tmp_path / "exported" / "t" / "1"
    assert [path.name for path in version.glob("*.tflite")] == ["encoder_float32.tflite"]
    card = (version / "README.md").read_text()
    digest = encoder_config.read(run.run_path).sha256["encoder"][:12]
    assert f"- **Initial weights**: the weights of net.keras (SHA-256 {digest}...). These" in card
    assert "scaled by --input_scaling=127,128, not in [0, 1]" in card
    assert str(tmp_path) not in card
    metadata = json.loads((version / "assets" / "metadata.json").read_text())
    assert metadata["backbone"] == {
        "input_scaling": [[127.0], [128.0]],
        "local_layer": "dropout",
        "conv_layer": "late",
        "head": "linear",
        "batch_norm": "train",
    }
    weights = init_from._read_export(version)
    assert weights.name == "net.keras"
    again = experiment(tmp_path / "again", version / "backbone.keras", init_from=str(version))
    source = assigned(again)
    assert str(source) == f"of the exported encoder {version}"
    with pytest.raises(InputError, match=r"takes 0..1; give --input_scaling=127,128"):
        assigned(again.replace(input_scaling="0..1"))
    with pytest.raises(
        InputError, match=r"that encoder is net.keras, .*give --.*/1/backbone.keras"
    ):
        init_from.load_weights(
            of_exports_kind(), Experiment.of(name="t", encoder="basic32x32", init_from=str(version))
        )

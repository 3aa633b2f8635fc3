"""Keras models by name: which model, which weights, which scaling; what is refused."""

import doctest
import importlib
import json
import sys

import h5py
import keras
import numpy as np
import pytest
import small_backbone
from harness import in_bfloat16

from keras_models import encoders
from keras_models.encoders import backbone_config, backbone_weights, backbones

SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
URL = "https://storage.googleapis.com/tensorflow/keras-applications/x/net_notop.h5"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("net") / "net.keras")
    return path, small_backbone.write(path)


def same(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_a_file_is_a_backbone_with_its_own_weights(file):
    path, net = file
    encoder = encoders.get(path, image_shape=SHAPE, input_scaling="0..1", latent_dim=5)
    assert same(encoder.backbone.get_weights(), net.get_weights())
    np.testing.assert_allclose(encoder(IMAGES)["conv"], net((IMAGES + 1) / 2), atol=1e-5)
    assert encoder.endpoint_shapes()["global"] == (None, 5)


def test_random_weights_are_drawn_anew(file):
    path, net = file
    first = backbones.load(path, SHAPE, "random").get_weights()
    pairs = zip(first, net.get_weights(), strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs if a.ndim > 1)
    assert not same(first, backbones.load(path, SHAPE, "random").get_weights())
    keras.utils.set_random_seed(0)
    again = backbones.load(path, SHAPE, "random").get_weights()
    keras.utils.set_random_seed(0)
    assert same(again, backbones.load(path, SHAPE, "random").get_weights())


def test_a_seed_in_the_file_does_not_make_random_weights_always_the_same(tmp_path):
    images = keras.Input(SHAPE)
    initializer = keras.initializers.GlorotUniform(seed=7)
    x = keras.layers.Conv2D(4, 3, 2, "same", kernel_initializer=initializer)(images)
    keras.Model(images, x).save(tmp_path / "seeded.keras")
    first, second = (
        backbones.load(str(tmp_path / "seeded.keras"), SHAPE, "random").get_weights()
        for _ in range(2)
    )
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_of_another_file_of_the_same_model(file, tmp_path, ending):
    path, _ = file
    keras.utils.set_random_seed(1)
    trained = small_backbone.net()
    target = str(tmp_path / f"trained{ending}")
    trained.save(target) if ending == ".keras" else trained.save_weights(target)
    backbone = backbones.load(path, SHAPE, target)
    assert same(backbone.get_weights(), trained.get_weights())


def test_a_backbone_computes_by_the_policy_of_now_whatever_the_files_was(file, tmp_path):
    path, _ = file
    half = in_bfloat16(lambda: backbones.load(path, SHAPE))
    assert half.get_layer("stem").compute_dtype == "bfloat16"
    half.save(tmp_path / "half.keras")
    whole = backbones.load(str(tmp_path / "half.keras"), SHAPE)
    assert whole.get_layer("stem").compute_dtype == "float32"
    assert same(whole.get_weights(), half.get_weights())


def test_a_layer_with_a_policy_of_its_own_keeps_it(tmp_path):
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, 2, "same")(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Softmax(dtype="float64", name="exact")(x)
    description = backbone_config.serialize(keras.Model(images, x))
    half = in_bfloat16(lambda: backbone_config.deserialize(description))
    assert half.get_layer("exact").compute_dtype == "float64"
    assert half.layers[1].compute_dtype == "bfloat16"


def test_a_grey_model_takes_grey_images(tmp_path):
    small_backbone.write(tmp_path / "grey.keras", shape=(16, 16, 1))
    encoder = encoders.get(
        str(tmp_path / "grey.keras"), image_shape=(16, 16, None), input_scaling="torch"
    )
    assert encoder.image_shape == (16, 16, 1)


def sequential():
    layers = [keras.layers.Conv2D(4, 3, 2, "same"), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input(SHAPE), *layers], name="stack")


@pytest.mark.parametrize("make", [small_backbone.net, sequential])
def test_a_description_and_weights_are_all_of_it(tmp_path, make):
    make().save(tmp_path / "net.keras")
    backbone = backbones.load(str(tmp_path / "net.keras"), SHAPE)
    written = json.loads(json.dumps(backbone_config.serialize(backbone)))
    again = backbone_config.deserialize(written)
    again.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(again(IMAGES), backbone(IMAGES))
    assert [v.path for v in again.variables] == [v.path for v in backbone.variables]


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_that_are_not_finite_are_refused(file, tmp_path, number, ending):
    net = small_backbone.net()
    kernel = net.get_layer("down").kernel
    kernel.assign(np.where(np.arange(kernel.shape[-1]) == 3, number, kernel.numpy()))
    target = str(tmp_path / f"broken{ending}")
    net.save(target) if ending == ".keras" else net.save_weights(target)
    with pytest.raises(ValueError, match=r"broken.*down/kernel"):
        backbones.load(file[0], SHAPE, target)
    if ending == ".keras":
        with pytest.raises(ValueError, match=r"weights that are NaN or infinite.*down/kernel"):
            backbones.load(target, SHAPE)


def test_a_file_of_a_model_with_integer_inputs_takes_pixels(tmp_path):
    images = keras.Input(SHAPE, dtype="uint8")
    x = keras.layers.Conv2D(4, 3, 2)(keras.layers.Rescaling(1 / 255)(images))
    keras.Model(images, x).save(tmp_path / "whole.keras")
    encoder = encoders.get(str(tmp_path / "whole.keras"), image_shape=(16, 16, None))
    assert encoder.input_scaling == "0..255"
    assert encoder.endpoint_shapes()["local"] == (None, 7, 7, 4)


def of_four_channels():
    images = keras.Input((16, 16, 4))
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2)(images), name="four")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Conv2D(4, 3)]), "build it from keras.Input"),
        (of_four_channels, "four takes images of 4 channels; images have 1 or 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_file_whose_model_is_no_backbone_is_refused(tmp_path, make, message):
    make().save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match=message):
        encoders.get(
            str(tmp_path / "net.keras"), image_shape=(16, 16, None), input_scaling=(127, 128)
        )


@pytest.fixture
def wider(tmp_path):
    path = str(tmp_path / "wider.keras")
    small_backbone.write(path, filters=7)
    small_backbone.net(filters=7).save_weights(path.replace(".keras", ".weights.h5"))
    return path


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_of_another_model_are_refused(file, wider, ending):
    message = {
        ".keras": r"of another backbone than net: variable 1 is stem/kernel of shape "
        r"\[3, 3, 3, 6\] here, stem/kernel of shape \[3, 3, 3, 7\] there",
        ".weights.h5": r"holds no weights of this net \(.*name=stem.*shape=\(3, 3, 3, 7\)\.\)$",
    }[ending]
    with pytest.raises(ValueError, match=message):
        backbones.load(file[0], SHAPE, wider.replace(".keras", ending))


def test_a_file_that_lacks_some_weights_is_refused(file, tmp_path):
    """Keras would leave those as they are, with a warning."""
    target = str(tmp_path / "some.weights.h5")
    small_backbone.net().save_weights(target)
    with h5py.File(target, "a") as weights:
        del weights["layers/batch_normalization_1"]
    with pytest.raises(ValueError, match="holds no weights of this net"):
        backbones.load(file[0], SHAPE, target)


def test_the_first_difference_of_variables():
    some = [("a", (1,)), ("b", (2, 3))]
    assert backbone_weights.first_difference(some, some) == ""
    assert "2 variables here, 1 there, b only here" in backbone_weights.first_difference(
        some, some[:1]
    )
    assert "b only there" in backbone_weights.first_difference(some[:1], some)


def lambda_net(path):
    images = keras.Input(SHAPE)
    keras.Model(images, keras.layers.Lambda(lambda x: x * 2)(images)).save(path)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("no.keras", {"input_scaling": "0..1"}, "no file 'no.keras'"),
        ("a" * 300 + ".keras", {"input_scaling": "0..1"}, "no file 'aaa"),
        ("FILE", {"weights": "a" * 300 + ".h5", "input_scaling": "0..1"}, "no file of weights 'a"),
        ("FILE", {}, "^the file does not say what its weights were trained on; give input_scaling"),
        ("FILE", {"weights": "imagenet"}, "'imagenet' are those of keras:CLASS"),
        ("FILE", {"weights": "x.npz", "input_scaling": "0..1"}, "'x.npz'; expected 'random', or"),
        ("FILE", {"weights": "x.h5", "input_scaling": "0..1"}, "no file of weights 'x.h5'"),
        ("LAMBDA", {"input_scaling": "0..1"}, "cannot be loaded .*ambda"),
        ("TEXT.keras", {"input_scaling": "0..1"}, "cannot be loaded"),
        ("keras:ResNet50V3", {}, "no class 'ResNet50V3'; it has ResNet50V2"),
        ("keras:ConvNeXtBase2", {}, "no class"),
        ("keras:vgg16", {}, "no class 'vgg16'; it has VGG16"),
        ("keras:VGG16", {}, r"VGG16 of images of shape \(16, 16, 3\): Input size must be at least"),
        ("keras:VGG16", {"weights": "mine"}, "weights 'mine'; expected 'random', 'imagenet', or"),
        ("resnet50", {}, "unknown encoder 'resnet50'; .*keras:CLASS"),
    ],
)
def test_missing_models_and_weights_are_refused_by_name(file, tmp_path, name, settings, message):
    lambda_net(tmp_path / "lambda.keras")
    (tmp_path / "text.keras").write_text("no archive")
    files = {"FILE": file[0], "LAMBDA": tmp_path / "lambda.keras"}
    files["TEXT.keras"] = tmp_path / "text.keras"
    with pytest.raises(ValueError, match=message) as error:
        encoders.get(str(files.get(name, name)), image_shape=SHAPE, **settings)
    assert "\n" not in str(error.value)


def test_imagenet_weights_without_a_network_say_where_to_get_and_put_them(monkeypatch, tmp_path):
    def fails(*arguments, **more):
        raise Exception(f"URL fetch failure on {URL}: None -- [Errno -2] Name not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG16", lambda include_top, **more: fails())
    with pytest.raises(ValueError, match="cannot be downloaded") as error:
        encoders.get("keras:VGG16", image_shape=(32, 32, 3), weights="imagenet")
    for part in (URL, "[Errno -2] Name not known", f"put it into {tmp_path}/models"):
        assert part in str(error.value)


def test_keras_hub_that_is_not_installed_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="pip install keras-hub"):
        encoders.get("keras_hub:resnet_18_imagenet", image_shape=SHAPE)


def applications():
    return {
        name: build_application
        for name, build_application in vars(keras.applications).items()
        if isinstance(build_application, type(applications)) and name != "ConvNeXtBase"
    }


def test_the_scaling_of_each_class_is_its_preprocess_input():
    """Where that does nothing, the slow test below looks at the layers that are put in."""
    assert len(applications()) > 30
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 3, 3, 3)).astype(np.float32)
    compared = set()
    for name, build_application in applications().items():
        scaling = backbones.default_scaling(f"keras:{name}", None)
        wanted = importlib.import_module(build_application.__module__).preprocess_input(
            pixels.copy()
        )
        if np.array_equal(wanted, pixels):
            continue
        net = encoders.BackboneEncoder(small_backbone.net(), input_scaling=scaling)
        np.testing.assert_allclose(net._scaled(pixels, 1.0, 0.0), wanted, atol=2e-4)
        compared.add(name)
    assert {"ResNet50", "ResNet50V2", "VGG16", "DenseNet121", "MobileNetV2", "Xception"} < compared


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "EfficientNetV2B0", "EfficientNetV2S", "ConvNeXtTiny"]
)
def test_the_scaling_is_what_the_layers_do_that_are_left_out(name):
    build_application = getattr(keras.applications, name)
    arguments = {"include_top": False, "weights": None, "input_shape": (64, 64, 3)}
    whole = build_application(**arguments)
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    x = pixels
    for layer in whole.layers[1:4]:
        inner = layer.layers if isinstance(layer, keras.Sequential) else [layer]
        kinds = keras.layers.Rescaling | keras.layers.Normalization
        if all(isinstance(one, kinds | keras.layers.InputLayer) for one in inner):
            x = layer(x)
    assert not np.array_equal(x, pixels)
    scaling = backbones.default_scaling(f"keras:{name}", None)
    net = encoders.BackboneEncoder(small_backbone.net(), input_scaling=scaling)
    np.testing.assert_allclose(net._scaled(pixels, 1.0, 0.0), x, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "ConvNeXtTiny", "InceptionV3"])
def test_a_class_rebuilt_from_its_config_is_the_same(name):
    shape = (96, 96, 3)
    encoder = encoders.get(f"keras:{name}", image_shape=shape, latent_dim=8)
    encoder.build()
    config = json.loads(json.dumps(encoder.get_config()))
    backbone = backbone_config.deserialize(config["backbone"])
    again = encoders.BackboneEncoder(**{**config, "backbone": backbone})
    again.build()
    again.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
    for endpoint, features in encoder(images).items():
        np.testing.assert_allclose(again(images)[endpoint], features, atol=1e-5)


@pytest.mark.slow
def test_a_preset_of_keras_hub_in_a_folder(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    vit = keras_hub.models.ViTBackbone((32, 32, 3), 4, 2, 2, 16, 32)
    vit.save_to_preset(str(tmp_path))
    converter = keras_hub.layers.ViTImageConverter(scale=1 / 127.5, offset=-1.0)
    converter.save_to_preset(str(tmp_path))
    encoder = encoders.get(f"keras_hub:{tmp_path}", image_shape=(32, 32, 3), latent_dim=4)
    assert same(encoder.backbone.get_weights(), vit.get_weights())
    pixels = np.float32([[[[0.0, 127.5, 255.0]]]])
    np.testing.assert_allclose(np.ravel(encoder._scaled(pixels, 1.0, 0.0)), [-1, 0, 1], atol=1e-5)
    assert encoder.endpoint_shapes()["local"] == (None, 8, 8, 16)
    with pytest.raises(ValueError, match="no preset 'no_such_thing'"):
        encoders.get("keras_hub:no_such_thing", image_shape=SHAPE, input_scaling="0..1")


@pytest.mark.slow
def test_its_example():
    assert doctest.testmod(backbones).failed == 0

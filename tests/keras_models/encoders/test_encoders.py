"""What all encoders must do: the families on small sizes, the presets' layers and counts."""

import json
import math
from pathlib import Path

import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import encoders
from keras_models.distribute.randomness import StepRandom

SMALL = {
    "convnet": {
        "name": "basic28x28",
        "image_shape": (8, 8, 1),
        "convolutions": ((4, 4, 2, 1), (8, 4, 2, 1)),
        "dense_units": (16,),
        "local_layer": 0,
        "latent_dim": 5,
    },
    "alexnet": {
        "name": "alex64x64",
        "image_shape": (15, 15, 2),
        "convolutions": ((4, 3, 1, 1, True), (5, 3, 1, 1), (4, 3, 1, 1, True)),
        "dense_units": (8, 7),
        "local_layer": 1,
        "latent_dim": 3,
    },
    "foldalex": {
        "name": "foldalex64x64",
        "image_shape": (20, 20, 2),
        "crops": (8, 4),
        "convolutions": ((4, 3, 1, 1, True), (3, 3, 1, 1, True)),
        "top_convolutions": ((6, 3, 1, 0),),
        "dense_units": (9,),
        "latent_dim": 3,
        "kernel_stddev": None,
    },
    "foldmultialex": {
        "name": "foldmultialex64x64",
        "image_shape": (20, 20, 2),
        "crops": (8, 4),
        "convolutions": ((4, 3, 1, 1, True), (3, 3, 1, 1, True)),
        "top_convolutions": ((6, 3, 1, 0), (5, 1, 1, 0)),
    },
    "crops": {
        "name": "crops32x32",
        "image_shape": (16, 12, 2),
        "crops": (8, 4),
        "convolutions": ((4, 3, 1, 1), (3, 4, 2, 1)),
        "crop_dim": 5,
    },
    "resnet": {
        "name": "resnet19_32x32",
        "image_shape": (12, 12, 2),
        "groups": ((2, 1, 2), (3, 2, 1)),
        "stem_filters": 4,
        "dense_units": (7,),
        "latent_dim": 3,
    },
    "foldresnet": {
        "name": "foldresnet34_32x32",
        "image_shape": (16, 16, 2),
        "groups": ((2, 1, 1), (3, 2, 1), (2, 2, 1)),
        "stem_filters": 4,
        "dense_units": (7,),
        "latent_dim": 3,
    },
    "residual": {
        "name": "residual64x64",
        "image_shape": (16, 16, 2),
        "first_filters": 4,
        "blocks": ((5, 4, 2), (6, 2, 2), (4, 3, 1)),
        "local_layer": 2,
        "conv_layer": 4,
        "latent_dim": 3,
    },
}
ENDPOINTS = {
    "convnet": {"local": (4, 4, 4), "conv": (2, 2, 8), "fc": (16,), "global": (5,)},
    "alexnet": {"local": (7, 7, 5), "conv": (3, 3, 4), "fc": (7,), "global": (3,)},
    "foldalex": {"local": (4, 4, 3), "conv": (4, 4, 3), "fc": (9,), "global": (3,)},
    "foldmultialex": {"local": (4, 4, 3), "conv": (4, 4, 3), "global": (2, 2, 5)},
    "crops": {"local": (3, 2, 48), "conv": (3, 2, 48), "global": (3, 2, 5)},
    "resnet": {"local": (3, 3, 12), "conv": (3, 3, 12), "fc": (7,), "global": (3,)},
    "foldresnet": {"local": (3, 3, 8), "conv": (3, 3, 8), "fc": (7,), "global": (3,)},
    "residual": {"local": (6, 6, 5), "conv": (3, 3, 6), "global": (3,)},
}
ARCHITECTURES = json.loads((Path(__file__).parent / "architectures.json").read_text())


def make(family, **more):
    arguments = {**SMALL[family], **more}
    encoder = encoders.get(arguments.pop("name"), **arguments)
    encoder.build()
    return encoder


def images_for(encoder, n=6):
    return tf.random.stateless_uniform([n, *encoder.image_shape], [0, 0], -1, 1)


def encode(encoder, images):
    return encoder(images, training=True, random=StepRandom(0, 3))


# Between them, every kind of stage.
COMPILED = {"convnet", "foldalex", "foldresnet", "residual"}


@pytest.mark.parametrize(
    ("family", "xla"),
    [
        *((family, family in COMPILED) for family in SMALL),
        *(pytest.param(one, True, marks=pytest.mark.slow) for one in SMALL if one not in COMPILED),
    ],
)
def test_every_family_passes_the_harness(family, xla):
    images = images_for(make(family))
    harness.check(lambda: make(family), encode, images, bfloat16=None, xla=xla)


@pytest.mark.parametrize("family", SMALL)
def test_endpoints(family):
    """Both calls of the same images, in training and in inference."""
    encoder = make(family)
    assert encoder.global_dim == ENDPOINTS[family]["global"][-1]
    for training in (False, True):
        result = encoder(images_for(encoder), training=training)
        assert {key: tuple(x.shape[1:]) for key, x in result.items()} == ENDPOINTS[family]
        assert all(x.shape[0] == 6 for x in result.values())


@pytest.mark.parametrize("family", SMALL)
def test_bfloat16_is_close_to_float32_in_inference(family):
    """In training, batch norm of few examples enlarges errors."""
    keras.utils.set_random_seed(0)
    full = harness.with_random_weights(make(family))
    half = harness.in_bfloat16(lambda: make(family))
    half.set_weights(full.get_weights())
    images = images_for(full)
    for name, x in full(images).items():
        other = half(images)[name]
        assert other.dtype == tf.bfloat16
        error = np.abs(x - tf.cast(other, tf.float32)).max() / np.abs(x).max()
        assert error < 0.05, name


@pytest.mark.parametrize("family", SMALL)
def test_the_gradient_reaches_every_variable(family):
    encoder = make(family)
    with tf.GradientTape() as tape:
        result = encode(encoder, images_for(encoder, 16))
        loss = sum(tf.reduce_sum(tf.sin(7 * x)) for x in result.values())
    gradients = tape.gradient(loss, encoder.trainable_variables)
    for variable, gradient in zip(encoder.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("family", SMALL)
def test_wrong_image_shape_raises(family):
    encoder = make(family)
    height, width, channels = encoder.image_shape
    for shape in ((2, height, width, channels + 1), (2, height + 1, width, channels)):
        with pytest.raises(ValueError, match=rf"\({height}, {width}, {channels}\)"):
            encoder(tf.zeros(shape))


@pytest.mark.parametrize("family", SMALL)
def test_inference_is_of_each_image_alone(family):
    encoder = harness.with_random_weights(make(family))
    images = images_for(encoder)
    whole, part = encoder(images), encoder(images[2:4])
    for name in whole:
        np.testing.assert_allclose(part[name], whole[name][2:4], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["convnet", "residual"])
def test_saved_and_loaded_encoder_is_the_same(family, tmp_path):
    encoder = make(family)
    images = images_for(encoder)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(images)["global"], encoder(images)["global"])


def test_synchronized_reaches_every_batch_norm():
    for family in SMALL.keys() - {"crops"}:  # it has none
        for synchronized in (False, True):
            encoder = make(family, synchronized=synchronized)
            norms = [
                layer
                for layer in encoder._flatten_layers()
                if isinstance(layer, keras.layers.BatchNormalization)
            ]
            assert norms
            assert {norm.synchronized for norm in norms} == {synchronized}, family
            assert {(norm.epsilon, norm.momentum) for norm in norms} == {(1e-5, 0.9)}


class Recorder:
    """Replaces a StepRandom and records which noise is asked for."""

    def __init__(self):
        self.shapes = {}

    def uniform(self, purpose, examples, shape):
        assert purpose not in self.shapes, "two dropouts with the same noise"
        self.shapes[purpose] = shape
        return tf.fill([examples, *shape], 0.5)


def test_each_dropout_of_foldalex_has_noise_of_its_own():
    encoder = make("foldalex", dense_units=(9, 7))
    recorder = Recorder()
    encoder(images_for(encoder), training=True, random=recorder)
    # Of whole channels after the convolution on the folded map, of single numbers after dense.
    assert list(recorder.shapes.values()) == [(6,), (9,), (7,)]


def test_foldalex_starts_from_normal_kernels_and_drops_a_tenth():
    *_, top, hidden, _ = stages = encoders.get("foldalex64x64").stages
    assert (top.dropout, hidden.dropout) == (0.1, 0.1)
    for stage in stages:
        layer = getattr(stage, "conv", None) or (stage is hidden and stage.dense)
        if layer:
            assert isinstance(layer.kernel_initializer, keras.initializers.RandomNormal)
            assert layer.kernel_initializer.stddev == 0.02


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("foldmultialex", {"latent_dim": 64}, "give latent_dim=0"),
        ("foldmultialex", {"top_convolutions": ()}, "give latent_dim=0"),
        ("foldmultialex", {"dense_units": (8,)}, "leave dense_units out"),
        ("crops", {"top_convolutions": ((6, 3, 1, 0),)}, "crop_dim is 5"),
        ("foldmultialex", {"image_shape": (22, 20, 2)}, "do not cover images of 22x20"),
        ("foldresnet", {"image_shape": (6, 6, 2)}, "do not cover images of 6x6"),
        ("resnet", {"local_group": 2}, "there are 2 groups"),
        ("residual", {"conv_layer": 6}, "conv_layer 6"),
    ],
)
def test_arguments_that_do_not_fit_each_other_raise(family, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(family, **arguments)


BROKEN = "foldresnet34_32x32"  # in the authors' code
COMPARED = {
    name: "foldmultialex64x64__out0" if name == "foldmultialex64x64" else name
    for name, preset in encoders.PRESETS.items()
    if not preset.source.startswith("ours") and name != BROKEN
}


@pytest.mark.parametrize("name", COMPARED)
def test_every_layer_has_the_authors_parameters_and_shape(name):
    expected = ARCHITECTURES[COMPARED[name]]
    encoder = encoders.get(name)
    encoder.build()
    rows = [row for row in expected["layers"] if row["layer"] != "View"]
    assert len(encoder.stages) == len(rows)
    x = keras.KerasTensor((2, *encoder.image_shape))
    for stage, row in zip(encoder.stages, rows, strict=True):
        parameters = sum(math.prod(v.shape) for v in stage.trainable_variables)
        assert parameters == row["params"], (stage.name, row)
        x = stage(x)
        assert list(x.shape) == row["shape_nhwc_batch2"], (stage.name, row)
    total = sum(math.prod(v.shape) for v in encoder.trainable_variables)
    assert total == expected["total_params"] == encoders.PRESETS[name].parameters

    # Their counting of layers has the flattening ones, ours has not.
    def ours(index):
        layers = expected["layers"]
        index = index % len(layers)
        return index - sum(row["layer"] == "View" for row in layers[: index + 1])

    local, global_ = expected["local_and_global_layer"]
    assert encoder.endpoints["local"] == ours(local)
    assert encoder.endpoints["global"] == ours(global_)
    for theirs, mine in (("conv", "conv"), ("fc", "fc"), ("glob", "global")):
        if theirs in expected["probe_layers"]:
            assert encoder.endpoints[mine] == ours(expected["probe_layers"][theirs])
        else:
            assert mine not in encoder.endpoints


def test_foldresnet34_has_its_strides_and_returns_each_image_once():
    """The authors' drops its stride-2 blocks and returns 16 times the batch."""
    encoder = encoders.get("foldresnet34_32x32")
    encoder.build()
    result = encoder(keras.KerasTensor((3, 32, 32, 3)))
    shapes = {name: tuple(x.shape) for name, x in result.items()}
    assert shapes["local"] == shapes["conv"] == (3, 7, 7, 1024)
    assert shapes["fc"] == (3, 1024)
    assert shapes["global"] == (3, 64)
    total = sum(math.prod(v.shape) for v in encoder.trainable_variables)
    assert total == encoders.PRESETS["foldresnet34_32x32"].parameters
    # That of the whole images' resnet34, but for the larger map that the dense layer sees.
    whole = encoders.PRESETS["resnet34_32x32"].parameters
    assert total == whole + (7 * 7 * 1024 - 4 * 4 * 1024) * 1024


@pytest.mark.parametrize(
    ("size", "local", "conv"),
    [
        ((96, 96), (12, 12, 256), (6, 6, 512)),
        ((128, 128), (8, 8, 512), (4, 4, 512)),
        ((218, 178), (13, 11, 512), (6, 5, 512)),
        ((16, 40), (8, 20, 64), (4, 10, 128)),
    ],
)
def test_basic_fits_any_size(size, local, conv):
    encoder = encoders.get("basic", image_shape=(*size, 3), dense_units=(8,))
    result = encoder(tf.zeros([2, *size, 3]))
    assert result["local"].shape == (2, *local)
    assert result["conv"].shape == (2, *conv)
    assert result["global"].shape == (2, 64)


@pytest.mark.parametrize("size", [32, 64])
def test_basic_carries_on_the_presets(size):
    known = encoders.PRESETS[f"basic{size}x{size}"].arguments
    assert encoders.for_any_size((size, size, 3)) == known


def test_basic_needs_a_shape_of_some_size():
    with pytest.raises(ValueError, match="needs image_shape"):
        encoders.get("basic")
    with pytest.raises(ValueError, match="15x40 pixels are too small; give at least 16"):
        encoders.get("basic", image_shape=(15, 40, 3))


def test_for_image_size():
    names = [encoders.for_image_size(n, n) for n in (28, 32, 64, 16, 96)]
    assert names == ["basic28x28", "basic32x32", "basic64x64", "basic", "basic"]
    assert encoders.for_image_size(32, 64) == encoders.for_image_size(64, 32) == "basic"
    with pytest.raises(ValueError, match="at least 16"):
        encoders.for_image_size(15, 40)


def test_get_overrides_the_preset():
    encoder = encoders.get("basic32x32", latent_dim=5, name="mine")
    assert (encoder.latent_dim, encoder.name) == (5, "mine")
    assert encoders.get("basic32x32").name == "basic32x32"


def test_unknown_name_raises():
    with pytest.raises(ValueError, match="basic32x32"):
        encoders.get("basic33x33")


@pytest.mark.parametrize("name", ["crops32x32", "crops64x64"])
def test_a_crop_has_a_global_that_sees_nothing_else(name):
    encoder = encoders.get(name)
    encoder.build()
    count = sum(math.prod(v.shape) for v in encoder.trainable_variables)
    assert count == encoders.PRESETS[name].parameters
    size, stride = encoder.crops
    images = images_for(encoder, 2).numpy()
    before = encoder(images, training=True)["global"]
    images[:, stride : stride + size, :size] *= -1
    changed = np.any(encoder(images, training=True)["global"] != before, axis=(0, 3))
    expected = np.zeros((7, 7), bool)
    expected[:3, :2] = True  # the crop at (1, 0), and those that overlap it
    np.testing.assert_array_equal(changed, expected)


def test_which_have_several_globals():
    several = [name for name, preset in encoders.PRESETS.items() if preset.several_globals]
    assert several == ["foldmultialex64x64", "crops32x32", "crops64x64"]

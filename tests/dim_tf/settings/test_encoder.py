"""Settings of an encoder that is a Keras model: which there are, and whose they are."""

import pytest

from dim_tf import registry
from dim_tf.experiment import Experiment
from dim_tf.settings.encoder import BACKBONE_FLAGS, is_backbone, scaling
from dim_tf.system.errors import InputError
from keras_models import encoders
from keras_models.encoders import backbone, backbones, input_scaling


def test_names_are_those_of_keras_models():
    assert tuple(encoders.PRESETS) == registry.ENCODERS
    assert tuple(input_scaling.INPUT_SCALINGS) == registry.INPUT_SCALINGS
    assert backbone.HEADS == registry.ENCODER_HEADS
    assert backbone.BATCH_NORM == registry.BATCH_NORM
    for name in ("keras:VGG16", "keras_hub:a", "a.keras", "basic", "keras", ""):
        assert is_backbone(name) is backbones.is_backbone(name)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("auto", None),
        ("torch", "torch"),
        ("127,128", ([127.0], [128.0])),
        ("1,2,3,4,5,6", ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])),
        ("-1e1, 2", ([-10.0], [2.0])),
    ],
)
def test_a_scaling_is_a_name_or_numbers(text, meaning):
    assert scaling(text) == meaning


@pytest.mark.parametrize(
    "text", ["", "bgr", "1", "1,2,3", "1,0", "1,nan", "1,2,3,4", "1;2", "1e39,1"]
)
def test_another_scaling_is_refused(text):
    with pytest.raises(InputError, match=r"--input_scaling='.*'; expected auto, -1..1, .*OFFSET"):
        Experiment.of(name="a", encoder="keras:VGG16", input_scaling=text)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"encoder": "resnet50"}, "--encoder='resnet50'; expected one of basic28x28.*keras:CLASS"),
        ({"encoder": "keras:"}, "--encoder=keras: names no model"),
        ({"encoder": "a" * 300 + ".keras"}, r"--encoder='a.*' has a name of more than 255 bytes"),
        (
            {"encoder": "keras:VGG16", "encoder_weights": "a" * 300 + ".h5"},
            "--encoder_weights='a.*' has a name of more than 255 bytes",
        ),
        ({"encoder": "a.keras", "encoder_weights": "imagenet"}, "a.keras has weights of its own"),
        ({"encoder": "keras:VGG16", "encoder_weights": "best"}, "--encoder_weights='best'; expec"),
        (
            {"encoder": "keras:VGG16", "frozen_steps": 3, "steps_per_execution": 2, "log_every": 2},
            "--frozen_steps=3 is not a multiple of --steps_per_execution=2",
        ),
        ({"encoder": "keras:VGG16", "model": "generator"}, "generator has no encoder; leave --en"),
        ({"init_from": "runs/a", "model": "generator"}, "no encoder; leave --init_from out"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(settings, says):
    with pytest.raises(InputError, match=says):
        Experiment.of(name="a", **settings)


@pytest.mark.parametrize("encoder", ["", "basic32x32"])
def test_settings_of_backbones_are_refused_for_presets(encoder):
    another = {
        "encoder_weights": "random",
        "local_layer": "a",
        "conv_layer": "a",
        "encoder_head": "mlp",
        "input_scaling": "torch",
        "backbone_batch_norm": "frozen",
        "frozen_steps": 2,
        "backbone_learning_rate_scale": 0.5,
    }
    assert set(another) == set(BACKBONE_FLAGS)
    for name, value in another.items():
        with pytest.raises(InputError, match=f"--{name} is for --encoder=keras:CLASS"):
            Experiment.of(name="a", encoder=encoder, **{name: value})
        Experiment.of(name="a", encoder="keras:VGG16", **{name: value})


def test_a_file_is_the_same_encoder_wherever_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    one = Experiment.of(name="a", encoder="~/net.keras", encoder_weights="w.weights.h5")
    assert one.encoder.name == "/home/me/net.keras"
    other = one.replace(encoder="b/c.keras", encoder_weights="d/e.weights.h5")
    assert not one.differences(other)
    assert Experiment.of(**one.hyperparameters, name="a").hyperparameters == one.hyperparameters
    assert one.differences(one.replace(encoder="keras:VGG16"))
    assert one.differences(one.replace(encoder_weights="random"))

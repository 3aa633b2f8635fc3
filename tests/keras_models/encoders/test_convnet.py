import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import encoders
from keras_models.encoders import ConvNet

TINY = {
    "image_shape": (8, 8, 1),
    "convolutions": ((4, 4, 2, 1), (8, 4, 2, 1)),
    "dense_units": (16,),
    "local_layer": 0,
    "latent_dim": 5,
}


@pytest.fixture
def images():
    return tf.random.stateless_uniform([6, 8, 8, 1], [0, 0], -1, 1)


@pytest.mark.parametrize(
    ("name", "parameters", "shapes"),
    [
        (
            "basic28x28",
            6_696_960,
            {"local": (2, 7, 7, 128), "conv": (2, 7, 7, 128), "fc": (2, 1024), "global": (2, 64)},
        ),
        (
            "basic32x32",
            4_921_280,
            {"local": (2, 8, 8, 128), "conv": (2, 4, 4, 256), "fc": (2, 1024), "global": (2, 64)},
        ),
        (
            "basic64x64",
            11_213_760,
            {"local": (2, 8, 8, 256), "conv": (2, 4, 4, 512), "fc": (2, 1024), "global": (2, 64)},
        ),
    ],
)
def test_preset(name, parameters, shapes):
    encoder = encoders.get(name)
    endpoints = encoder(tf.zeros([2, *encoder.image_shape]))
    assert {key: tuple(x.shape) for key, x in endpoints.items()} == shapes
    assert sum(v.numpy().size for v in encoder.trainable_variables) == parameters
    assert encoders.PRESETS[name].parameters == parameters


def test_equals_its_layers_in_training_and_inference(images):
    encoder = ConvNet(**TINY)
    encoder.build()
    rng = np.random.default_rng(0)
    encoder.set_weights([w + rng.uniform(0, 0.5, w.shape) for w in encoder.get_weights()])

    def forward(training):
        """The endpoints, batch norm written out."""

        def norm_relu(x, norm):
            mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
            if training:
                axes = tuple(range(x.ndim - 1))
                mean, variance = x.mean(axes), x.var(axes)
            x = (x - mean) / np.sqrt(variance + 1e-5) * norm.gamma.numpy() + norm.beta.numpy()
            return np.maximum(x, 0)

        first = norm_relu(encoder.convs[0](images).numpy(), encoder.conv_norms[0])
        conv = norm_relu(encoder.convs[1](first).numpy(), encoder.conv_norms[1])
        hidden = conv.reshape(6, -1) @ encoder.hidden[0].kernel.numpy()
        fc = norm_relu(hidden, encoder.hidden_norms[0])
        latent = fc @ encoder.to_global.kernel.numpy() + encoder.to_global.bias.numpy()
        return {"local": first, "conv": conv, "fc": fc, "global": latent}

    for training in (False, True):
        expected = forward(training)
        endpoints = encoder(images, training=training)
        for name in expected:
            np.testing.assert_allclose(endpoints[name], expected[name], atol=1e-4, err_msg=name)


def test_only_the_global_layer_has_a_bias():
    encoder = ConvNet(**TINY)
    encoder.build()
    for layer in (*encoder.convs, *encoder.hidden):
        assert layer.bias is None
    assert encoder.to_global.bias is not None


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 16, 16, 1), (2, 8, 1)])
def test_wrong_image_shape_raises(shape):
    encoder = ConvNet(**TINY)
    encoder.build()
    with pytest.raises(ValueError, match=r"\(8, 8, 1\)"):
        encoder(tf.zeros(shape))


@pytest.mark.parametrize("local_layer", [-1, 2])
def test_local_layer_that_is_no_convolution_raises(local_layer):
    with pytest.raises(ValueError, match="local_layer"):
        ConvNet(**{**TINY, "local_layer": local_layer})


@pytest.mark.parametrize("through", ["from_config", "keras_saving"])
def test_config_round_trip(images, through):
    encoder = ConvNet(**TINY, name="tiny", synchronized=True)
    expected = encoder(images)
    if through == "from_config":
        again = ConvNet.from_config(encoder.get_config())
        again.build()
    else:
        config = keras.saving.serialize_keras_object(encoder)
        again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == encoder.get_config()
    again.set_weights(encoder.get_weights())
    for name, x in again(images).items():
        np.testing.assert_array_equal(x, expected[name])


def test_saved_and_loaded_encoder_is_the_same(images, tmp_path):
    encoder = ConvNet(**TINY)
    expected = encoder(images)["global"]
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(images)["global"], expected)


def test_graph_and_xla_equal_eager(images):
    encoder = ConvNet(**TINY)
    expected = encoder(images)["global"]
    for jit in (False, True):
        compiled = tf.function(lambda x: encoder(x)["global"], jit_compile=jit)
        np.testing.assert_allclose(compiled(images), expected, atol=1e-5)


def test_bfloat16_is_close_to_float32(images):
    full = ConvNet(**TINY)
    expected = full(images, training=True)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        half = ConvNet(**TINY)
        half.build()
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    half.set_weights(full.get_weights())
    for name, x in half(images, training=True).items():
        assert x.dtype == tf.bfloat16
        # bfloat16 has 8 significant bits, and batch norm of 6 examples enlarges errors.
        np.testing.assert_allclose(tf.cast(x, tf.float32), expected[name], atol=0.1)


def test_get_overrides_the_preset():
    encoder = encoders.get("basic32x32", latent_dim=5, name="mine")
    assert (encoder.latent_dim, encoder.name) == (5, "mine")
    assert encoders.get("basic32x32").name == "basic32x32"


def test_unknown_name_raises():
    with pytest.raises(ValueError, match="basic32x32"):
        encoders.get("basic33x33")


def test_for_image_size():
    assert [encoders.for_image_size(n) for n in (28, 32, 64)] == [
        "basic28x28",
        "basic32x32",
        "basic64x64",
    ]
    with pytest.raises(ValueError, match="28, 32, 64"):
        encoders.for_image_size(48)

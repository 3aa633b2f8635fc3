"""Any Keras model as an encoder: endpoints, scaling, batch norm, tokens; what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from backbone_nets import SHAPE, of_any_size, of_dtype, residual_net

from keras_models import DeepInfoMax, terms
from keras_models.encoders import BackboneEncoder, feature_maps

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)


def tokens_net(extra, shape=SHAPE):
    """Tokens of an 8x8 grid, as a vision transformer has them, some others before them."""
    images = keras.Input(shape)
    patches = keras.layers.Conv2D(5, 2, 2, name="patches")(images)
    x = keras.layers.Reshape((64, 5), name="tokens")(patches)
    if extra:
        first = keras.layers.Lambda(lambda t: 0 * t[:, :extra], output_shape=(extra, 5))(x)
        x = keras.layers.Concatenate(axis=1, name="with_extra")([first, x])
    return keras.Model(images, keras.layers.LayerNormalization(name="end")(x), name="tokens_net")


def built(*arguments, **settings):
    keras.utils.set_random_seed(0)
    encoder = BackboneEncoder(*arguments, **settings)
    encoder.build()
    return encoder


def test_endpoints_are_the_layers_outputs_and_a_head_on_their_mean():
    net = residual_net()
    encoder = built(net, latent_dim=7, local_layer="stem", conv_layer="last")
    endpoints = encoder(IMAGES)
    wanted = keras.Model(net.inputs, [net.get_layer("stem").output, net.output])(IMAGES)
    np.testing.assert_allclose(endpoints["local"], wanted[0], atol=1e-6)
    np.testing.assert_allclose(endpoints["conv"], wanted[1], atol=1e-6)
    pooled = wanted[1].numpy().mean((1, 2))
    np.testing.assert_allclose(endpoints["fc"], pooled, atol=1e-6)
    kernel, bias = encoder.projection.get_weights()
    np.testing.assert_allclose(endpoints["global"], pooled @ kernel + bias, atol=1e-5)
    assert encoder.endpoint_shapes() == {
        "local": (None, 8, 8, 6),
        "conv": (None, 4, 4, 8),
        "fc": (None, 8),
        "global": (None, 7),
    }


def test_auto_takes_the_last_map_of_the_size_that_is_not_inside_of_a_block():
    """8x8 have stem, norm, branch, sum and inner; all that follows depends on the sum."""
    encoder = built(residual_net())
    assert encoder.local_layer == "sum"
    assert encoder.conv_layer == "last"


def test_images_too_small_for_a_local_map_are_refused():
    with pytest.raises(ValueError, match=r"at least 7x7 .* 8x8 pixels: there are 2x2, 4x4"):
        BackboneEncoder(residual_net((8, 8, 3)))


@pytest.mark.parametrize("extra", [0, 1, 5, 8])
def test_tokens_are_folded_into_their_grid(extra):
    """Without a class token, registers or both, which are before them."""
    net = tokens_net(extra)
    encoder = built(net, local_layer="end")
    local = encoder(IMAGES)["local"]
    assert local.shape == (4, 8, 8, 5)
    tokens = net(IMAGES).numpy()[:, extra:]
    np.testing.assert_allclose(local[:, 2, 3], tokens[:, 2 * 8 + 3], atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "side"), [(1, None), (3, None), (5, 2), (7, None), (41, 6), (73, None), (197, 14)]
)
def test_more_tokens_than_rows_before_a_grid_are_none(tokens, side):
    assert feature_maps._grid((None, tokens, 3)) == (side and (side, side, 3))


def sequential():
    """Its layers added one by one, which Keras calls again each time."""
    net = keras.Sequential([keras.Input(SHAPE)], name="stack")
    for number in (1, 2):
        net.add(keras.layers.Conv2D(4, 3, 2, "same", name=f"conv{number}"))
        net.add(keras.layers.BatchNormalization(name=f"norm{number}"))
    return net


def test_a_sequential_is_a_backbone():
    net = sequential()
    encoder = built(net, latent_dim=5)
    assert encoder.endpoint_layers == {"local": ("norm1", (8, 8, 4)), "conv": ("norm2", (4, 4, 4))}
    np.testing.assert_allclose(encoder(IMAGES)["conv"], net(IMAGES), atol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(encoder))
    again.set_weights(encoder.get_weights())
    assert again.get_config() == encoder.get_config()
    np.testing.assert_array_equal(again(IMAGES)["global"], encoder(IMAGES)["global"])


def shared_net():
    """A 4x4 map that one layer makes of another twice; that layer was called elsewhere before."""
    stem = keras.layers.Conv2D(6, 3, 2, "same", name="stem")
    shared = keras.layers.Conv2D(6, 3, 1, "same", name="shared")
    shared(stem(keras.Input(SHAPE)))
    images = keras.Input(SHAPE)
    x = shared(shared(stem(images)))
    return keras.Model(images, keras.layers.Conv2D(6, 3, 2, name="end")(x), name="net")


def test_a_layer_that_is_called_twice_is_computed_twice_and_cannot_be_named():
    net = shared_net()
    encoder = built(net)
    assert encoder.endpoint_layers == {"local": ("stem", (8, 8, 6)), "conv": ("end", (3, 3, 6))}
    np.testing.assert_allclose(encoder(IMAGES)["conv"], net(IMAGES), atol=1e-6)
    with pytest.raises(ValueError, match="'shared' of net is called 2 times"):
        BackboneEncoder(net, conv_layer="shared")


def nested_net(layers_before=True):
    """A classifier on another model, as transfer learning has it."""
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(3, 3, 1, "same", name="first")(images) if layers_before else images
    inner = residual_net()
    inner.get_layer("down").trainable = False
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    return keras.Model(images, keras.layers.Dense(2)(x), name="outer")


def test_a_model_in_a_model_is_one_layer():
    outer = nested_net()
    encoder = built(outer)
    assert encoder.endpoint_layers == {"local": ("first", (16, 16, 3)), "conv": ("net", (4, 4, 8))}
    wanted = keras.Model(outer.inputs, outer.layers[-2].input)(IMAGES)
    np.testing.assert_allclose(encoder(IMAGES)["conv"], wanted, atol=1e-6)
    encoder.freeze_above("conv")
    assert not outer.get_layer("net").get_layer("down").trainable
    assert outer.get_layer("net").get_layer("stem").trainable


@pytest.mark.parametrize("layer", ["auto", "stem"])
def test_layers_of_a_model_in_a_model_are_in_a_file_of_its_own(layer):
    with pytest.raises(ValueError, match=r"model.get_layer\('net'\).save\('net.keras'\)"):
        BackboneEncoder(nested_net(layers_before=False), local_layer=layer)


def mean(x):
    return keras.ops.mean(x, axis=(1, 2), keepdims=True)


def narrow_net(image_size, pooling):
    """Maps of an eighth, a quarter and one location for images of 16 pixels; a classifier."""
    images = keras.Input((image_size, image_size, 3))
    x = keras.layers.Conv2D(4, 3, 2, "same", name="stem")(images)
    x = keras.layers.Conv2D(4, 3, 4, "same", name="middle")(x)
    y = keras.layers.Conv2D(4, 2, 2, use_bias=False, name="last")(x)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = keras.layers.Conv2D(4, 1, use_bias=False, name="gate")(gate)
    y = keras.layers.Multiply()([y, gate])
    y = keras.layers.Conv2D(50, 1)(pooling(y))
    return keras.Model(images, keras.layers.Dense(50)(keras.layers.Flatten()(y)), name="narrow")


@pytest.mark.parametrize("pooling", [keras.layers.GlobalAveragePooling2D(keepdims=True), mean])
@pytest.mark.parametrize(("image_size", "weights"), [(16, 2 * 2 * 4 * 4 + 4 * 4), (32, 0)])
def test_unused_weights_are_counted_except_a_classifiers(image_size, weights, pooling):
    assert BackboneEncoder(narrow_net(image_size, pooling)).unused_weights == weights


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_a_backbone_with_integer_inputs_gets_rounded_pixels(dtype):
    net = of_dtype(dtype)
    with pytest.raises(ValueError, match=rf"whole takes whole numbers \({dtype}\).*0..255"):
        BackboneEncoder(net)
    encoder = built(net, input_scaling="0..255")
    pixels = np.arange(16 * 16 * 3).reshape(1, *SHAPE) % 256
    images = np.float32((pixels + np.where(pixels % 2, -0.4, 0.4)) / 127.5 - 1)
    scaled = encoder._scaled(images, 127.5, 127.5)
    assert scaled.dtype == dtype
    np.testing.assert_array_equal(scaled, pixels)
    np.testing.assert_allclose(encoder(images)["conv"], net(pixels.astype(dtype)), rtol=1e-5)


def test_a_frozen_backbone_computes_as_in_inference():
    images = keras.Input(SHAPE)
    x = keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3, 2), name="normed")(images)
    encoder = built(keras.Model(images, keras.layers.Dropout(0.5)(x)))
    encoder.set_backbone_trainable(False)
    before = encoder.backbone.get_weights()
    trained, inferred = (encoder(IMAGES, training=training)["conv"] for training in (True, False))
    np.testing.assert_array_equal(trained, inferred)
    for now, weight in zip(encoder.backbone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, weight)
    encoder.set_backbone_trainable(True)
    assert np.mean(encoder(IMAGES, training=True)["conv"] == 0) > 0.4


class Recorded:
    """A model that keeps the images that it is given."""

    def __init__(self, model):
        self._model = model
        self.images = []

    def __call__(self, images, training):
        self.images.append(images)
        return self._model(images, training=training)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("-1..1", [1.0, -1.0, 0.0]),
        ("0..1", [1.0, 0.0, 0.5]),
        ("0..255", [255.0, 0.0, 127.5]),
        ("caffe", [127.5 - 103.939, 0 - 116.779, 255 - 123.68]),
        ("torch", [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.5 - 0.406) / 0.225]),
        ((127, 128), [1.0, -127 / 128, 0.5 / 128]),
        (([0, 1, 2], [1, 2, 4]), [255.0, -0.5, 125.5 / 4]),
    ],
)
def test_a_backbone_gets_the_pixels_that_it_was_trained_on(scaling, expected):
    """Of one pixel with red 255, green 0, blue 127.5."""
    encoder = BackboneEncoder(residual_net(), input_scaling=scaling)
    backbone = Recorded(encoder._maps)
    encoder._maps = backbone
    encoder.build()
    pixel = np.float32([1.0, 0.0, 0.5])
    encoder(np.tile(pixel * 2 - 1, (1, *encoder.image_shape[:2], 1)))
    encoder.encode_unit_range(np.tile(pixel, (1, *encoder.image_shape[:2], 1)))
    assert len(backbone.images) == 2
    for images in backbone.images:
        np.testing.assert_allclose(np.ravel(images[0, 0, 0]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["torch", "caffe"])
def test_named_scalings_are_those_of_keras_applications(name):
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 3, 3, 3)).astype(np.float32)
    wanted = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=name)
    scaled = BackboneEncoder(residual_net(), input_scaling=name)._scaled(pixels, 1.0, 0.0)
    np.testing.assert_allclose(scaled, wanted, atol=2e-4)


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_it_trains_with_deep_infomax(head, batch_norm):
    encoder = built(residual_net(), latent_dim=5, head=head, batch_norm=batch_norm)
    model = DeepInfoMax(encoder, [terms.local_mutual_information("dot", "infonce", units=8)])
    model.compile(1e-2)
    model.build()
    before = {v.path: v.numpy() for v in encoder.variables}
    losses = [float(model.train_step(tf.constant(IMAGES))["loss"]) for _ in range(6)]
    assert losses[-1] < losses[0]
    still = {v.path for v in encoder.variables if np.array_equal(v.numpy(), before[v.path])}
    norm = {f"norm/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    unused = {"global/bias"}  # batch norm takes it off, in the critic and in the loss
    assert still - unused == (norm if batch_norm == "frozen" else set())


def test_weights_are_the_backbones_own():
    net = residual_net()
    before = net.get_weights()
    encoder = built(net)
    for weight, wanted in zip(encoder.backbone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("endpoint", ["local", "conv", "fc", "global"])
def test_freeze_above_leaves_what_the_endpoint_depends_on(endpoint):
    encoder = built(residual_net(), head="mlp", local_layer="sum")
    encoder.freeze_above(endpoint)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(encoder(IMAGES, training=True)[endpoint] ** 2)
    used = tape.gradient(value, [v.value for v in encoder.trainable_variables])
    assert all(gradient is not None for gradient in used)
    names = {v.path.split("/")[-2] for v in encoder.trainable_variables}
    layers_ = {"local": {"stem", "norm", "branch"}}
    layers_["conv"] = layers_["fc"] = layers_["local"] | {"down", "shortcut"}
    layers_["global"] = layers_["conv"] | {"hidden", "hidden_norm", "global"}
    assert names == layers_[endpoint]


def test_a_config_and_weights_are_all_of_it():
    encoder = built(residual_net(), latent_dim=5, head="mlp", input_scaling=(127, 128))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(encoder))
    again.set_weights(encoder.get_weights())
    assert again.get_config() == encoder.get_config()
    for name, x in encoder(IMAGES).items():
        np.testing.assert_array_equal(again(IMAGES)[name], x)


def test_synchronized_batch_norm_makes_two_replicas_one_device(two_replicas):
    """The gradients of such layers have tests of their own; steps of such encoders are slow."""
    one = built(residual_net(), 5, head="mlp", local_layer="sum")
    with two_replicas.scope():
        two = built(residual_net(), 5, head="mlp", local_layer="sum", synchronized=True)
    two.set_weights(one.get_weights())
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(tf.constant(IMAGES), 2)[context.replica_id_in_sync_group]
    )
    encoded = tf.function(
        lambda images: two_replicas.run(lambda x: two(x, training=True)["global"], [images])
    )(halves)
    features = np.concatenate(two_replicas.experimental_local_results(encoded))
    np.testing.assert_allclose(features, one(IMAGES, training=True)["global"], rtol=1e-4, atol=1e-5)
    for weight, expected in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


def test_a_name_that_tensorflow_refuses_is_the_models_own_alone():
    net = residual_net()
    encoder = built(keras.Model(net.inputs, net.outputs, name="a net: 1"))
    traced = tf.function(lambda images: encoder(images, training=True)["global"])
    assert traced(IMAGES).shape == (4, 64)


def test_a_backbone_of_any_size_takes_the_size_that_is_given():
    encoder = built(of_any_size(), image_shape=(20, 24, 3))
    assert encoder.endpoint_shapes()["local"] == (None, 9, 11, 4)

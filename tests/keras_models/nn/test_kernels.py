"""The kernel's gradient as one product, against TensorFlow's own gradient."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models.nn import kernels, layers
from keras_models.nn.decoders import Conv2DTranspose

RNG = np.random.default_rng(0)


def tensor(*shape):
    return tf.constant(RNG.normal(size=shape).astype(np.float32))


def plain(maps, kernel):
    return tf.nn.conv2d(maps, kernel, 2, "VALID")


def plain_transpose(maps, kernel):
    n, height, width = maps.shape[:3]
    return tf.nn.conv2d_transpose(
        maps, kernel, [n, 2 * height, 2 * width, kernel.shape[2]], 2, "SAME"
    )


# Of the function, TensorFlow's, and the maps: uneven numbers of everything, so that none fits
# where another belongs.
PAIRS = {
    "conv2d": (kernels.conv2d, plain, tensor(5, 10, 6, 3)),
    "conv2d, one place": (kernels.conv2d, plain, tensor(5, 4, 4, 3)),
    "conv2d_transpose": (kernels.conv2d_transpose, plain_transpose, tensor(5, 3, 4, 7)),
    "conv2d_transpose, one place": (
        kernels.conv2d_transpose,
        plain_transpose,
        tensor(5, 1, 1, 7),
    ),
}
KERNEL = tensor(4, 4, 3, 7)


def gradients(function, maps, kernel):
    """Outputs, and the gradients of their sum with weights."""
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        outputs = function(maps, kernel)
    weights = tf.reshape(tf.sin(tf.range(tf.size(outputs), dtype=tf.float32)), tf.shape(outputs))
    return [outputs, *tape.gradient(outputs, [maps, kernel], weights)]


@pytest.mark.parametrize(("ours", "tensorflows", "maps"), PAIRS.values(), ids=PAIRS)
def test_outputs_and_gradients_are_tensorflows(ours, tensorflows, maps):
    result, expected = gradients(ours, maps, KERNEL), gradients(tensorflows, maps, KERNEL)
    for a, b in zip(result, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("ours", "tensorflows", "maps"), PAIRS.values(), ids=PAIRS)
def test_gradients_of_gradients_are_tensorflows(ours, tensorflows, maps):
    """As of a gradient penalty."""

    def second(function):
        with tf.GradientTape() as tape:
            tape.watch([maps, KERNEL])
            _, of_maps, of_kernel = gradients(lambda x, k: tf.tanh(function(x, k)), maps, KERNEL)
            penalty = tf.reduce_sum(of_maps**2) + tf.reduce_sum(of_kernel**2)
        return tape.gradient(penalty, [maps, KERNEL])

    for a, b in zip(second(ours), second(tensorflows), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize(("ours", "tensorflows", "maps"), PAIRS.values(), ids=PAIRS)
def test_a_graph_of_a_batch_of_unknown_size(ours, tensorflows, maps, jit_compile):
    signature = [tf.TensorSpec([None, *maps.shape[1:]]), tf.TensorSpec(KERNEL.shape)]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def compiled(maps, kernel):
        result = gradients(ours, maps, kernel)
        assert result[1].shape.as_list() == [None, *maps.shape[1:]]
        return result

    for a, b in zip(compiled(maps, KERNEL), gradients(tensorflows, maps, KERNEL), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# In the layers.

BF16 = {"dtype": "mixed_bfloat16"}
LAYERS = {
    "conv2d": (lambda **kw: layers.Conv2D(8, 4, 2, 1, **kw), (3, 8, 12, 16)),
    "conv2d_transpose": (lambda **kw: Conv2DTranspose(16, **kw), (3, 4, 6, 8)),
}


@pytest.fixture
def used(monkeypatch):
    """Names of the functions that are called, and calls them."""
    names = []

    def watch(name):
        function = getattr(kernels, name)

        def watched(maps, kernel):
            names.append(name)
            return function(maps, kernel)

        monkeypatch.setattr(kernels, name, watched)

    for name in LAYERS:
        watch(name)
    return names


def of_layer(layer, maps):
    """Outputs, gradients, and those of the gradients' squares, as of a penalty."""
    with tf.GradientTape() as outer:
        outer.watch(maps)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = layer(maps)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
        first = tape.gradient(loss, [maps, *layer.trainable_variables])
        penalty = tf.add_n([tf.reduce_sum(gradient**2) for gradient in first])
    return [outputs, *first, *outer.gradient(penalty, [maps, *layer.trainable_variables])]


HOW = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_in_bfloat16_is_that_in_float32_up_to_rounding(name, how, used):
    make, shape = LAYERS[name]
    maps = tensor(*shape)
    settings = {"activation": "tanh"}
    exact, rounded = make(**settings), make(**settings, **BF16)
    expected = of_layer(exact, maps)
    assert used == []
    rounded.build(shape)
    rounded.set_weights(exact.get_weights())
    result = HOW[how](lambda x: of_layer(rounded, x))(maps)
    assert set(used) == {name}
    assert len(result) == 7  # outputs, and twice of the maps, the kernel and the bias
    for a, b in zip(result, expected, strict=True):
        a = tf.cast(a, tf.float32)
        np.testing.assert_allclose(a, b, atol=0.04 * np.abs(b).max())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_from_its_config(name, used):
    make, shape = LAYERS[name]
    layer = make(use_bias=False, activation="relu", **BF16)
    outputs = layer(tensor(*shape))
    assert np.min(outputs) == 0
    again = type(layer).from_config(layer.get_config())
    assert (again.use_bias, again.activation) == (False, layer.activation)
    again.build(shape)
    assert len(again.weights) == 1
    assert used == [name]


@pytest.mark.parametrize(
    ("layer", "shape", "taken"),
    [
        (layers.Conv2D(8, 4, 2, 1, **BF16), (1, 16, 16, 16), True),
        (layers.Conv2D(8, 4, 2, 1, **BF16), (1, 16, 18, 16), False),  # a larger map
        (layers.Conv2D(8, 4, 2, 1, **BF16), (1, 16, 16, 15), False),  # fewer channels
        (layers.Conv2D(8, 4, 2, 1, **BF16), (1, 9, 8, 16), False),  # an uneven side
        (layers.Conv2D(8, 4, 1, 1, **BF16), (1, 8, 8, 16), False),  # another stride
        (layers.Conv2D(8, 3, 2, 1, **BF16), (1, 9, 9, 16), False),  # another kernel
        (layers.Conv2D(8, 4, 2, 1, groups=2, **BF16), (1, 8, 8, 32), False),
        (layers.Conv2D(8, 4, 2, 1), (1, 8, 8, 16), False),  # float32
        (Conv2DTranspose(16, **BF16), (1, 8, 8, 8), True),
        (Conv2DTranspose(16, **BF16), (1, 8, 9, 8), False),
        (Conv2DTranspose(15, **BF16), (1, 8, 8, 8), False),
        (Conv2DTranspose(16, output_padding=1, **BF16), (1, 8, 8, 8), False),
        (Conv2DTranspose(16), (1, 8, 8, 8), False),
    ],
)
def test_where_it_is_taken(layer, shape, taken, used):
    layer(tensor(*shape))
    assert bool(used) == taken


def test_other_devices_keep_tensorflows(monkeypatch):
    layer = layers.Conv2D(8, 4, 2, 1, **BF16)
    layer.build((None, 8, 8, 16))
    assert kernels.has_faster_gradient(layer, (4, 4))
    devices = tf.config.list_logical_devices()
    gpu = tf.config.LogicalDevice("GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: [*devices, gpu])
    assert not kernels.has_faster_gradient(layer, (4, 4))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_maps_of_unknown_sides_keep_tensorflows(name, dtype, used):
    make, shape = LAYERS[name]
    layer = make(dtype=dtype)
    layer.build((None, None, None, shape[-1]))
    signature = [tf.TensorSpec([None, None, None, shape[-1]])]
    result = tf.function(layer, input_signature=signature)(tensor(*shape))
    assert used == []
    assert result.shape == layer.compute_output_shape(shape)

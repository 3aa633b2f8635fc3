"""Scores in chunks, and scores whose linear parts act on the global codes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics, estimators
from keras_models.critics.fast import _largest_chunk
from keras_models.critics.scores import drop_positives
from keras_models.distribute import replicas

LOCAL_SHAPE, UNITS = (6, 2, 2, 3), 8


def features(global_shape):
    local_features = tf.random.stateless_normal(LOCAL_SHAPE, [0, 0])
    return local_features, tf.random.stateless_normal(global_shape, [0, 1])


def build_critic(global_shape, **arguments):
    """The same weights every time."""
    keras.utils.set_random_seed(0)
    critic = critics.get("dot", units=UNITS, **arguments)
    critic.build((None, *LOCAL_SHAPE[1:]), (None, *global_shape[1:]))
    rng = np.random.default_rng(0)
    critic.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in critic.get_weights()])
    return critic


def value_and_gradients(critic, name, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        scores = critic(*inputs, training=True)
        value = estimators.get(name)(scores, sample_weight=2.0)
    return scores, value, tape.gradient(value, [*inputs, *critic.trainable_variables])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, {}) for name in estimators.NAMES),
        ("jsd", {"layer_norm": False}),
        ("infonce", {"layer_norm": False}),
        ("infonce", {"temperature": 0.5}),
    ],
)
def test_chunks_change_neither_values_nor_gradients(name, arguments):
    global_shape = (6, 2, 2, 5) if name in ("infonce", "dv") else (6, 5)
    inputs = features(global_shape)
    scores, value, gradients = value_and_gradients(
        build_critic(global_shape, **arguments), name, inputs
    )
    chunked, result, result_gradients = value_and_gradients(
        build_critic(global_shape, **arguments, chunk=4), name, inputs
    )
    assert isinstance(chunked, critics.ChunkedScores)
    np.testing.assert_allclose(result, value, rtol=1e-5)
    np.testing.assert_allclose(chunked.mean_product(), scores.mean_product(), rtol=1e-4)
    for gradient, expected in zip(result_gradients, gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_chunks_in_graph_and_xla(jit_compile):
    inputs = features((6, 5))
    _, value, gradients = value_and_gradients(build_critic((6, 5)), "infonce", inputs)
    critic = build_critic((6, 5), chunk=3)
    step = tf.function(
        lambda *x: value_and_gradients(critic, "infonce", list(x))[1:], jit_compile=jit_compile
    )
    result, result_gradients = step(*inputs)
    np.testing.assert_allclose(result, value, rtol=1e-5)
    for gradient, expected in zip(result_gradients, gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_chunks_are_taken_where_the_scores_would_be_too_many(monkeypatch):
    inputs = features((6, 5))
    assert isinstance(build_critic((6, 5))(*inputs), critics.PairScores)
    monkeypatch.setattr("keras_models.critics.fast.MAX_SCORES", 6 * 4 * 4)
    scores = build_critic((6, 5))(*inputs)
    assert isinstance(scores, critics.ChunkedScores)
    assert scores.chunk == 4  # rows of 24 scores


def test_cross_replica_scores_count_towards_the_chunks(monkeypatch):
    monkeypatch.setattr("keras_models.critics.fast.MAX_SCORES", 6 * 6 * 4)
    assert _largest_chunk((6, 4, 1)) == 0
    monkeypatch.setattr(replicas, "count", lambda: 2)
    assert _largest_chunk((6, 4, 1)) == 6


def test_drop_positives_of_a_part_of_the_images():
    scores = np.random.default_rng(0).normal(size=(5, 5, 3)).astype(np.float32)
    whole = drop_positives(tf.constant(scores))
    for first, count in ((0, 2), (2, 2), (4, 1)):
        rows = slice(first, first + count)
        part = drop_positives(tf.constant(scores[rows]), first)
        np.testing.assert_array_equal(part, whole[rows])


def test_gradient_of_drop_positives():
    scores = tf.random.stateless_normal([3, 5, 2], [0, 0])
    weights = tf.random.stateless_normal([3, 4, 2], [0, 1])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = tf.reduce_sum(drop_positives(scores, 1) * weights)
    expected = np.zeros((3, 5, 2), np.float32)
    for i in range(3):
        expected[i, [j for j in range(5) if j != i + 1]] = weights[i]
    np.testing.assert_array_equal(tape.gradient(value, scores), expected)


@pytest.mark.parametrize("arguments", [{}, {"layer_norm": False}, {"temperature": 0.2}])
def test_scores_are_the_dot_products_of_the_projections_codes(arguments):
    """However their linear parts are contracted; over U times the temperature, if there is one."""
    critic = build_critic((6, 5), **arguments)
    local_features, global_features = features((6, 5))
    scores = critic(local_features, global_features)
    local_codes = tf.reshape(critic.project_local(local_features), [6, 4, UNITS])
    global_codes = critic.project_global(global_features)
    expected = tf.einsum("nlu,nu->nl", local_codes, global_codes)
    expected /= UNITS * arguments["temperature"] if "temperature" in arguments else 1.0
    np.testing.assert_allclose(scores.joint[..., 0], expected, rtol=1e-4, atol=1e-4)


def test_without_layer_norm_no_location_meets_a_units_by_units_product():
    """Such a product of all locations is what makes the paper's U = 2048 slow."""
    critic = build_critic((6, 5), layer_norm=False)
    inputs = features((6, 5))
    graph = tf.function(lambda *x: critic(*x, training=True)).get_concrete_function(*inputs).graph
    shapes = [op.inputs[0].shape for op in graph.get_operations() if op.type == "MatMul"]
    assert [24, UNITS] not in [list(shape) for shape in shapes]
    with_norm = build_critic((6, 5))
    graph = (
        tf.function(lambda *x: with_norm(*x, training=True)).get_concrete_function(*inputs).graph
    )
    shapes = [op.inputs[0].shape for op in graph.get_operations() if op.type == "MatMul"]
    assert [24, UNITS] in [list(shape) for shape in shapes]

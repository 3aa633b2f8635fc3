"""The fast critic has the reference's scores, gradients and moving statistics; both, NumPy's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import DeepInfoMax, critics, encoders, estimators, terms
from keras_models.critics.fast import fold_batch_norm
from keras_models.nn import layers

LOCAL_SHAPE, UNITS = (5, 3, 3, 4), 6


def features(global_shape, constant_channel=False):
    local_features = tf.random.stateless_normal(LOCAL_SHAPE, [0, 0])
    if constant_channel:
        local_features = local_features * [1.0, 1.0, 0.0, 1.0] + [0.0, 0.0, 3.0, 0.0]
    return [local_features, tf.random.stateless_normal(global_shape, [0, 1])]


def built(implementation, global_shape, **arguments):
    """The same weights for both implementations, away from where they begin."""
    keras.utils.set_random_seed(0)
    critic = critics.get("dot", units=UNITS, implementation=implementation, **arguments)
    critic.build((None, *LOCAL_SHAPE[1:]), (None, *global_shape[1:]))
    rng = np.random.default_rng(0)
    critic.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in critic.get_weights()])
    return critic


def outcome(critic, inputs, training, estimator="infonce"):
    """Scores, a value, its gradients, and the weights after it (statistics have moved)."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        scores = critic(*inputs, training=training)
        value = estimators.get(estimator)(scores)
    gradients = tape.gradient(value, [*inputs, *critic.trainable_variables])
    return scores.joint, scores.product, value, *gradients, *critic.get_weights()


@pytest.mark.parametrize(
    ("global_shape", "training"),
    [((5, 7), True), ((5, 7), False), ((5, 2, 2, 7), True)],
    ids=["one_global", "one_global_in_inference", "four_globals"],
)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"layer_norm": False}, {"temperature": 0.5}, {"negatives": 2}, {"whole_map": True}],
    ids=lambda arguments: "-".join(arguments) or "as_the_paper",
)
def test_fast_equals_reference(arguments, global_shape, training):
    inputs = features(global_shape)
    fast, reference = (
        outcome(built(name, global_shape, **arguments), inputs, training)
        for name in ("fast", "reference")
    )
    for ours, expected in zip(fast, reference, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=2e-4)


def test_fast_equals_reference_where_a_hidden_unit_is_constant():
    """Its variance is 0, so that epsilon alone is under the root."""
    result = []
    for name in ("fast", "reference"):
        critic = built(name, (5, 7))
        kernel = critic.project_local.hidden.kernel
        column = np.zeros(kernel.shape, np.float32)
        column[2, 1] = 1.0  # unit 1 sees channel 2 alone, which is constant
        kernel.assign(np.where(np.arange(UNITS) == 1, column, kernel.numpy()))
        result.append(outcome(critic, features((5, 7), constant_channel=True), training=True))
    for ours, expected in zip(*result, strict=True):
        assert np.isfinite(ours).all()
        # The gradient of that unit's kernel is a difference of large numbers over root epsilon.
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3 * scale)


def test_both_take_and_give_the_same_weights():
    fast, reference = (built(name, (5, 7)) for name in ("fast", "reference"))
    assert [v.path for v in fast.variables] == [v.path for v in reference.variables]


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("temperature", [0.0, 0.2])
def test_reference_equals_the_equations_in_float64(float64, temperature):
    critic = built("reference", (5, 7), temperature=temperature)
    local_features, global_features = (x.numpy().astype(np.float64) for x in features((5, 7)))

    def codes(projection, x):
        hidden = x @ projection.hidden.kernel.numpy()
        hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
        norm = projection.hidden_norm
        hidden = np.maximum(hidden * norm.gamma.numpy() + norm.beta.numpy(), 0)
        out = hidden @ projection.out.kernel.numpy() + projection.out.bias.numpy()
        out = out + x @ projection.shortcut.kernel.numpy()
        out = (out - out.mean(1, keepdims=True)) / np.sqrt(out.var(1, keepdims=True) + 1e-5)
        return out if temperature else out * projection.norm.gamma + projection.norm.beta

    local_codes = codes(critic.project_local, local_features.reshape(-1, 4)).reshape(5, 9, UNITS)
    global_codes = codes(critic.project_global, global_features)
    if temperature:
        global_codes = global_codes / (UNITS * temperature)
    every = np.einsum("mlu,nu->nml", local_codes, global_codes)  # [N, N, L]

    scores = critic(local_features, global_features, training=True)
    assert scores.joint.dtype == tf.float64
    np.testing.assert_allclose(scores.joint[..., 0], every[range(5), range(5)], rtol=1e-9)
    for n in range(5):
        others = [m for m in range(5) if m != n]
        np.testing.assert_allclose(scores.product[n, ..., 0], every[n, others], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["jsd", "infonce"])
def test_50_steps_have_equal_losses(estimator):
    images = tf.random.stateless_uniform([8, 16, 16, 3], [0, 0], -1, 1)
    losses = {}
    for implementation in critics.DOT_PRODUCT:
        keras.utils.set_random_seed(0)
        encoder = encoders.ConvNet((16, 16, 3), ((8, 4, 2, 1), (16, 4, 2, 1)), (32,), 0, 8)
        term = terms.local_mutual_information(
            "dot", estimator, implementation=implementation, units=32
        )
        model = DeepInfoMax(encoder, [term])
        model.compile(optimizer=keras.optimizers.SGD(0.01))  # Adam enlarges rounding
        model.build()
        step = tf.function(model.train_step)
        losses[implementation] = [float(step(images)["loss"]) for _ in range(50)]
    fast, reference = (np.array(losses[name]) for name in ("fast", "reference"))
    assert reference[-1] < reference[0]
    np.testing.assert_allclose(fast, reference, atol=1e-3 * np.abs(reference).max())


@pytest.mark.parametrize("training", [True, False])
def test_a_folded_dense_layer_is_the_dense_layer_and_its_batch_norm(training):
    """Outputs, gradients and moving statistics; inputs far from zero, where squares cancel."""
    rng = np.random.default_rng(0)
    ours, expected = (
        keras.layers.BatchNormalization(
            momentum=layers.BATCH_NORM_MOMENTUM, epsilon=layers.NORM_EPSILON
        )
        for _ in range(2)
    )
    for norm in (ours, expected):
        norm.build((None, 7))
    ours.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in ours.get_weights()])
    expected.set_weights(ours.get_weights())
    kernel = tf.Variable(tf.random.stateless_normal([5, 7], [0, 2]))
    x = tf.random.stateless_normal([4, 3, 5], [0, 1], mean=10.0)

    def with_folding(x):
        matrix, bias = fold_batch_norm(ours, x, kernel, training)
        return x @ matrix + bias

    def one_after_the_other(x):
        return tf.reshape(expected(tf.reshape(x, [-1, 5]) @ kernel, training=training), [4, 3, 7])

    outcomes = []
    for function, norm in ((with_folding, ours), (one_after_the_other, expected)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            value = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [3, 4]))
        gradients = tape.gradient(value, [x, kernel, norm.gamma.value, norm.beta.value])
        outcomes.append([y, *gradients, *norm.get_weights()])
    for actual, wanted in zip(*outcomes, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-3)

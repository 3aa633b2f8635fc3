import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.terms import PredictabilityMinimization

RANDOM = StepRandom(seed=0, step=3)
Y = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def make(dim=3, hidden_units=4):
    keras.utils.set_random_seed(0)
    term = PredictabilityMinimization(hidden_units, weight=0.2)
    term.build({"global": (None, dim)})
    return harness.with_random_weights(term)


def call(term, features):
    out = term({"global": features}, {}, random=RANDOM)
    return {"encoder": out.encoder_loss, "adversary": out.adversary_loss, **out.metrics}


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def golden_error(weights, features):
    """V, one predictor and one image at a time."""
    kernel, bias, out_kernel, out_bias = (np.float64(w) for w in weights)
    codes = sigmoid(np.float64(features))
    errors = []
    for y in codes:
        for i in range(len(y)):
            others = [j for j in range(len(y)) if j != i]
            hidden = np.maximum(sum(y[j] * kernel[i, j] for j in others) + bias[i], 0)
            errors.append((sigmoid(hidden @ out_kernel[i] + out_bias[i]) - y[i]) ** 2)
    return np.mean(errors)


def numeric_gradient(function, x, step=1e-5):
    x = np.float64(x)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        gradient[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


def test_both_losses_are_the_error_of_the_predictors():
    term = make()
    expected = golden_error(term.get_weights(), Y)
    out = call(term, tf.constant(Y))
    np.testing.assert_allclose(out["predictability_error"], expected, rtol=1e-5)
    np.testing.assert_allclose(out["adversary"], expected, rtol=1e-5)
    np.testing.assert_allclose(out["encoder"], -expected, rtol=1e-5)


def test_gradients_are_those_of_the_error():
    """The encoder's through inputs and targets of the predictors; theirs does not reach it."""
    term, features = make(), tf.constant(Y)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        out = term({"global": features}, {}, random=RANDOM)
    weights = term.get_weights()
    of_encoder = -numeric_gradient(lambda y: golden_error(weights, y), Y)
    np.testing.assert_allclose(tape.gradient(out.encoder_loss, features), of_encoder, atol=1e-6)
    assert tape.gradient(out.adversary_loss, features) is None
    gradients = tape.gradient(out.adversary_loss, term.adversary_variables)
    for i, gradient in enumerate(gradients):

        def with_weight(value, i=i):
            return golden_error([*weights[:i], value, *weights[i + 1 :]], Y)

        np.testing.assert_allclose(gradient, numeric_gradient(with_weight, weights[i]), atol=1e-6)


def test_no_dimension_is_predicted_from_itself():
    term = make()
    moved = sigmoid(Y) + np.float32([[0.3, 0, 0]])
    before, after = term.predictions(tf.constant(sigmoid(Y))), term.predictions(tf.constant(moved))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert np.abs(before - after)[:, 1:].max() > 1e-3


def test_each_player_moves_the_error_its_own_way():
    term, features = make(), tf.Variable(Y)
    with tf.GradientTape(persistent=True) as tape:
        out = term({"global": tf.convert_to_tensor(features)}, {}, random=RANDOM)
    before = out.metrics["predictability_error"]
    step = 0.1 * tape.gradient(out.encoder_loss, features)
    features.assign_sub(step)
    assert call(term, features)["predictability_error"] > before
    features.assign_add(step)
    gradients = tape.gradient(out.adversary_loss, term.adversary_variables)
    for variable, gradient in zip(term.adversary_variables, gradients, strict=True):
        variable.assign_sub(0.1 * gradient)
    assert call(term, features)["predictability_error"] < before


def test_copies_are_predicted_and_independent_numbers_are_not():
    """Of two equal numbers V falls towards 0, of two independent ones to their variance."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 2, (256, 2)).astype(np.float32)
    errors = []
    for features in (numbers, numbers[:, [0, 0]]):
        term = make(dim=2, hidden_units=8)
        optimizer = keras.optimizers.Adam(0.05)

        @tf.function
        def step(features, term=term, optimizer=optimizer):
            with tf.GradientTape() as tape:
                error = call(term, features)["adversary"]
            variables = term.adversary_variables
            optimizer.apply(tape.gradient(error, variables), variables)
            return error

        for _ in range(150):
            error = step(tf.constant(features))
        errors.append(float(error))
    variance = sigmoid(numbers).var(axis=0).mean()
    assert 0.85 * variance < errors[0] < 1.02 * variance
    assert errors[1] < 0.1 * variance


def test_several_globals_of_an_image_are_samples_like_any_other():
    term = make()
    several = tf.reshape(tf.constant(Y), [3, 2, 1, 3])
    np.testing.assert_allclose(call(term, several)["encoder"], call(term, Y)["encoder"], rtol=1e-6)


def test_passes_the_harness():
    harness.check(make, call, tf.constant(Y))


def test_one_dimension_is_refused():
    with pytest.raises(ValueError, match="1 dimension, which nothing can be predicted from"):
        make(dim=1)

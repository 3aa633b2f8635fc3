import harness
import numpy as np
import pytest
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.terms import MaximumMeanDiscrepancy
from keras_models.terms.mmd import squared_mmd

RANDOM = StepRandom(seed=0, step=3)
X, Y = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
WIDTHS = (1.5, 6.0)


def test_it_is_the_equation():
    """Equation 3, pair by pair."""
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]

    def kernel(a, b):
        squared = np.sum((a - b) ** 2, dtype=np.float64)
        return np.mean([np.exp(-squared / width) for width in WIDTHS])

    expected = np.mean([kernel(X[i], X[j]) + kernel(Y[i], Y[j]) for i, j in pairs])
    expected -= 2 * np.mean([kernel(a, b) for a in X for b in Y])
    np.testing.assert_allclose(squared_mmd(X, Y, WIDTHS), expected, rtol=1e-4)


@pytest.mark.parametrize("name", priors.NAMES)
def test_samples_of_the_prior_are_at_no_distance_and_others_are(name):
    """The mean of 40 estimates is 0 within four times its standard error."""
    prior = priors.get(name, 4)
    widths = [prior.mean_squared_distance]
    noise = np.random.default_rng(0).uniform(size=(2, 40, 32, 4)).astype(np.float32)
    real, other = (tf.stack([prior.sample(x) for x in half]) for half in noise)
    values = np.array([squared_mmd(x, y, widths) for x, y in zip(other, real, strict=True)])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    away = np.array([squared_mmd(0.3 * x, y, widths) for x, y in zip(other, real, strict=True)])
    assert away.min() > values.max()


UNIFORM = (0.25, 1.0)  # half and twice E‖x - y‖² of three numbers uniform in [0, 1]


def make(prior="uniform", weight=0.2):
    term = MaximumMeanDiscrepancy(priors.get(prior, 3), (0.5, 2.0), weight)
    term.build({"global": (None, 3)})
    return term


def call(term, features):
    out = term({"global": features}, {}, random=RANDOM)
    return {"loss": out.encoder_loss, **out.metrics}


def test_the_term_compares_the_feature_in_the_priors_support():
    term = make()
    noise = RANDOM.uniform("prior", 6, (1, 3))[:, 0]
    expected = squared_mmd(tf.sigmoid(X), term.prior.sample(noise), UNIFORM)
    np.testing.assert_allclose(call(term, tf.constant(X))["prior_mmd"], expected, rtol=1e-5)
    assert term.adversary_variables == []


def test_several_globals_of_an_image_are_samples_like_any_other():
    features = tf.random.stateless_normal([4, 2, 2, 3], [0, 0])
    noise = tf.reshape(RANDOM.uniform("prior", 4, (4, 3)), [-1, 3])
    encoded = tf.sigmoid(tf.reshape(features, [-1, 3]))
    expected = squared_mmd(encoded, make().prior.sample(noise), UNIFORM)
    np.testing.assert_allclose(call(make(), features)["loss"], expected, rtol=1e-5)


def test_passes_the_harness():
    harness.check(make, call, tf.constant(X), xla=False)


def test_steps_down_its_gradient_move_features_to_the_prior():
    term, x = make("gaussian"), tf.Variable(3 + 0.1 * np.repeat(X, 8, 0))
    before = call(term, x)["loss"]
    for _ in range(50):
        with tf.GradientTape() as tape:
            loss = call(term, x)["loss"]
        x.assign_sub(20.0 * tape.gradient(loss, x))
    assert call(term, x)["loss"] < 0.2 * before


def test_on_replicas_the_whole_batch_is_compared(two_replicas):
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    term = make()

    def step(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = call(term, features)["loss"]
            half = loss / 2
        return loss, tape.gradient(half, features)

    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group])
    )
    losses, gradients = tf.function(lambda v: two_replicas.run(step, [v]))(halves)
    features = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(features)
        expected = call(term, features)["loss"]
    for loss in two_replicas.experimental_local_results(losses):
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    gradient = np.concatenate(two_replicas.experimental_local_results(gradients))
    np.testing.assert_allclose(gradient, tape.gradient(expected, features), rtol=1e-4, atol=1e-7)


def test_wrong_arguments_raise():
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        squared_mmd(tf.constant(X[:1]), tf.constant(Y[:1]), WIDTHS)
    with pytest.raises(ValueError, match="expected one or more positive"):
        MaximumMeanDiscrepancy(priors.get("uniform", 3), (1.0, 0.0))
    with pytest.raises(ValueError, match="prior has 3 dimensions, the global feature 5"):
        MaximumMeanDiscrepancy(priors.get("uniform", 3)).build({"global": (None, 5)})

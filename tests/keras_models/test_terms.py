import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics, estimators, terms
from keras_models.discriminator import Discriminator
from keras_models.priors import UniformPrior
from keras_models.randomness import StepRandom
from keras_models.terms import LocalMutualInformation, PriorMatching

RANDOM = StepRandom(seed=0, step=3)
SHAPES = {"local": (None, 2, 2, 4), "global": (None, 3)}


def random_endpoints(n=6):
    return {
        "local": tf.random.stateless_normal([n, 2, 2, 4], [0, 0]),
        "global": tf.random.stateless_normal([n, 3], [1, 0]),
    }


def make_local_mutual_information(estimator="jsd"):
    term = LocalMutualInformation(critics.get("dot", units=6), estimator, weight=0.7)
    term.build(SHAPES, SHAPES)
    return term


def make_prior_matching(penalty=1.7):
    keras.utils.set_random_seed(0)
    term = PriorMatching(UniformPrior(3), Discriminator((7, 5)), penalty, weight=0.1)
    term.build(SHAPES, SHAPES)
    # Large weights, so that the penalty weighs as much as the rest and its halves differ.
    term.discriminator.set_weights([2 * w for w in term.discriminator.get_weights()])
    return term


def softplus(t):
    return np.log1p(np.exp(t))


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def score_and_gradient(weights, x):
    """D(x) and its gradient in x, of one sample."""
    w1, b1, w2, b2, w3, b3 = weights
    first = x @ w1 + b1
    second = np.maximum(first, 0) @ w2 + b2
    score = (np.maximum(second, 0) @ w3 + b3)[0]
    return score, w1 @ ((first > 0) * (w2 @ ((second > 0) * w3[:, 0])))


def golden_adversary_loss(weights, real, encoded, penalty):
    """-(E[-softplus(-D(real))] - E[softplus(D(encoded))]) + ½·λ·(two means of ‖∇D‖²)."""
    loss = 0
    for x in real:
        score, gradient = score_and_gradient(weights, x)
        loss += (softplus(-score) + 0.5 * penalty * gradient @ gradient) / len(real)
    for x in encoded:
        score, gradient = score_and_gradient(weights, x)
        loss += (softplus(score) + 0.5 * penalty * gradient @ gradient) / len(encoded)
    return loss


def golden_inputs(term, endpoints):
    weights = [w.astype(np.float64) for w in term.discriminator.get_weights()]
    features = endpoints["global"].numpy().astype(np.float64)
    noise = RANDOM.uniform("prior", len(features), (3,)).numpy().astype(np.float64)
    return weights, noise, features


@pytest.mark.parametrize("name", estimators.NAMES)
def test_local_mutual_information_is_the_estimator_of_the_critic(name):
    term, endpoints = make_local_mutual_information(name), random_endpoints()
    out = term(endpoints, endpoints, random=RANDOM)
    scores = term.critic(endpoints["local"], endpoints["global"], training=True)
    value = estimators.get(name)(scores)
    np.testing.assert_allclose(out.encoder_loss, -value, rtol=1e-6)
    np.testing.assert_allclose(out.metrics["local_mi"], value, rtol=1e-6)
    np.testing.assert_allclose(out.metrics["joint_score"], np.mean(scores.joint), rtol=1e-5)
    np.testing.assert_allclose(out.metrics["product_score"], np.mean(scores.product), rtol=1e-5)
    assert out.adversary_loss is None
    assert term.adversary_variables == []


def test_local_mutual_information_takes_each_feature_from_its_own_view():
    term = make_local_mutual_information()
    local, other = random_endpoints(), {k: x + 1 for k, x in random_endpoints().items()}
    loss = term(local, other, random=RANDOM).encoder_loss
    only_used = {"local": local["local"]}, {"global": other["global"]}
    np.testing.assert_array_equal(term(*only_used, random=RANDOM).encoder_loss, loss)


def test_local_mutual_information_reaches_both_features_and_the_critic():
    term, endpoints = make_local_mutual_information(), random_endpoints()
    sources = [*endpoints.values(), *term.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(list(endpoints.values()))
        loss = term(endpoints, endpoints, random=RANDOM).encoder_loss
    for gradient in tape.gradient(loss, sources):
        assert np.abs(gradient).max() > 0


def test_adversary_loss_equals_the_equations():
    term, endpoints = make_prior_matching(), random_endpoints()
    weights, noise, features = golden_inputs(term, endpoints)
    out = term(endpoints, endpoints, random=RANDOM)
    expected = golden_adversary_loss(weights, noise, sigmoid(features), penalty=1.7)
    np.testing.assert_allclose(out.adversary_loss, expected, rtol=1e-5)


def test_gradient_penalty_counts_prior_and_encoded_samples_alike():
    term, endpoints = make_prior_matching(), random_endpoints()
    weights, noise, features = golden_inputs(term, endpoints)
    halves = []
    for samples in (noise, sigmoid(features)):
        gradients = [score_and_gradient(weights, x)[1] for x in samples]
        halves.append(np.mean([gradient @ gradient for gradient in gradients]))
    assert abs(halves[0] - halves[1]) > 0.01 * halves[0]  # else either would do for both
    metrics = term(endpoints, endpoints, random=RANDOM).metrics
    expected = 0.5 * 1.7 * (halves[0] + halves[1])
    np.testing.assert_allclose(metrics["prior_gradient_penalty"], expected, rtol=1e-5)


def test_adversary_gradients_equal_finite_differences():
    """The penalty is differentiated a second time, in the weights."""
    term, endpoints = make_prior_matching(), random_endpoints()
    weights, noise, features = golden_inputs(term, endpoints)
    with tf.GradientTape() as tape:
        loss = term(endpoints, endpoints, random=RANDOM).adversary_loss
    gradients = tape.gradient(loss, term.adversary_variables, unconnected_gradients="zero")
    for weight, gradient in zip(weights, gradients, strict=True):
        expected = np.zeros_like(weight)
        for i in np.ndindex(weight.shape):
            there, loss = weight[i], {}
            for sign in (1, -1):
                weight[i] = there + sign * 1e-6
                loss[sign] = golden_adversary_loss(weights, noise, sigmoid(features), 1.7)
            weight[i] = there
            expected[i] = (loss[1] - loss[-1]) / 2e-6
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_encoder_loss_is_the_non_saturating_one():
    term, endpoints = make_prior_matching(), random_endpoints()
    weights, _, features = golden_inputs(term, endpoints)
    with tf.GradientTape() as tape:
        tape.watch(endpoints["global"])
        loss = term(endpoints, endpoints, random=RANDOM).encoder_loss
    gradient = tape.gradient(loss, endpoints["global"])

    expected, expected_gradient = 0, np.zeros_like(features)
    for n, feature in enumerate(features):
        encoded = sigmoid(feature)
        score, slope = score_and_gradient(weights, encoded)
        expected += softplus(-score) / len(features)
        expected_gradient[n] = -sigmoid(-score) * slope * encoded * (1 - encoded) / len(features)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_huge_logits_give_finite_losses_and_gradients():
    term, endpoints = make_prior_matching(), random_endpoints()
    *_, kernel, bias = term.discriminator.trainable_variables
    for sign in (-1, 1):
        kernel.assign(tf.fill(kernel.shape, sign * 1e4))
        bias.assign([sign * 1e4])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(endpoints["global"])
            out = term(endpoints, endpoints, random=RANDOM)
        gradients = tape.gradient(
            out.adversary_loss, term.adversary_variables, unconnected_gradients="zero"
        )
        of_encoder = tape.gradient(out.encoder_loss, endpoints["global"])
        for x in (out.encoder_loss, out.adversary_loss, of_encoder, *gradients):
            assert np.isfinite(x).all()


def test_stop_gradients():
    """The adversary's loss stops at the features; the encoder's reaches them."""
    term, endpoints = make_prior_matching(), random_endpoints()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(endpoints["global"])
        out = term(endpoints, endpoints, random=RANDOM)
    assert tape.gradient(out.adversary_loss, endpoints["global"]) is None
    assert np.abs(tape.gradient(out.encoder_loss, endpoints["global"])).max() > 0
    of_discriminator = tape.gradient(out.adversary_loss, term.adversary_variables)
    assert np.abs(of_discriminator[0]).max() > 0


def test_encoder_and_discriminator_move_the_divergence_opposite_ways():
    term = make_prior_matching(penalty=0.0)
    features = tf.Variable(random_endpoints()["global"])

    def run():
        endpoints = {"global": tf.convert_to_tensor(features)}
        return term(endpoints, endpoints, random=RANDOM)

    with tf.GradientTape(persistent=True) as tape:
        out = run()
    before = out.metrics["prior_divergence"]
    step = 0.01 * tape.gradient(out.encoder_loss, features)
    features.assign_sub(step)
    assert run().metrics["prior_divergence"] < before
    features.assign_add(step)

    gradients = tape.gradient(out.adversary_loss, term.adversary_variables)
    for variable, gradient in zip(term.adversary_variables, gradients, strict=True):
        variable.assign_sub(0.01 * gradient)
    assert run().metrics["prior_divergence"] > before


def test_prior_matching_metrics():
    term, endpoints = make_prior_matching(), random_endpoints()
    out = term(endpoints, endpoints, random=RANDOM)
    metrics = {name: float(x) for name, x in out.metrics.items()}
    assert set(metrics) == {"prior_encoder_loss", "prior_divergence", "prior_gradient_penalty"}
    np.testing.assert_allclose(metrics["prior_encoder_loss"], out.encoder_loss)
    np.testing.assert_allclose(
        metrics["prior_gradient_penalty"] - metrics["prior_divergence"],
        out.adversary_loss,
        rtol=1e-5,
    )


def test_prior_matching_owns_the_discriminator_as_adversary():
    term = make_prior_matching()
    assert [id(v) for v in term.adversary_variables] == [
        id(v) for v in term.discriminator.trainable_variables
    ]
    assert len(term.adversary_variables) == 6


@pytest.mark.parametrize("make", [make_local_mutual_information, make_prior_matching])
def test_serialisation_of_a_built_term(make):
    term, endpoints = make(), random_endpoints()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    assert again.weight == term.weight
    again.set_weights(term.get_weights())
    expected = term(endpoints, endpoints, random=RANDOM).encoder_loss
    np.testing.assert_allclose(again(endpoints, endpoints, random=RANDOM).encoder_loss, expected)


def test_serialisation_before_building():
    term = PriorMatching(UniformPrior(3), Discriminator((7, 5)), penalty=1.7, weight=0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    assert (again.penalty, again.weight, again.prior.dim) == (1.7, 0.1, 3)
    assert again.discriminator.hidden_units == (7, 5)
    term = LocalMutualInformation(critics.get("dot", units=6), "dv", weight=0.7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    assert (again.estimator.name, again.weight, again.critic.units) == ("dv", 0.7, 6)


def test_made_by_name():
    local = terms.local_mutual_information("dot", 16, "infonce", 0.5, synchronized=True)
    assert local.critic.units == 16
    assert local.critic.synchronized
    assert (local.estimator.name, local.weight) == ("infonce", 0.5)
    prior = terms.prior_matching("uniform", 5, penalty=2.0, weight=0.1)
    assert prior.prior.dim == 5
    assert prior.discriminator.hidden_units == (1000, 200)
    assert (prior.penalty, prior.weight) == (2.0, 0.1)


def test_unknown_estimator_raises():
    with pytest.raises(ValueError, match="mine"):
        LocalMutualInformation(critics.get("dot", units=6), "mine")

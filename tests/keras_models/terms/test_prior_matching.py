import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import adversary, priors, terms
from keras_models.distribute.randomness import StepRandom
from keras_models.nn.discriminators import Discriminator
from keras_models.priors import UniformPrior
from keras_models.terms import PriorMatching

RANDOM = StepRandom(seed=0, step=3)
SHAPES = {"local": (None, 2, 2, 4), "global": (None, 3)}


def random_endpoints(n=6, dim=3):
    return {
        "local": tf.random.stateless_normal([n, 2, 2, 4], [0, 0]),
        "global": tf.random.stateless_normal([n, dim], [1, 0]),
    }


def make_prior_matching(penalty=1.7, prior="uniform", divergence="gan"):
    keras.utils.set_random_seed(0)
    term = PriorMatching(
        priors.get(prior, 3), Discriminator((7, 5)), divergence, penalty, weight=0.1
    )
    term.build(SHAPES)
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


def call(term, features):
    out = term({"global": features}, {}, random=RANDOM)
    return {"encoder": out.encoder_loss, "adversary": out.adversary_loss, **out.metrics}


# Each prior has tests of its own.
@pytest.mark.parametrize(
    "prior", [pytest.param(n, marks=() if n == "ball" else pytest.mark.slow) for n in priors.NAMES]
)
def test_every_prior_passes_the_harness(prior):
    harness.check(
        lambda: make_prior_matching(prior=prior),
        call,
        random_endpoints()["global"],
        xla=prior == "ball",  # the one with the most kinds of operations
    )


@pytest.mark.parametrize("divergence", [n for n in adversary.NAMES if n != "wgan_gp"])
def test_any_divergence_of_the_estimators(divergence):
    """The discriminator's divergence of real from fake samples, and the generator's joint part."""
    term, endpoints = make_prior_matching(penalty=0.0, divergence=divergence), random_endpoints()
    weights, noise, features = golden_inputs(term, endpoints)
    real = np.array([score_and_gradient(weights, x)[0] for x in noise])
    fake = np.array([score_and_gradient(weights, x)[0] for x in sigmoid(features)])
    gan = np.mean(-softplus(-real)) - np.mean(softplus(fake))
    expected = {
        "jsd": (gan, -softplus(-fake)),
        "gan": (gan, -softplus(-fake)),
        "dv": (np.mean(real) - np.log(np.mean(np.exp(fake))), fake),
        "nwj": (np.mean(real) - np.mean(np.exp(fake - 1)), fake),
        "rkl": (np.mean(-np.exp(-real)) - np.mean(fake - 1), -np.exp(-fake)),
        "hellinger": (
            np.mean(1 - np.exp(-real)) - np.mean(np.exp(fake) - 1),
            1 - np.exp(-fake),
        ),
        "chi2": (np.mean(real) - np.mean(fake + fake**2 / 4), fake),
        "w1": (np.mean(real) - np.mean(fake), fake),
        "bgan": (gan, -0.5 * fake**2),
        "infonce": (
            np.mean([r - np.log((np.exp(r) + np.exp(fake).sum()) / (1 + len(fake))) for r in real]),
            fake,
        ),
    }[divergence]
    out = term(endpoints, endpoints, random=RANDOM)
    np.testing.assert_allclose(out.metrics["prior_divergence"], expected[0], rtol=1e-4)
    np.testing.assert_allclose(out.encoder_loss, -np.mean(expected[1]), rtol=1e-4)


@pytest.mark.parametrize(
    "divergence", [pytest.param("gan", marks=pytest.mark.slow), "dv", "infonce", "wgan_gp"]
)
def test_losses_on_two_replicas_equal_one_device(two_replicas, divergence):
    with two_replicas.scope():
        term = make_prior_matching(divergence=divergence)
    features = random_endpoints()["global"]
    expected = call(term, features)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(features, 2)[context.replica_id_in_sync_group]
    )

    @tf.function
    def on_replicas(x):
        out = two_replicas.run(call, [term, x])
        return {k: two_replicas.experimental_local_results(v) for k, v in out.items()}

    for name, values in on_replicas(halves).items():
        np.testing.assert_allclose(np.mean(values), expected[name], rtol=1e-4, err_msg=name)


def test_several_globals_of_an_image_are_samples_like_any_other():
    term = make_prior_matching()
    several = tf.random.stateless_normal([3, 2, 1, 3], [1, 0])
    out = call(term, several)
    one_each = call(term, tf.reshape(several, [6, 3]))
    for name in out:
        np.testing.assert_allclose(out[name], one_each[name], rtol=1e-5, err_msg=name)


def test_a_prior_of_another_dimension_raises():
    term = PriorMatching(UniformPrior(4), Discriminator((7, 5)))
    with pytest.raises(ValueError, match="4 dimensions, the global feature 3"):
        term.build(SHAPES)


def test_a_term_is_constructed_by_name():
    term = terms.prior_matching("sphere", 5, "w1", penalty=2.0, weight=0.1)
    assert (type(term.prior), term.prior.dim) == (priors.SpherePrior, 5)
    assert term.discriminator.hidden_units == (1000, 200)
    assert (term.divergence.name, term.penalty, term.weight) == ("w1", 2.0, 0.1)


def test_wasserstein_with_gradient_penalty_equals_the_equation():
    """Gulrajani et al. 2017, equation 3, sample by sample."""
    term = make_prior_matching(penalty=1.7, divergence="wgan_gp")
    endpoints = random_endpoints()
    weights, real, features = golden_inputs(term, endpoints)
    fake = sigmoid(features)
    position = RANDOM.uniform("between real and fake", 6, ()).numpy().astype(np.float64)
    penalty = 0
    for n in range(6):
        between = position[n] * real[n] + (1 - position[n]) * fake[n]
        _, slope = score_and_gradient(weights, between)
        penalty += 1.7 * (np.sqrt(slope @ slope) - 1) ** 2 / 6
    scores = [[score_and_gradient(weights, x)[0] for x in samples] for samples in (real, fake)]
    out = term(endpoints, endpoints, random=RANDOM)
    np.testing.assert_allclose(out.metrics["prior_gradient_penalty"], penalty, rtol=1e-4)
    expected = np.mean(scores[1]) - np.mean(scores[0]) + penalty
    np.testing.assert_allclose(out.adversary_loss, expected, rtol=1e-4)
    np.testing.assert_allclose(out.encoder_loss, -np.mean(scores[1]), rtol=1e-4)


@pytest.mark.parametrize("divergence", ["bgan", "wgan_gp"])
def test_gradient_of_the_encoder_loss_is_the_derivative(divergence):
    """bgan: D·∇D; wgan_gp: -∇D. Both through the sigmoid of the uniform prior."""
    term, endpoints = make_prior_matching(divergence=divergence), random_endpoints()
    weights, _, features = golden_inputs(term, endpoints)
    with tf.GradientTape() as tape:
        tape.watch(endpoints["global"])
        loss = term(endpoints, endpoints, random=RANDOM).encoder_loss
    gradient = tape.gradient(loss, endpoints["global"])
    for n, feature in enumerate(features):
        encoded = sigmoid(feature)
        score, slope = score_and_gradient(weights, encoded)
        outer = score if divergence == "bgan" else -1.0
        expected = outer * slope * encoded * (1 - encoded) / 6
        np.testing.assert_allclose(gradient[n], expected, atol=1e-6)


def test_a_wasserstein_critic_without_its_penalty_is_refused():
    with pytest.raises(ValueError, match="wgan_gp is bounded by its gradient penalty alone"):
        make_prior_matching(penalty=0.0, divergence="wgan_gp")
    with pytest.raises(ValueError, match="unknown divergence 'gam'"):
        make_prior_matching(divergence="gam")

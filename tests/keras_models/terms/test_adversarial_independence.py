import harness
import keras
import numpy as np
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn.discriminators import Discriminator
from keras_models.terms import AdversarialIndependence, adversarial_independence
from keras_models.terms.adversarial_independence import shuffled

RANDOM = StepRandom(seed=0, step=3)
Y = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def make(penalty=1.7):
    keras.utils.set_random_seed(0)
    term = AdversarialIndependence(Discriminator((5,)), penalty, weight=0.2)
    term.build({"global": (None, 3)})
    # Half of the hidden units are off: a linear discriminator would see no dependence.
    rng = np.random.default_rng(2)
    term.set_weights([rng.normal(0, 1, w.shape) for w in term.get_weights()])
    return term


def call(term, features):
    out = term({"global": features}, {}, random=RANDOM)
    return {"encoder": out.encoder_loss, "adversary": out.adversary_loss, **out.metrics}


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def orders(count=6, dim=3):
    """The permutation of each dimension: [count, dim]."""
    return np.argsort(RANDOM.uniform("shuffle", count, (dim,)).numpy(), axis=0)


def golden_losses(weights, features, penalty):
    """(encoder's loss, discriminator's loss), sample by sample."""
    w1, b1, w2, b2 = (np.float64(w) for w in weights)
    joint = sigmoid(np.float64(features))
    product = np.take_along_axis(joint, orders(), axis=0)

    def score_and_slope(y):
        first = y @ w1 + b1
        return (np.maximum(first, 0) @ w2 + b2)[0], w1 @ ((first > 0) * w2[:, 0])

    encoder = discriminator = 0
    for samples, sign in ((product, -1), (joint, 1)):
        for y in samples:
            score, slope = score_and_slope(y)
            discriminator += np.log1p(np.exp(sign * score)) / len(samples)
            discriminator += 0.5 * penalty * slope @ slope / len(samples)
            encoder += np.log1p(np.exp(-sign * score)) / len(samples)
    return encoder, discriminator


def test_losses_equal_the_equations():
    term = make()
    encoder, discriminator = golden_losses(term.get_weights(), Y, 1.7)
    out = call(term, tf.constant(Y))
    np.testing.assert_allclose(out["encoder"], encoder, rtol=1e-5)
    np.testing.assert_allclose(out["adversary"], discriminator, rtol=1e-5)


def test_the_encoder_is_reached_through_joint_and_shuffled_samples():
    term, features = make(), tf.constant(Y)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        out = term({"global": features}, {}, random=RANDOM)
    expected = np.zeros_like(Y)
    for index in np.ndindex(Y.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = np.float64(Y)
            moved[index] += step
            ends.append(golden_losses(term.get_weights(), moved, 1.7)[0])
        expected[index] = (ends[0] - ends[1]) / 2e-5
    np.testing.assert_allclose(tape.gradient(out.encoder_loss, features), expected, atol=1e-6)
    assert tape.gradient(out.adversary_loss, features) is None


def test_each_dimension_is_permuted_on_its_own():
    numbers = tf.reshape(tf.range(600.0), [200, 3])
    result = shuffled(numbers, RANDOM).numpy()
    np.testing.assert_array_equal(np.sort(result, axis=0), numbers)
    rows = (result - [0, 1, 2]) / 3
    assert np.mean(rows == np.arange(200)[:, None]) < 0.1
    assert np.mean(rows[:, 0] == rows[:, 1]) < 0.1


def test_each_player_moves_the_divergence_its_own_way():
    term, features = make(penalty=0.0), tf.Variable(Y)
    # At scores about 0, the exchanged loss has the gradient of the divergence.
    *_, bias = term.discriminator.trainable_variables
    bias.assign_sub([tf.reduce_mean(term.discriminator(tf.sigmoid(Y)))])
    with tf.GradientTape(persistent=True) as tape:
        out = term({"global": tf.convert_to_tensor(features)}, {}, random=RANDOM)
    before = out.metrics["independence_divergence"]
    step = 0.01 * tape.gradient(out.encoder_loss, features)
    features.assign_sub(step)
    assert call(term, features)["independence_divergence"] < before
    features.assign_add(step)
    gradients = tape.gradient(out.adversary_loss, term.adversary_variables)
    for variable, gradient in zip(term.adversary_variables, gradients, strict=True):
        variable.assign_sub(0.01 * gradient)
    assert call(term, features)["independence_divergence"] > before


def test_on_replicas_the_whole_batch_is_shuffled(two_replicas):
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group])
    )
    result = tf.function(lambda v: two_replicas.run(shuffled, [v, RANDOM]))(halves)
    both = np.concatenate(two_replicas.experimental_local_results(result))
    np.testing.assert_allclose(both, shuffled(tf.constant(x), RANDOM), rtol=1e-6)


def test_several_globals_of_an_image_are_samples_like_any_other():
    term = make()
    several = tf.reshape(tf.constant(Y), [3, 2, 1, 3])
    np.testing.assert_allclose(call(term, several)["encoder"], call(term, Y)["encoder"], rtol=1e-6)


def test_passes_the_harness():
    harness.check(make, call, tf.constant(Y))


def test_the_term_has_the_discriminator_of_prior_matching():
    term = adversarial_independence(0.3)
    assert (term.weight, term.discriminator.hidden_units) == (0.3, (1000, 200))

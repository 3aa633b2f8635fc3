import harness
import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics, estimators, terms
from keras_models.distribute.randomness import StepRandom
from keras_models.terms import MutualInformation

RANDOM = StepRandom(seed=0, step=3)
SHAPES = {"local": (None, 2, 2, 4), "global": (None, 3)}


def random_endpoints(n=6):
    return {
        "local": tf.random.stateless_normal([n, 2, 2, 4], [0, 0]),
        "global": tf.random.stateless_normal([n, 3], [1, 0]),
    }


def make_local_mutual_information(estimator="jsd", locations=0):
    critic = critics.get("dot", units=6)
    term = MutualInformation(critic, estimator, weight=0.7, locations=locations)
    term.build(SHAPES)
    return term


@pytest.mark.parametrize("name", estimators.NAMES)
def test_local_mutual_information_is_the_estimator_of_the_critic(name):
    term, endpoints = make_local_mutual_information(name), random_endpoints()
    out = term(endpoints, endpoints, random=RANDOM)
    scores = term.critic(endpoints["local"], endpoints["global"], training=True)
    value = estimators.get(name)(scores)
    np.testing.assert_allclose(out.encoder_loss, -value, rtol=1e-6)
    np.testing.assert_allclose(out.metrics["local_mi"], value, rtol=1e-6)
    for kind in ("joint", "product"):
        mean = np.mean(getattr(scores, kind), dtype=np.float64)
        np.testing.assert_allclose(out.metrics[f"local_{kind}_score"], mean, atol=1e-6)
    assert out.adversary_loss is None
    assert term.adversary_variables == []


@pytest.mark.parametrize("critic", critics.GLOBAL_NAMES)
def test_global_mutual_information_is_the_estimator_of_the_critic(critic):
    term = terms.global_mutual_information(critic, "dv", 0.7)
    shapes = {"local": (None, 5, 5, 4), "global": (None, 3)}
    term.build(shapes)
    endpoints = {
        "local": tf.random.stateless_normal([6, 5, 5, 4], [0, 0]),
        "global": tf.random.stateless_normal([6, 3], [1, 0]),
    }
    value = estimators.donsker_varadhan(term.critic(*endpoints.values(), training=True))
    out = term(endpoints, endpoints, random=RANDOM)
    np.testing.assert_allclose(out.encoder_loss, -value, rtol=1e-5)
    assert abs(value) > 1e-4


def test_query_and_context_are_each_taken_from_their_own_view():
    term = make_local_mutual_information()
    local, other = random_endpoints(), {k: x + 1 for k, x in random_endpoints().items()}
    loss = term(other, local, random=RANDOM).encoder_loss
    only_used = {"global": other["global"]}, {"local": local["local"]}
    np.testing.assert_array_equal(term(*only_used, random=RANDOM).encoder_loss, loss)


def test_local_mutual_information_reaches_both_features_and_the_critic():
    term, endpoints = make_local_mutual_information(), random_endpoints()
    sources = [*endpoints.values(), *term.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(list(endpoints.values()))
        loss = term(endpoints, endpoints, random=RANDOM).encoder_loss
    for gradient in tape.gradient(loss, sources):
        assert np.abs(gradient).max() > 0


def call(term, local_features, global_features):
    endpoints = {"local": local_features, "global": global_features}
    out = term(endpoints, endpoints, random=RANDOM)
    return {"loss": out.encoder_loss, **out.metrics}


@pytest.mark.parametrize("locations", [0, 3])
def test_passes_the_harness(locations):
    harness.check(
        lambda: make_local_mutual_information("dv", locations),
        call,
        *random_endpoints().values(),
        bfloat16=0.3,
        xla=locations > 0,
    )


def test_sampled_locations_are_those_drawn_and_are_weighted():
    term, endpoints = make_local_mutual_information("infonce", locations=3), random_endpoints()
    chosen = RANDOM.choice("local locations", 4, 3).numpy()
    sample = tf.gather(tf.reshape(endpoints["local"], [6, 4, 1, 4]), chosen, axis=1)
    scores = term.critic(sample, endpoints["global"], training=True)
    assert scores.joint.shape == (6, 3, 1)
    out = term(endpoints, endpoints, random=RANDOM)
    np.testing.assert_allclose(
        out.metrics["local_mi"], estimators.info_nce(scores, 4 / 3), rtol=1e-5
    )


def test_all_locations_sampled_are_all_locations():
    endpoints = random_endpoints()
    every, sampled = make_local_mutual_information(), make_local_mutual_information(locations=4)
    sampled.set_weights(every.get_weights())
    expected = every(endpoints, endpoints, random=RANDOM).encoder_loss
    loss = sampled(endpoints, endpoints, random=RANDOM).encoder_loss
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_more_locations_than_the_map_has_raises():
    with pytest.raises(ValueError, match=r"2x2; give at most 4"):
        make_local_mutual_information(locations=5)


def test_local_by_name():
    of_critic = {"units": 16, "negatives": 3, "synchronized": True, "temperature": 0.1}
    term = terms.local_mutual_information("dot", "infonce", 0.5, locations=2, **of_critic)
    assert (term.critic.units, term.critic.negatives, term.critic.layer_norm) == (16, 3, True)
    assert term.critic.synchronized
    assert term.critic.temperature == 0.1
    assert not term.critic.whole_map
    assert (term.estimator.name, term.weight, term.locations) == ("infonce", 0.5, 2)
    concat = terms.local_mutual_information("concat", "dv")
    assert type(concat.critic) is critics.ConcatCritic
    assert concat.name == "local"


@pytest.mark.parametrize("name", critics.GLOBAL_NAMES)
def test_global_by_name(name):
    of_critic = {"units": 16, "temperature": 0.5} if name == "dot" else {"negatives": 2}
    term = terms.global_mutual_information(name, "dv", 0.5, **of_critic)
    shapes = {"local": (None, 5, 5, 4), "global": (None, 3)}
    term.build(shapes)
    endpoints = {"local": tf.zeros([4, 5, 5, 4]), "global": tf.zeros([4, 3])}
    assert term.critic(endpoints["local"], endpoints["global"]).joint.shape == (4, 1, 1)
    assert of_critic.items() <= term.critic.get_config().items()
    metrics = term(endpoints, endpoints, random=RANDOM).metrics
    assert set(metrics) == {"global_mi", "global_joint_score", "global_product_score"}


@pytest.mark.parametrize("make", [terms.local_mutual_information, terms.global_mutual_information])
def test_argument_that_a_critic_does_not_have_raises(make):
    name = "concat" if make is terms.local_mutual_information else "dense"
    with pytest.raises(ValueError, match="units"):
        make(name, "dv", units=16)


def test_unknown_estimator_raises():
    with pytest.raises(ValueError, match="mine"):
        MutualInformation(critics.get("dot", units=6), "mine")

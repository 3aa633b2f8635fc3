import harness
import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics
from keras_models.critics import (
    DotProductCritic,
    FastDotProductCritic,
)


def random_features(shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 0])


def make_critic(local_shape, global_shape, units=6, temperature=0.0):
    critic = FastDotProductCritic(units, temperature=temperature)
    critic.build((None, *local_shape[1:]), (None, *global_shape[1:]))
    rng = np.random.default_rng(0)
    critic.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in critic.get_weights()])
    return critic


def codes(projection, features):
    """The projection's own outputs as [N, locations, U]."""
    out = projection(features, training=True).numpy()
    return out.reshape(out.shape[0], -1, out.shape[-1]).astype(np.float64)


@pytest.mark.parametrize("global_shape", [(5, 7), (5, 2, 2, 7)], ids=["one_global", "four_globals"])
def test_pair_scores_equal_loops(global_shape):
    local_shape = (5, 3, 3, 4)
    local_features, global_features = random_features(local_shape), random_features(global_shape)
    critic = make_critic(local_shape, global_shape)
    scores = critic(local_features, global_features, training=True)
    local_codes = codes(critic.project_local, local_features)
    global_codes = codes(critic.project_global, global_features)
    n, locations, globals_ = 5, 9, global_codes.shape[1]
    assert scores.joint.shape == (n, locations, globals_)
    assert scores.product.shape == (n, n - 1, locations, globals_)
    assert scores.cross_replica is None

    joint, product = np.zeros(scores.joint.shape), np.zeros(scores.product.shape)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for l in range(locations):  # noqa: E741
            for g in range(globals_):
                joint[i, l, g] = local_codes[i, l] @ global_codes[i, g]
                for k, j in enumerate(others):
                    product[i, k, l, g] = local_codes[j, l] @ global_codes[i, g]
    np.testing.assert_allclose(scores.joint, joint, atol=1e-4)
    np.testing.assert_allclose(scores.product, product, atol=1e-4)


def test_no_product_score_depends_on_its_own_image():
    """The gradient of image n's product scores in its own local features is exactly zero."""
    local_codes, global_codes = random_features((4, 4, 6)), random_features((4, 1, 6), seed=1)
    with tf.GradientTape() as tape:
        tape.watch(local_codes)
        scores = critics.drop_positives(critics.all_dot_products(local_codes, global_codes))
        of_image_2 = tf.reduce_sum(scores[2])
    gradient = tape.gradient(of_image_2, local_codes).numpy()
    np.testing.assert_array_equal(gradient[2], 0)
    for other in (0, 1, 3):
        np.testing.assert_allclose(gradient[other], np.tile(global_codes[2], (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("rest", [(), (3,), (3, 2)])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_drop_positives_drops_the_diagonal_and_keeps_the_order(n, rest):
    scores = np.random.default_rng(0).normal(size=(n, n, *rest)).astype(np.float32)
    expected = np.array([np.delete(row, i, axis=0) for i, row in enumerate(scores)])
    np.testing.assert_array_equal(critics.drop_positives(tf.constant(scores)), expected)


def test_all_dot_products_equals_einsum():
    local_codes, global_codes = random_features((4, 3, 6)), random_features((5, 2, 6), seed=1)
    scores = critics.all_dot_products(local_codes, global_codes)
    expected = np.einsum("mlu,ngu->nmlg", local_codes, global_codes)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


CRITICS = {
    "dot": {"name": "dot", "units": 6},
    "reference": {"name": "dot", "units": 6, "implementation": "reference"},
    "dot without layer norm": {"name": "dot", "units": 6, "layer_norm": False},
    "dot at a temperature": {"name": "dot", "units": 6, "temperature": 0.5},
    "dot with two negatives": {"name": "dot", "units": 6, "negatives": 2},
    "dot of whole maps": {"name": "dot", "units": 6, "whole_map": True},
    "concat": {"name": "concat", "hidden_units": (7, 5)},
    "concat with two negatives": {"name": "concat", "hidden_units": (7, 5), "negatives": 2},
    "conv": {"name": "conv", "filters": (4, 3), "hidden_units": (7, 5)},
    "dense": {"name": "dense", "hidden_units": (7, 5)},
}


GLOBAL_SHAPES = {"one_global": (5, 7), "four_globals": (5, 2, 2, 7)}


def get_built(critic, local_shape=(5, 5, 5, 3), global_shape=(5, 7)):
    arguments = dict(CRITICS[critic])
    built = critics.get(arguments.pop("name"), **arguments)
    built.build((None, *local_shape[1:]), (None, *global_shape[1:]))
    return built


def joint_and_product(critic, local_features, global_features):
    scores = critic(local_features, global_features, training=True)
    assert scores.joint.dtype == scores.product.dtype == tf.float32
    return {"joint": scores.joint, "product": scores.product}


COMPILED = ("dot", "dot with two negatives", "concat", "conv")


@pytest.mark.parametrize(
    ("critic", "global_shape", "xla"),
    [
        *(
            (critic, shape, shape == (5, 7) and critic in COMPILED)
            for critic in CRITICS
            for shape in GLOBAL_SHAPES.values()
        ),
        *(
            pytest.param(critic, (5, 7), True, marks=pytest.mark.slow)
            for critic in CRITICS
            if critic not in COMPILED
        ),
    ],
)
def test_every_critic_passes_the_harness(critic, global_shape, xla):
    """XLA takes seconds, so few are compiled here; others are a graph."""
    harness.check(
        lambda: get_built(critic, global_shape=global_shape),
        joint_and_product,
        random_features((5, 5, 5, 3)),
        random_features(global_shape),
        bfloat16=0.3,  # batch norm of 5 images enlarges its errors
        xla=xla,
    )


@pytest.mark.parametrize("global_shape", GLOBAL_SHAPES.values(), ids=GLOBAL_SHAPES)
@pytest.mark.parametrize("critic", ["concat", "concat with two negatives", "conv", "dense"])
def test_network_critics_score_each_pair_as_the_equations(critic, global_shape):
    built = harness.with_random_weights(get_built(critic, global_shape=global_shape))
    local_features, global_features = random_features((5, 5, 5, 3)), random_features(global_shape)
    scores = built(local_features, global_features)
    maps, ours = local_features.numpy(), global_features.numpy().reshape(5, -1, 7)
    stack = [layer.get_weights() for layer in built.stack.layers]

    def network(x):
        for kernel, bias in stack[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = stack[-1]
        return (x @ kernel + bias)[0]

    def convolved(x, kernel, bias):
        size = x.shape[0] - 2
        out = [
            [np.tensordot(x[i : i + 3, j : j + 3], kernel, 3) + bias for j in range(size)]
            for i in range(size)
        ]
        return np.array(out)

    def score(image, location, other, g):
        if critic.startswith("concat"):
            local = maps[image].reshape(25, 3)[location]
        else:
            x = maps[image]
            for i, conv in enumerate(built.convs):
                x = convolved(x, *conv.get_weights())
                x = np.maximum(x, 0) if i == 0 else x
            local = x.ravel()
        return network(np.concatenate([local, ours[other, g]]))

    def close(result, expected):  # some scores nearly vanish, by sums of larger numbers
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-6)

    locations, globals_ = (25 if critic.startswith("concat") else 1), ours.shape[1]
    negatives = 2 if "two" in critic else 1
    assert scores.joint.shape == (5, locations, globals_)
    assert scores.product.shape == (5, negatives, locations, globals_)
    for n, location, g in np.ndindex(5, locations, globals_):
        close(scores.joint[n, location, g], score(n, location, n, g))
        for k in range(negatives):
            expected = score((n + k + 1) % 5, location, n, g)
            close(scores.product[n, k, location, g], expected)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_sampled_negatives_are_among_all_others(count):
    """The dot-product critic with K negatives scores K of the pairs that it scores with all."""
    every = make_critic((5, 3, 3, 4), (5, 7))
    some = FastDotProductCritic(6, negatives=count)
    some.build((None, 3, 3, 4), (None, 7))
    some.set_weights(every.get_weights())
    features = random_features((5, 3, 3, 4)), random_features((5, 7))
    all_scores, few = every(*features), some(*features)
    assert few.product.shape == (5, count, 9, 1)
    np.testing.assert_allclose(few.joint, all_scores.joint, atol=1e-5)
    for n in range(5):
        for k in range(count):
            other = (n + k + 1) % 5
            location = other if other < n else other - 1
            np.testing.assert_allclose(
                few.product[n, k], all_scores.product[n, location], atol=1e-5
            )


@pytest.mark.parametrize("count", [5, 6])
def test_more_negatives_than_other_images_raises(count):
    critic = critics.get("concat", hidden_units=(4,), negatives=count)
    critic.build((None, 2, 2, 3), (None, 5))
    with pytest.raises(ValueError, match="at most 4"):
        critic(tf.zeros([5, 2, 2, 3]), tf.zeros([5, 5]))


def test_shifted_negatives_continue_with_the_next_replica(two_replicas):
    features = tf.reshape(tf.range(12.0), [6, 2])
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(features, 2)[context.replica_id_in_sync_group]
    )

    @tf.function
    def on_replicas(x):
        rows = two_replicas.run(lambda y: critics.shifted_negatives(y, 2), [x])
        return [two_replicas.experimental_local_results(row) for row in rows]

    on_one = critics.shifted_negatives(features, 2)
    for result, expected in zip(on_replicas(halves), on_one, strict=True):
        np.testing.assert_array_equal(np.concatenate(result), expected)
    np.testing.assert_array_equal(on_one[1], np.roll(features, -2, axis=0))


def test_a_whole_map_is_one_feature():
    critic = harness.with_random_weights(get_built("dot of whole maps"))
    local_features, global_features = random_features((5, 5, 5, 3)), random_features((5, 7))
    scores = critic(local_features, global_features)
    local_codes = critic.project_local(tf.reshape(local_features, [5, 75])).numpy()
    expected = local_codes @ critic.project_global(global_features).numpy().T
    assert scores.joint.shape == (5, 1, 1)
    np.testing.assert_allclose(scores.joint[:, 0, 0], np.diag(expected), atol=1e-4)


def test_layer_norm_bounds_the_scores():
    features = [1e3 * random_features(s) for s in ((5, 5, 5, 3), (5, 7))]
    bounded = get_built("dot")(*features).product
    assert np.abs(bounded).max() <= 6 + 1e-3  # |code|² = U
    assert np.abs(get_built("dot without layer norm")(*features).product).max() > 1e3
    assert np.abs(get_built("dot at a temperature")(*features).product).max() <= 2 + 1e-3


def test_scores_at_a_temperature_are_correlations_over_it():
    critic = harness.with_random_weights(get_built("dot at a temperature"))
    maps, vectors = random_features((5, 5, 5, 3)), random_features((5, 7))
    scores = critic(maps, vectors)
    # The codes before layer norm do not know of a temperature.
    local_codes = plain_codes(critic.project_local, np.reshape(maps, (5, 25, 3)))
    codes = plain_codes(critic.project_global, np.array(vectors))
    for i, location in np.ndindex(5, 25):
        expected = np.corrcoef(local_codes[i, location], codes[i])[0, 1] / 0.5
        np.testing.assert_allclose(scores.joint[i, location, 0], expected, rtol=1e-3, atol=1e-4)
    learned_scale = len(get_built("dot").trainable_variables)
    assert len(critic.trainable_variables) == learned_scale - 4  # γ and β of both sides


def plain_codes(projection, features):
    """What its equations give before layer norm, by the moving averages."""
    norm = projection.hidden_norm
    hidden = features @ projection.hidden.kernel.numpy() - norm.moving_mean.numpy()
    hidden /= np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    hidden = np.maximum(hidden * norm.gamma.numpy() + norm.beta.numpy(), 0)
    linear = hidden @ projection.out.kernel.numpy() + projection.out.bias.numpy()
    return linear + features @ projection.shortcut.kernel.numpy()


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_a_temperature_that_is_none_raises(temperature):
    with pytest.raises(ValueError, match="expected a positive one, or 0"):
        critics.get("dot", temperature=temperature)
    with pytest.raises(ValueError, match="without layer norm"):
        critics.get("dot", temperature=0.5, layer_norm=False)


def test_sizes_of_the_paper():
    """64 and 32 filters, then 512, 512; concat: 512, 512."""
    shapes = {
        "conv": [(3, 3, 128, 64), (64,), (3, 3, 64, 32), (32,), (4 * 4 * 32 + 64, 512), (512,)],
        "dense": [(8 * 8 * 128 + 64, 512), (512,)],
        "concat": [(128 + 64, 512), (512,)],
    }
    for name, first in shapes.items():
        critic = critics.get(name)
        critic.build((None, 8, 8, 128), (None, 64))
        rest = [(512, 512), (512,), (512, 1), (1,)]
        assert [v.shape for v in critic.trainable_variables] == first + rest
        assert critic.negatives == 1


def test_a_map_too_small_for_the_convolutions_raises():
    with pytest.raises(ValueError, match=r"4x4.*dense"):
        critics.get("conv").build((None, 4, 4, 8), (None, 5))


def test_fewer_than_two_images_raises():
    critic = make_critic((1, 2, 2, 3), (1, 5))
    with pytest.raises(ValueError, match="at least 2 images"):
        critic(tf.zeros([1, 2, 2, 3]), tf.zeros([1, 5]))


@pytest.mark.parametrize("temperature", [0.0, 0.2])
def test_replicas_score_their_globals_and_the_others_with_their_own_locals(
    two_replicas, temperature
):
    local_shape, global_shape = (6, 2, 2, 3), (6, 5)
    with two_replicas.scope():
        critic = make_critic(local_shape, global_shape, temperature=temperature)
    local_features, global_features = random_features(local_shape), random_features(global_shape)
    # Without the batch's statistics, every image's codes are the same on any number of replicas.
    local_codes = tf.reshape(critic.project_local(local_features), [6, 4, -1])
    global_codes = critic.project_global(global_features)[:, tf.newaxis]
    expected = critics.all_dot_products(local_codes, global_codes).numpy()  # [6, 6, L, G]
    expected /= critic.units * temperature if temperature else 1.0

    def mine(features):
        return lambda context: tf.split(features, 2)[context.replica_id_in_sync_group]

    @tf.function
    def on_replicas(local_features, global_features):
        scores = two_replicas.run(critic, [local_features, global_features])
        return [two_replicas.experimental_local_results(x) for x in scores]

    _, product, cross_replica = on_replicas(
        two_replicas.experimental_distribute_values_from_function(mine(local_features)),
        two_replicas.experimental_distribute_values_from_function(mine(global_features)),
    )
    images = np.arange(6).reshape(2, 3)
    for replica in (0, 1):
        local, remote = images[replica], images[1 - replica]
        np.testing.assert_allclose(
            cross_replica[replica], expected[np.ix_(remote, local)], atol=1e-5
        )
        without_positives = critics.drop_positives(tf.constant(expected[np.ix_(local, local)]))
        np.testing.assert_allclose(product[replica], without_positives, atol=1e-5)


def test_get():
    critic = critics.get("dot", units=6, synchronized=True, name="mine")
    assert (critic.units, critic.synchronized, critic.name) == (6, True, "mine")
    assert critics.get("dot").units == 2048
    assert type(critics.get("dot")) is FastDotProductCritic
    assert type(critics.get("dot", implementation="reference")) is DotProductCritic
    with pytest.raises(ValueError, match="'convolve'; expected one of dot, concat, conv, dense"):
        critics.get("convolve")
    with pytest.raises(ValueError, match="'slow'; expected one of fast, reference"):
        critics.get("dot", implementation="slow")

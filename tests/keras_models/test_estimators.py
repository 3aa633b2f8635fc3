import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from estimator_equations import GOLDEN, SHAPES, evaluate

from keras_models import estimators
from keras_models.critics import PairScores


def random_scores(shape, seed=0):
    n, k, locations, globals_ = shape
    rng = np.random.default_rng(seed)
    joint = rng.normal(1, 2, (n, locations, globals_))
    return joint, rng.normal(0, 2, (n, k, locations, globals_))


def finite_differences(function, x):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        gradient[i] = (function(x + step) - function(x - step)) / 2e-6
    return gradient


def test_names():
    assert set(estimators.NAMES) == set(GOLDEN)
    for name in estimators.NAMES:
        assert estimators.get(name).name == name


def test_unknown_name_raises():
    with pytest.raises(ValueError, match="jsd, infonce, dv, nwj, gan, rkl, hellinger, chi2, w1"):
        estimators.get("mine")


def test_kl_is_nwj():
    assert estimators.get("kl") is estimators.get("nwj")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GOLDEN)
def test_value_equals_the_equation(name, shape):
    joint, product = random_scores(shape)
    value, *_ = evaluate(name, joint, product)
    assert value.shape == ()
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, GOLDEN[name](joint, product), rtol=2e-5)


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (3, 2, 2, 2)])
@pytest.mark.parametrize("name", GOLDEN)
def test_gradients_equal_finite_differences(name, shape):
    joint, product = random_scores(shape)
    _, of_joint, of_product = evaluate(name, joint, product)
    golden = GOLDEN[name]
    expected = finite_differences(lambda t: golden(t, product), joint)
    np.testing.assert_allclose(of_joint, expected, rtol=1e-5, atol=1e-6)
    expected = finite_differences(lambda t: golden(joint, t), product)
    np.testing.assert_allclose(of_product, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_graph_and_xla_equal_eager(name, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def compiled(joint, product):
        return evaluate(name, joint, product)

    scores = [tf.constant(x, tf.float32) for x in random_scores((4, 3, 4, 2))]
    for out, expected in zip(compiled(*scores), evaluate(name, *scores), strict=True):
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("signs", list(itertools.product((-1e4, 1e4), repeat=2)))
@pytest.mark.parametrize("name", GOLDEN)
def test_huge_scores_give_finite_values_and_gradients(name, signs):
    joint_score, product_score = signs
    joint = np.full((3, 4, 2), joint_score)
    product = np.full((3, 2, 4, 2), product_score)
    value, *gradients = evaluate(name, joint, product)
    gap = joint_score - product_score
    limit = estimators.EXP_LIMIT

    def tangent(t):
        return np.exp(limit) * (1 + t - limit) if t > limit else np.exp(t)

    expected = {
        "jsd": min(joint_score, 0) - max(product_score, 0),
        "gan": min(joint_score, 0) - max(product_score, 0),
        "dv": gap,
        "w1": gap,
        "nwj": joint_score - tangent(product_score - 1),
        "rkl": -tangent(-joint_score) - (product_score - 1),
        "hellinger": 1 - tangent(-joint_score) - (tangent(product_score) - 1),
        "chi2": joint_score - product_score - product_score**2 / 4,
        # K·L = 8 negatives: log 9 where they do not count, 0 where all scores are equal.
        "infonce": {2e4: np.log(9), 0: 0.0, -2e4: -2e4 + np.log(9 / 8)}[gap],
    }
    np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=2e-3)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", GOLDEN)
def test_mixed_huge_scores_give_finite_values_and_gradients(name):
    joint, product = random_scores((4, 3, 4, 2))
    value, *gradients = evaluate(name, 1e4 * np.sign(joint), 1e4 * np.sign(product))
    assert np.isfinite(value)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", GOLDEN)
def test_merged_chunks_equal_the_whole(name):
    joint, product = (tf.constant(x, tf.float32) for x in random_scores((4, 6, 3, 2)))
    estimator = estimators.get(name)
    whole = estimator.reduce(product)
    first, second, third = (estimator.reduce(x) for x in tf.split(product, [1, 3, 2], axis=1))
    for merged in (first.merge(second).merge(third), third.merge(first.merge(second))):
        tf.nest.map_structure(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), merged, whole
        )
        np.testing.assert_allclose(
            estimator.value(estimator.joint(joint), merged),
            estimator(PairScores(joint, product)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", GOLDEN)
def test_merging_is_finite_for_huge_scores(name):
    estimator = estimators.get(name)
    large, small = (tf.fill([2, 3, 4, 1], t) for t in (1e4, -1e4))
    joint = tf.zeros([2, 4, 1])
    with tf.GradientTape() as tape:
        tape.watch([large, small])
        state = estimator.reduce(large).merge(estimator.reduce(small))
        value = estimator.value(estimator.joint(joint), state)
    for x in (value, *tape.gradient(value, [large, small])):
        assert np.isfinite(x).all()


def test_info_nce_is_at_most_log_of_one_plus_the_negatives():
    rng = np.random.default_rng(0)
    for seed, (n, k, locations, globals_) in enumerate(SHAPES):
        joint, product = random_scores((n, k, locations, globals_), seed)
        bound = np.log1p(k * locations)
        for scale in rng.uniform(0, 30, 5):
            assert evaluate("infonce", scale * joint, scale * product)[0] <= bound + 1e-5
        perfect, *_ = evaluate("infonce", np.abs(joint) + 100, product)
        np.testing.assert_allclose(perfect, bound, rtol=1e-5)


def test_info_nce_counts_its_own_pair_once_and_no_other_pair_of_its_image():
    """The other locations of an image are positives of their own, never negatives."""
    joint, product = random_scores((3, 2, 4, 1))
    _, of_joint, _ = evaluate("infonce", joint, product)
    negatives = np.exp(product).sum((1, 2))[:, None]
    posterior = np.exp(joint) / (np.exp(joint) + negatives)
    np.testing.assert_allclose(of_joint, (1 - posterior) / joint.size, rtol=1e-4)


def test_info_nce_anchors_at_the_global_feature():
    """Negatives share the global: a constant added to all of its scores changes nothing."""
    joint, product = random_scores((3, 2, 4, 2))
    shift = np.random.default_rng(1).normal(size=(3, 1, 2))
    before, *_ = evaluate("infonce", joint, product)
    after, *_ = evaluate("infonce", joint + shift, product + shift[:, None])
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_donsker_varadhan_averages_the_joint_scores_of_each_image_alone():
    """One pair in each image, location and global: its gradient is exactly 1/(N·L·G)."""
    joint, product = random_scores((4, 3, 2, 2))
    _, of_joint, of_product = evaluate("dv", joint, product)
    np.testing.assert_allclose(of_joint, np.full(joint.shape, 1 / joint.size), rtol=1e-6)
    # The weights of each location's and global's logarithm add up to its share of the mean.
    np.testing.assert_allclose(np.sum(of_product, (0, 1)), np.full((2, 2), -1 / 4), rtol=1e-5)


def test_donsker_varadhan_takes_one_logarithm_for_each_location_and_global():
    """A constant added to the scores of one location, joint and product, changes nothing."""
    joint, product = random_scores((4, 3, 3, 2))
    shift = np.random.default_rng(1).normal(0, 3, (3, 2))
    before, *_ = evaluate("dv", joint, product)
    after, *_ = evaluate("dv", joint + shift, product + shift)
    np.testing.assert_allclose(after, before, rtol=1e-5)


@pytest.mark.parametrize("sample_weight", [1.0, 4.0])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_weighted_sample_equals_its_repetition(name, sample_weight):
    joint, product = (tf.constant(x, tf.float32) for x in random_scores((4, 3, 2, 2)))
    estimator = estimators.get(name)
    value = estimator(PairScores(joint, product), sample_weight)
    repeated = PairScores(
        tf.repeat(joint, int(sample_weight), axis=1), tf.repeat(product, int(sample_weight), axis=2)
    )
    np.testing.assert_allclose(value, estimator(repeated), rtol=1e-5)


def all_samples_of_locations(name, joint, product, size):
    """The mean value over every choice of `size` locations."""
    locations = joint.shape[1]
    estimator = estimators.get(name)
    values = []
    for chosen in itertools.combinations(range(locations), size):
        some = PairScores(tf.gather(joint, chosen, axis=1), tf.gather(product, chosen, axis=2))
        values.append(estimator(some, locations / size))
    return np.mean(values)


@pytest.mark.parametrize("name", [n for n in GOLDEN if n != "infonce"])
def test_sampled_locations_are_unbiased(name):
    """DV too: it takes one logarithm a location, and all images share the locations."""
    joint, product = (tf.constant(x, tf.float32) for x in random_scores((4, 3, 6, 1)))
    whole = estimators.get(name)(PairScores(joint, product))
    sampled = all_samples_of_locations(name, joint, product, 2)
    np.testing.assert_allclose(sampled, whole, rtol=1e-4)


def test_bias_of_sampled_locations_in_info_nce():
    """Half the relative variance of the sampled sum, upwards; without rescaling it is log(L/S)."""
    rng = np.random.default_rng(0)
    joint = tf.constant(rng.normal(0, 0.3, (4, 8, 1)), tf.float32)
    product = rng.normal(0, 0.5, (4, 60, 8, 1))
    # Locations that differ, as they do in images: else the samples' sums would all be equal.
    product = tf.constant(product + rng.normal(0, 0.5, (4, 1, 8, 1)), tf.float32)
    whole = float(estimators.info_nce(PairScores(joint, product)))
    for size in (2, 4):
        bias = all_samples_of_locations("infonce", joint, product, size) - whole
        sums = tf.reduce_sum(tf.exp(product), axis=(1, 3)).numpy()  # [N, L]
        variance = sums.var(axis=1, ddof=1) / size * (1 - size / 8)
        predicted = np.mean(0.5 * variance / sums.mean(axis=1) ** 2)
        assert 0.01 < predicted < 0.2
        np.testing.assert_allclose(bias, predicted, rtol=0.3)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("infonce", tfp.vi.mutual_information.lower_bound_info_nce),
        ("jsd", tfp.vi.mutual_information.lower_bound_jensen_shannon),
        ("nwj", tfp.vi.mutual_information.lower_bound_nguyen_wainwright_jordan),
    ],
)
def test_equals_tensorflow_probability(name, bound):
    matrix = np.random.default_rng(0).normal(0, 2, (6, 6)).astype(np.float32)
    product = np.array([np.delete(row, n) for n, row in enumerate(matrix)])
    value, *_ = evaluate(name, np.diag(matrix)[:, None, None], product[..., None, None])
    np.testing.assert_allclose(value, bound(tf.constant(matrix)), rtol=1e-5)


@pytest.mark.parametrize("excluded", [None, [3, 0, 1, 0]])
def test_info_nce_of_vectors_is_the_equation(excluded):
    """Query by query in float64; row `positive` is the query's own key."""
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    positive = [1, 2, 0, 4]
    losses, best = [], []
    for i, key in enumerate(positive):
        scores = {k: queries[i] @ keys[k] for k in range(5) if not excluded or k != excluded[i]}
        losses.append(-np.log(np.exp(scores[key]) / sum(np.exp(s) for s in scores.values())))
        best.append(max(scores, key=scores.get) == key)
    loss, accuracy = estimators.info_nce_of_vectors(
        tf.constant(queries, tf.float32),
        tf.constant(keys, tf.float32),
        tf.constant(positive),
        excluded and tf.constant(excluded),
    )
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(accuracy, np.mean(best))

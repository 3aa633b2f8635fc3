import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_models import estimators
from keras_models.critics import PairScores

SHAPES = [(4, 3, 1, 1), (4, 3, 4, 1), (4, 3, 1, 2), (3, 2, 4, 3), (3, 1, 4, 2)]


def softplus(t):
    return np.log1p(np.exp(t))


def jensen_shannon(joint, product):
    return np.mean(-softplus(-joint)) - np.mean(softplus(product))


def info_nce(joint, product):
    images, locations, globals_ = joint.shape
    bounds = []
    for n in range(images):
        for g in range(globals_):
            negatives = product[n, :, :, g].ravel()
            for l in range(locations):  # noqa: E741
                candidates = np.append(negatives, joint[n, l, g])
                bounds.append(joint[n, l, g] - np.log(np.mean(np.exp(candidates))))
    return np.mean(bounds)


def donsker_varadhan(joint, product):
    _, locations, globals_ = joint.shape
    bounds = []
    for l in range(locations):  # noqa: E741
        for g in range(globals_):
            of_joint = np.mean([t[l, g] for t in joint])
            of_product = np.mean([np.exp(t[l, g]) for others in product for t in others])
            bounds.append(of_joint - np.log(of_product))
    return np.mean(bounds)


def nguyen_wainwright_jordan(joint, product):
    return np.mean(joint) - np.mean(np.exp(product - 1))


def gan(joint, product):
    """The logarithms of the probabilities that a discriminator tells."""
    sigmoid = 1 / (1 + np.exp(-joint)), 1 / (1 + np.exp(-product))
    return np.mean(np.log(sigmoid[0])) + np.mean(np.log(1 - sigmoid[1]))


def fenchel_dual(activation, conjugate):
    """E[g(t)] - E[f*(g(t'))], with the rows of f-GAN's tables 1 and 2."""

    def value(joint, product):
        return np.mean(activation(joint)) - np.mean(conjugate(activation(product)))

    return value


GOLDEN = {
    "jsd": jensen_shannon,
    "infonce": info_nce,
    "dv": donsker_varadhan,
    "nwj": nguyen_wainwright_jordan,
    "gan": gan,
    "rkl": fenchel_dual(lambda t: -np.exp(-t), lambda v: -1 - np.log(-v)),
    "hellinger": fenchel_dual(lambda t: 1 - np.exp(-t), lambda v: v / (1 - v)),
    "chi2": fenchel_dual(lambda t: t, lambda v: v**2 / 4 + v),
    "w1": fenchel_dual(lambda t: t, lambda v: v),
}


def random_scores(shape, seed=0):
    n, k, locations, globals_ = shape
    rng = np.random.default_rng(seed)
    joint = rng.normal(1, 2, (n, locations, globals_))
    return joint, rng.normal(0, 2, (n, k, locations, globals_))


def evaluate(name, joint, product):
    """The estimator's value and its gradients."""
    joint, product = tf.cast(joint, tf.float32), tf.cast(product, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([joint, product])
        value = estimators.get(name)(PairScores(joint, product))
    return value, *tape.gradient(value, [joint, product])


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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GOLDEN)
def test_where_joint_and_product_are_one_distribution_the_optimum_is_that_of_no_divergence(
    name, shape
):
    """The best critic then says 'equal densities' everywhere; every sample counts once."""
    n, _, locations, globals_ = shape
    no_divergence = {"jsd": -2 * np.log(2), "gan": -2 * np.log(2)}.get(name, 0.0)
    t = critic_of_ratio(name, 0.0)
    value, of_joint, of_product = evaluate(
        name, np.full((n, locations, globals_), t), np.full(shape, t)
    )
    np.testing.assert_allclose(value, no_divergence, atol=1e-6)
    # At the optimum a constant added to all scores gains nothing.
    np.testing.assert_allclose(np.sum(of_joint) + np.sum(of_product), 0, atol=1e-6)


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


# What is known: correlated Gaussians, whose best critic is known too.


def critic_of_ratio(name, log_ratio):
    """The best critic's score where the log density ratio is `log_ratio`: f'(ratio), f-GAN."""
    ratio = np.exp(log_ratio)
    return {
        "nwj": 1 + log_ratio,
        "hellinger": 0.5 * log_ratio,
        "chi2": 2 * (ratio - 1),
    }.get(name, log_ratio)


def gaussian_log_ratio(x, y, rho):
    """Log p(x, y) / (p(x)·p(y)) of standard Gaussians, d pairs with correlation rho; [..., d]."""
    quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    return np.sum(-0.5 * np.log(1 - rho**2) - quadratic, axis=-1)


def correlation(nats, dim):
    """Of each of `dim` pairs, so that together they have that mutual information."""
    return np.sqrt(1 - np.exp(-2 * nats / dim))


@functools.cache
def gaussian_log_ratios(nats, dim, images=1000):
    """Of joint pairs [N, 1, 1] and product pairs [N, N-1, 1, 1]."""
    rng = np.random.default_rng(0)
    rho = correlation(nats, dim)
    y = rng.normal(size=(images, dim))
    x = rho * y + np.sqrt(1 - rho**2) * rng.normal(size=(images, dim))
    pairs = gaussian_log_ratio(x[np.newaxis], y[:, np.newaxis], rho)  # [global, local]
    product = np.array([np.delete(row, n) for n, row in enumerate(pairs)])
    return np.diag(pairs)[:, None, None], product[..., None, None]


def closed_form(name, nats, dim):
    """The divergence of the two Gaussians that the estimator bounds."""
    rho2 = correlation(nats, dim) ** 2
    return {
        "infonce": nats,
        "dv": nats,
        "nwj": nats,
        "rkl": dim * (rho2 / (1 - rho2) + 0.5 * np.log(1 - rho2)),
        "hellinger": 2 - 2 * ((1 - rho2) ** 0.25 / (1 - rho2 / 4) ** 0.5) ** dim,
        "chi2": (1 - rho2) ** -dim - 1,
    }[name]


# χ² averages squared density ratios, whose spread is endless for strong dependence.
KNOWN = [
    *itertools.product(["infonce", "dv", "nwj", "rkl", "hellinger"], [0.5, 1.0]),
    ("chi2", 0.05),
]


@pytest.mark.parametrize("dim", [1, 4, 16])
@pytest.mark.parametrize(("name", "nats"), KNOWN)
def test_best_critic_reaches_the_divergence_of_gaussians(name, nats, dim):
    ratios = gaussian_log_ratios(nats, dim)
    joint, product = (critic_of_ratio(name, r) for r in ratios)
    value, *_ = evaluate(name, joint, product)
    # The standard error of what is averaged over 1000 images, those of the product samples by
    # image, twice because each is in the pairs of both locations.
    golden = GOLDEN.get(name)
    if name in ("infonce", "dv"):
        terms = joint[:, 0, 0] - np.exp(product[:, :, 0, 0]).mean(1)
    else:
        terms = np.array([golden(j, p) for j, p in zip(joint, product, strict=True)])
    error = 4 * 2 * terms.std() / np.sqrt(len(terms))
    assert error < 0.5 * closed_form(name, nats, dim) + 0.3
    np.testing.assert_allclose(value, closed_form(name, nats, dim), atol=error)


@pytest.mark.parametrize("name", [n for n in GOLDEN if n != "w1"])
def test_best_critic_is_a_maximum(name):
    """On the same samples, critics that are half or one and a half times as sure get less."""
    ratios = gaussian_log_ratios(0.05 if name == "chi2" else 0.5, 4, images=400)

    def value(sureness):
        return evaluate(name, *(critic_of_ratio(name, sureness * r) for r in ratios))[0]

    assert value(1.0) > value(0.5)
    assert value(1.0) > value(1.5)


@pytest.mark.parametrize("name", [n for n in GOLDEN if n != "w1"])
def test_log_ratio_undoes_the_best_critic(name):
    log_ratio = np.linspace(-3, 3, 13)
    read = estimators.get(name).log_ratio(tf.constant(critic_of_ratio(name, log_ratio)))
    np.testing.assert_allclose(read, log_ratio, atol=1e-6)


def test_a_score_of_wasserstein_tells_no_ratio():
    assert estimators.get("w1").log_ratio is None


def test_info_nce_reaches_no_more_than_its_negatives_allow():
    """5 nats with 49 negatives: at most log 50 = 3.9, and close to it with the best critic."""
    joint, product = gaussian_log_ratios(5.0, 4, images=50)
    value, *_ = evaluate("infonce", joint, product)
    assert 0.8 * np.log(50) < value <= np.log(50)


@pytest.mark.parametrize("nats", [0.5, 2.0])
@pytest.mark.parametrize("name", ["jsd", "gan"])
def test_best_critic_reaches_the_jensen_shannon_divergence_by_quadrature(name, nats):
    grid = np.linspace(-8, 8, 401)
    x, y = np.meshgrid(grid, grid)
    product = np.exp(-(x**2 + y**2) / 2) / (2 * np.pi)
    log_ratio = gaussian_log_ratio(x[..., None], y[..., None], correlation(nats, 1))
    joint = product * np.exp(log_ratio)
    to_mixture = joint * -np.logaddexp(0, -log_ratio) - product * np.logaddexp(0, log_ratio)
    area = (grid[1] - grid[0]) ** 2
    # JSD = log 2 + ½·∫ [p log(p/(p+q)) + q log(q/(p+q))]
    jsd = np.log(2) + 0.5 * to_mixture.sum() * area
    assert 0 < jsd < np.log(2)
    value, *_ = evaluate(name, *gaussian_log_ratios(nats, 1))
    np.testing.assert_allclose(value, 2 * jsd - 2 * np.log(2), atol=0.07)


@pytest.mark.parametrize("excluded", [None, [3, 0, 1, 0]])
def test_info_nce_of_vectors_is_the_equation(excluded):
    """Query by query in float64; row `positive` is the query's own key."""
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    positive = [1, 2, 0, 4]
    losses, best = [], []
    for i, own in enumerate(positive):
        scores = {k: queries[i] @ keys[k] for k in range(5) if not excluded or k != excluded[i]}
        losses.append(-np.log(np.exp(scores[own]) / sum(np.exp(s) for s in scores.values())))
        best.append(max(scores, key=scores.get) == own)
    loss, accuracy = estimators.info_nce_of_vectors(
        tf.constant(queries, tf.float32),
        tf.constant(keys, tf.float32),
        tf.constant(positive),
        excluded and tf.constant(excluded),
    )
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(accuracy, np.mean(best))

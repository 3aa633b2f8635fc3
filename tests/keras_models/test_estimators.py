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


GOLDEN = {"jsd": jensen_shannon, "infonce": info_nce, "dv": donsker_varadhan}


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
    with pytest.raises(ValueError, match="jsd, infonce, dv"):
        estimators.get("mine")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GOLDEN)
def test_value_equals_the_equation(name, shape):
    joint, product = random_scores(shape)
    value, *_ = evaluate(name, joint, product)
    assert value.shape == ()
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, GOLDEN[name](joint, product), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (3, 2, 2, 2)])
@pytest.mark.parametrize("name", GOLDEN)
def test_gradients_equal_finite_differences(name, shape):
    joint, product = random_scores(shape)
    _, of_joint, of_product = evaluate(name, joint, product)
    golden = GOLDEN[name]
    expected = finite_differences(lambda t: golden(t, product), joint)
    np.testing.assert_allclose(of_joint, expected, atol=1e-6)
    expected = finite_differences(lambda t: golden(joint, t), product)
    np.testing.assert_allclose(of_product, expected, atol=1e-6)


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
    expected = {
        "jsd": min(joint_score, 0) - max(product_score, 0),
        "dv": gap,
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
    share = np.exp(joint) / (np.exp(joint) + negatives)
    np.testing.assert_allclose(of_joint, (1 - share) / joint.size, rtol=1e-4)


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
def test_equal_scores_carry_no_information(shape):
    """Zero for the bounds of mutual information: the logarithm is of the right count."""
    n, _, locations, globals_ = shape
    joint, product = np.full((n, locations, globals_), 0.7), np.full(shape, 0.7)
    for name in ("infonce", "dv"):
        np.testing.assert_allclose(evaluate(name, joint, product)[0], 0, atol=1e-6)
    at_zero, *_ = evaluate("jsd", 0 * joint, 0 * product)
    np.testing.assert_allclose(at_zero, -2 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("infonce", tfp.vi.mutual_information.lower_bound_info_nce),
        ("jsd", tfp.vi.mutual_information.lower_bound_jensen_shannon),
    ],
)
def test_equals_tensorflow_probability(name, bound):
    matrix = np.random.default_rng(0).normal(0, 2, (6, 6)).astype(np.float32)
    product = np.array([np.delete(row, n) for n, row in enumerate(matrix)])
    value, *_ = evaluate(name, np.diag(matrix)[:, None, None], product[..., None, None])
    np.testing.assert_allclose(value, bound(tf.constant(matrix)), rtol=1e-5)


CORRELATION = 0.7


def log_density_ratio(x, y):
    """Log p(x, y) / (p(x)·p(y)) of correlated standard Gaussians, the optimal critic."""
    rho = CORRELATION
    quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    return -0.5 * np.log(1 - rho**2) - quadratic


@pytest.fixture(scope="module")
def gaussian_scores():
    """The optimal critic's scores of 1000 images with 2 locations."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1000, 1))  # the global features
    x = CORRELATION * y + np.sqrt(1 - CORRELATION**2) * rng.normal(size=(1000, 2))
    pairs = log_density_ratio(x[np.newaxis], y[:, np.newaxis])  # [global, local, L]
    joint = np.array([pairs[n, n] for n in range(1000)])
    product = np.array([np.delete(row, n, axis=0) for n, row in enumerate(pairs)])
    return joint[..., np.newaxis], product[..., np.newaxis]


@pytest.mark.parametrize("name", ["dv", "infonce"])
def test_optimal_critic_reaches_the_mutual_information_of_gaussians(name, gaussian_scores):
    known = -0.5 * np.log(1 - CORRELATION**2)  # 0.337 nats
    value, *_ = evaluate(name, *gaussian_scores)
    # Four standard errors of the mean of 2000 log density ratios (each 0.7) are 0.06.
    np.testing.assert_allclose(value, known, atol=0.06)


def test_optimal_critic_reaches_the_jensen_shannon_divergence_of_gaussians(gaussian_scores):
    grid = np.linspace(-8, 8, 801)
    x, y = np.meshgrid(grid, grid)
    product = np.exp(-(x**2 + y**2) / 2) / (2 * np.pi)
    log_ratio = log_density_ratio(x, y)
    joint = product * np.exp(log_ratio)
    to_mixture = joint * -softplus(-log_ratio) + product * -softplus(log_ratio)
    area = (grid[1] - grid[0]) ** 2
    # JSD = log 2 + ½·∫ [p log(p/(p+q)) + q log(q/(p+q))]
    jsd = np.log(2) + 0.5 * to_mixture.sum() * area
    assert 0 < jsd < np.log(2)
    value, *_ = evaluate("jsd", *gaussian_scores)
    np.testing.assert_allclose(value, 2 * jsd - 2 * np.log(2), atol=0.03)

"""The best critic's scores reach the divergence of known distributions."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from estimator_equations import GOLDEN, SHAPES, evaluate

from keras_models import estimators


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


# χ² averages squared density ratios, whose variance is infinite for strong dependence.
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

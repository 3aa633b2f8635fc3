"""The bound that NDM and MINE maximise: true where samples can tell, limited where they cannot."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf.evaluation.kl_divergence import MAX_NATS, MIXTURE_WEIGHT, describe_limits, kl_bound
from keras_models.estimators import donsker_varadhan


def test_its_definition():
    p, q = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32) * 3
    q = np.concatenate([q, q - 1])
    mixture = (1 - MIXTURE_WEIGHT) * np.mean(np.exp(q)) + MIXTURE_WEIGHT * np.mean(np.exp(p))
    assert float(kl_bound(tf.constant(p), tf.constant(q))) == pytest.approx(
        np.mean(p) - np.log(mixture), abs=1e-5
    )


def test_below_some_nats_it_is_donsker_varadhan():
    """Of the best critic of two normal distributions that are 2 nats apart."""
    rng = np.random.default_rng(0)
    p, q = (rng.normal(mean, 1, 100_000).astype(np.float32) for mean in (2.0, 0.0))
    best = [tf.constant(2 * x - 2) for x in (p, q)]  # log p/q
    plain = float(donsker_varadhan.of_samples(*best))
    assert plain == pytest.approx(2.0, rel=0.05)
    assert float(kl_bound(*best)) == pytest.approx(plain, abs=5e-3)


def test_samples_that_can_be_told_apart_give_the_limit_and_no_more():
    for score in (30.0, 1e4):
        apart = tf.fill([10], score), tf.fill([30], -score)
        assert float(kl_bound(*apart)) == pytest.approx(MAX_NATS, abs=1e-3)
        assert float(donsker_varadhan.of_samples(*apart)) == pytest.approx(2 * score)


def test_the_evidence_is_told_of_the_number_of_samples():
    assert "at most 11.5 nats; 599 samples" in describe_limits(599)
    assert describe_limits(599).endswith("logarithm, 6.4 nats")

"""Linear classifiers: the same solutions as scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from dim_tf.evaluation import linear_classifier
from dim_tf.evaluation.linear_classifier import Problem
from dim_tf.evaluation.standardisation import moments, standardise
from dim_tf.system.errors import RunError

CLASSES = 3


def samples(count=200):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, count)
    features = 2 * np.eye(CLASSES, 6)[labels] + rng.normal(5.0, 2.0, (count, 6))
    return features.astype(np.float32), labels


def scaled(features):
    return standardise(features, *moments(features)) / features.shape[1] ** 0.5


def test_logistic_regression_equals_scikit_learns():
    features, labels = samples()
    problem = Problem(features, labels, CLASSES, linear_classifier.softmax_loss)
    ours = problem.fit(c=10.0, tolerance=1e-12)
    theirs = LogisticRegression(C=10.0, tol=1e-8, max_iter=1000).fit(scaled(features), labels)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=0.005)
    expected = theirs.decision_function(scaled(features))
    np.testing.assert_allclose(centred(ours.scores(features)), centred(expected), atol=0.005)


def centred(scores):
    """A number added to all scores of an image changes no probability."""
    return scores - scores.mean(axis=1, keepdims=True)


def test_attributes_are_a_logistic_regression_each():
    features, labels = samples()
    attributes = np.eye(CLASSES, dtype=np.int64)[labels]
    problem = Problem(features, attributes, CLASSES, linear_classifier.sigmoid_loss)
    ours = problem.fit(c=10.0, tolerance=1e-12)
    for i in range(CLASSES):
        theirs = LogisticRegression(C=10.0, tol=1e-8).fit(scaled(features), attributes[:, i])
        np.testing.assert_allclose(ours.weights[:, i], theirs.coef_[0], atol=0.005)
        assert ours.bias[i] == pytest.approx(theirs.intercept_[0], abs=0.005)


def test_a_support_vector_machine_equals_scikit_learns():
    features, labels = samples()
    loss = linear_classifier.squared_hinge_loss
    problem = Problem(features, labels, CLASSES, loss, penalise_bias=True)
    ours = problem.fit(c=1.0, tolerance=1e-12)
    theirs = LinearSVC(C=1.0, tol=1e-8, max_iter=10**5).fit(scaled(features), labels)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=0.002)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, atol=0.002)
    assert ours.converged


def test_chunks_and_indices_change_nothing(monkeypatch):
    features, labels = samples()
    indices = np.random.default_rng(1).permutation(200)[:120]

    def fit(features, labels, indices=None):
        loss = linear_classifier.softmax_loss
        return Problem(features, labels, CLASSES, loss, indices=indices).fit(1.0, tolerance=1e-12)

    whole = fit(features[indices], labels[indices])
    monkeypatch.setattr(linear_classifier, "CHUNK_BYTES", 7 * 24)
    chunked = fit(features, labels, indices)
    np.testing.assert_allclose(chunked.scores(features), whole.scores(features), atol=1e-3)
    np.testing.assert_allclose(  # a product's rounding depends on its chunk
        chunked.scores(features, indices), chunked.scores(features)[indices], rtol=0, atol=1e-6
    )


def test_a_start_near_the_solution_takes_fewer_iterations():
    features, labels = samples()
    problem = Problem(features, labels, CLASSES, linear_classifier.softmax_loss)
    warm = problem.fit(11.0, initial=problem.fit(10.0))
    assert warm.iterations < problem.fit(11.0).iterations / 2


def test_a_limit_of_iterations_is_reported():
    features, labels = samples()
    problem = Problem(features, labels, CLASSES, linear_classifier.softmax_loss)
    cut_short = problem.fit(10.0, max_iterations=2)
    assert (cut_short.iterations, cut_short.converged) == (2, False)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_features_that_are_not_finite_are_an_error():
    features, labels = samples()
    features[3, 2] = np.inf
    with pytest.raises(RunError, match="finite"):
        Problem(features, labels, CLASSES, linear_classifier.softmax_loss).fit(1.0)


@pytest.mark.parametrize("loss", ["softmax_loss", "squared_hinge_loss"])
def test_correlated_features_take_few_iterations_to_the_same_solution(loss):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 400)
    mixing = rng.normal(0, 1, (8, 20)) * np.logspace(
        0, -2, 20
    )  # few directions, most of them small
    features = (np.eye(CLASSES, 8)[labels] + rng.normal(0, 1, (400, 8))) @ mixing
    features = (features + 0.01 * rng.normal(0, 1, features.shape)).astype(np.float32)
    plain, preconditioned = (
        Problem(
            features,
            labels,
            CLASSES,
            getattr(linear_classifier, loss),
            penalise_bias=loss == "squared_hinge_loss",
            preconditioned=preconditioned,
        ).fit(c=100.0, tolerance=1e-12)
        for preconditioned in (False, True)
    )
    assert preconditioned.iterations < 0.5 * plain.iterations
    np.testing.assert_allclose(
        centred(preconditioned.scores(features)), centred(plain.scores(features)), atol=0.02
    )


def test_some_eigenvalues_are_enough(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 400)
    features = np.eye(CLASSES, 20)[labels] + rng.normal(0, 1, (400, 20))
    features = (features @ rng.normal(0, 1, (20, 20)) * np.logspace(0, -2, 20)).astype(np.float32)

    def fit(preconditioned):
        loss = linear_classifier.softmax_loss
        problem = Problem(features, labels, CLASSES, loss, preconditioned=preconditioned)
        return problem.fit(c=100.0, tolerance=1e-12)

    monkeypatch.setattr(linear_classifier, "EIGENVALUES", 8)
    monkeypatch.setattr(linear_classifier, "COVARIANCE_IMAGES", 100)
    plain, preconditioned = fit(False), fit(True)
    assert preconditioned.iterations < plain.iterations
    np.testing.assert_allclose(
        centred(preconditioned.scores(features)), centred(plain.scores(features)), atol=0.02
    )


def test_the_roots_of_the_preconditioner_are_inverse():
    features, labels = samples()
    problem = Problem(features, labels, CLASSES, linear_classifier.softmax_loss)
    root, inverse_root = problem._square_roots(3.0)
    weights = np.random.default_rng(0).normal(size=(6, CLASSES))
    np.testing.assert_allclose(inverse_root(root(weights)), weights, atol=1e-9)
    covariance = np.cov(scaled(features).T, bias=True)
    hessian = linear_classifier.CURVATURE * covariance + np.eye(6) / (3.0 * len(features))
    np.testing.assert_allclose(root(root(weights)), hessian @ weights, atol=1e-4)


def test_many_classes_make_chunks_smaller():
    features = np.zeros((40_000, 4), np.float32)
    lengths = {
        outputs: linear_classifier._chunks(features, None, outputs)[0].stop for outputs in (2, 1000)
    }
    assert lengths[2] == linear_classifier.CHUNK_BYTES // 16
    assert lengths[1000] == linear_classifier.CHUNK_BYTES // 4000

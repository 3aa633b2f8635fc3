"""Logistic regression: how strongly it is regularised."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dim_tf.evaluation import logistic_regression
from dim_tf.evaluation.standardisation import moments, standardise


def samples(noise, count=300):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    features = np.eye(3, 20)[labels] + rng.normal(0, noise, (count, 20))
    return features.astype(np.float32), labels


def test_noisier_features_are_regularised_more():
    (_, weak), (_, strong) = (
        logistic_regression.fit(*samples(noise), outputs=3) for noise in (0.1, 3.0)
    )
    assert strong < weak


def test_it_equals_scikit_learns_of_the_same_c():
    features, labels = samples(0.7)
    classifier, c = logistic_regression.fit(features, labels, 3)
    scaled = standardise(features, *moments(features)) / 20**0.5
    theirs = LogisticRegression(C=c, tol=1e-6, max_iter=1000).fit(scaled, labels)
    agreement = classifier.scores(features).argmax(1) == theirs.predict(scaled)
    assert agreement.mean() > 0.99


def test_too_few_images_to_choose_take_the_default():
    features, labels = samples(1.0)
    _, c = logistic_regression.fit(features, labels, 3, indices=np.arange(20))
    assert c == logistic_regression.DEFAULT_C


@pytest.mark.parametrize("multi_label", [False, True])
def test_only_the_given_images_are_seen(multi_label):
    features, labels = samples(1.0)
    if multi_label:
        labels = np.eye(3, dtype=np.int64)[labels]
    features[100:] = np.nan
    classifier, _ = logistic_regression.fit(features, labels, 3, indices=np.arange(100))
    assert np.isfinite(classifier.weights).all()


def test_one_image_of_each_class_takes_the_default():
    rng = np.random.default_rng(0)
    _, c = logistic_regression.fit(rng.normal(size=(60, 8)).astype("f4"), np.arange(60), 60)
    assert c == logistic_regression.DEFAULT_C

"""The linear head: scikit-learn's minimum on raw features, weights of rare classes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from dim_tf.evaluation import linear_classifier
from dim_tf.evaluation.standardisation import moments, standardise
from dim_tf.export.linear_head import LinearHead
from dim_tf.finetuning import class_weights, head
from dim_tf.settings.finetuning import CLASS_WEIGHTS
from dim_tf.system.errors import InputError

NAMES = ("cat", "dog", "owl")
RARE = (0.9, 0.05, 0.05)


def samples(count=300, noise=0.7, probabilities=None):
    rng = np.random.default_rng(0)
    labels = rng.choice(3, count, p=probabilities)
    features = 40 + 5 * (np.eye(3, 20)[labels] + rng.normal(0, noise, (count, 20)))
    return features.astype(np.float32), labels


@pytest.mark.parametrize("weights", CLASS_WEIGHTS)
def test_the_head_on_raw_features_is_scikit_learns_on_standardised_ones(weights):
    features, labels = samples(probabilities=RARE)
    trained, c = head.fit(features, labels, NAMES, class_weights=weights)
    scaled = standardise(features, *moments(features)) / 20**0.5
    theirs = LogisticRegression(
        C=c, tol=1e-8, max_iter=5000, class_weight=None if weights == "none" else weights
    ).fit(scaled, labels)
    np.testing.assert_allclose(
        trained.probabilities(features), theirs.predict_proba(scaled), atol=0.01
    )


def test_balanced_weights_find_more_of_the_rare_class():
    features, labels = samples(1000, 1.5, RARE)
    plain, _ = head.fit(features, labels, NAMES)
    balanced, _ = head.fit(features, labels, NAMES, class_weights="balanced")
    is_rare = labels > 0
    recalls = [
        (trained.logits(features).argmax(1) == labels)[is_rare].mean()
        for trained in (plain, balanced)
    ]
    assert recalls[1] > recalls[0] + 0.2


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 0, 1, 2])
    weights = class_weights.balanced(labels, 3)
    np.testing.assert_allclose(weights[labels], compute_sample_weight("balanced", labels))
    attributes = np.stack([labels == 0, labels > 0], axis=1).astype(int)
    of_attributes = class_weights.balanced(attributes, 2)
    for column, values in enumerate(attributes.T):
        wanted = compute_sample_weight("balanced", values)
        np.testing.assert_allclose(of_attributes[values, column], wanted)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_weighted_gradient_is_that_of_the_weighted_loss(multi_label):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 3))
    labels = rng.integers(0, 2, (5, 3)) if multi_label else np.array([0, 1, 2, 1, 0])
    weights = rng.uniform(0.5, 2, (2, 3) if multi_label else 3)
    loss = linear_classifier.sigmoid_loss if multi_label else linear_classifier.softmax_loss
    _, gradient = loss(labels, scores, weights)
    for index in np.ndindex(scores.shape):
        step = np.zeros_like(scores)
        step[index] = 1e-5
        rise = loss(labels, scores + step, weights)[0] - loss(labels, scores - step, weights)[0]
        assert gradient[index] == pytest.approx(rise / 2e-5, abs=1e-6)


def test_attributes_have_a_head_each():
    features, labels = samples()
    attributes = np.stack([labels == 0, labels > 1], axis=1).astype(np.int64)
    trained, _ = head.fit(features, attributes, ("a", "b"))
    assert trained.multi_label
    predicted = trained.probabilities(features) > 0.5
    assert (predicted == attributes).mean() > 0.75
    assert not np.allclose(trained.probabilities(features).sum(axis=1), 1)


def test_only_the_given_images_are_seen():
    features, labels = samples()
    features[100:] = np.nan
    trained, _ = head.fit(features, labels, NAMES, indices=np.arange(100))
    assert np.isfinite(trained.kernel).all()


def test_a_temperature_divides_the_logits():
    features, labels = samples()
    trained, _ = head.fit(features, labels, NAMES)
    np.testing.assert_allclose(
        trained.at_temperature(2.5).logits(features), trained.logits(features) / 2.5, atol=1e-4
    )


def test_labels_that_nothing_can_be_learned_from_are_refused():
    features, labels = samples()
    with pytest.raises(InputError, match="the class 'emu' has no labelled training image, as 1"):
        head.fit(features, labels, (*NAMES, "emu"))
    with pytest.raises(InputError, match="tells classes apart, and there is 1"):
        head.fit(features, labels * 0, ("cat",))
    attributes = np.stack([labels == 0, labels < 9], axis=1).astype(np.int64)
    with pytest.raises(InputError, match="the attribute 'b' has one value in all 300"):
        head.fit(features, attributes, ("a", "b"))


def test_a_head_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="for 2 labels"):
        LinearHead(np.zeros((4, 3), np.float32), np.zeros(3, np.float32), ("a", "b"))

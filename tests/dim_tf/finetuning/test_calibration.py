"""The temperature is the least of a convex loss; the calibration error is the definition's."""

import numpy as np
import pytest

from dim_tf.finetuning import calibration
from dim_tf.finetuning.calibration import calibration_error, fit_temperature


def logits_and_labels(multi_label, count=4000):
    """Labels drawn from the probabilities of the logits, whose temperature is then 1."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(count, 4))
    if multi_label:
        return logits, (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("multi_label", [False, True])
def test_overconfident_logits_are_cooled_by_as_much_as_they_were_heated(multi_label):
    logits, labels = logits_and_labels(multi_label)
    fitted = fit_temperature(logits, labels)
    assert fitted.value == pytest.approx(1, abs=0.1)
    heated = fit_temperature(3 * logits, labels)
    assert heated.value == pytest.approx(3 * fitted.value, rel=1e-6)
    assert heated.loss == pytest.approx(fitted.loss, rel=1e-9)
    assert heated.loss < heated.loss_before
    assert not heated.at_limit


@pytest.mark.parametrize("multi_label", [False, True])
def test_no_temperature_near_it_has_a_smaller_loss(multi_label):
    logits, labels = logits_and_labels(multi_label, 50)
    fitted = fit_temperature(logits, labels)
    losses = [
        calibration.negative_log_likelihood(logits, labels, factor / fitted.value)
        for factor in (0.99, 1, 1.01)
    ]
    assert losses[1] == min(losses)
    assert losses[1] == pytest.approx(fitted.loss, rel=1e-12)


def test_images_that_are_all_right_or_all_wrong_reach_a_limit():
    logits = np.array([[3.0, 0.0], [0.0, 2.0]])
    right, wrong = (fit_temperature(logits, np.array(x)) for x in ([0, 1], [1, 0]))
    assert (right.value, wrong.value) == pytest.approx(calibration.LIMITS)
    assert right.at_limit
    assert wrong.at_limit


def test_the_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.35, 0.65]])
    measured = calibration_error(probabilities, np.array([0, 1, 1, 1]), bins=5)
    # Two of four predictions in (0.8, 1]: 0.925 against 1/2; two in (0.6, 0.8] and (0.4, 0.6].
    assert measured.error == pytest.approx((2 * 0.425 + 0.35 + 0.4) / 4)
    assert [b.count for b in measured.bins] == [0, 0, 1, 1, 2]
    assert measured.bins[4].accuracy == 0.5


def test_a_bins_upper_edge_belongs_to_it():
    measured = calibration_error(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0]), bins=2)
    assert [b.count for b in measured.bins] == [1, 1]
    assert measured.error == pytest.approx(0.25)


def test_of_attributes_each_answer_is_a_prediction():
    measured = calibration_error(np.array([[0.9, 0.2]]), np.array([[1, 1]]), bins=2)
    assert measured.bins[1].count == 2
    assert measured.error == pytest.approx(abs(0.85 - 0.5))


def test_calibrated_probabilities_have_a_small_error_and_heated_ones_a_large_one():
    logits, labels = logits_and_labels(False)
    errors = []
    for factor in (1, 3):
        x = np.exp(factor * logits)
        errors.append(calibration_error(x / x.sum(axis=1, keepdims=True), labels).error)
    assert errors[0] < 0.03 < 0.1 < errors[1]

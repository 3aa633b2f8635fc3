"""AUROCs of images and pixels; what cannot be measured is refused."""

import numpy as np
import pytest

from dim_tf.collection.patches import anomaly_metrics
from dim_tf.system.errors import InputError

SCORES = np.array([0.1, 0.5, 0.3, 0.9])
ANOMALOUS = np.array([False, False, True, True])


def test_image_scores_against_the_threshold():
    metrics = anomaly_metrics.measure(SCORES, ANOMALOUS, 0.2)
    assert metrics.image_auroc == 0.75  # three of four pairs
    assert metrics.image_interval[0] <= 0.75 <= metrics.image_interval[1]
    assert (metrics.false_alarms, metrics.detected, metrics.pixel_auroc) == (0.5, 1.0, None)


def test_each_type_of_defect_is_compared_with_all_normal_images():
    scores = np.array([0.1, 0.5, 0.3, 0.9, 0.2, 0.95])
    is_anomalous = np.array([False, False, True, True, True, True])
    kinds = ["good", "ok", "scratch", "bent", "scratch", "bent"]
    bent, scratch = anomaly_metrics.measure_types(scores, kinds, is_anomalous, 0.25)
    assert (bent.name, bent.images, bent.image_auroc, bent.detected) == ("bent", 2, 1.0, 1.0)
    assert (scratch.name, scratch.images) == ("scratch", 2)
    assert scratch.image_auroc == 0.5  # above 0.1 and below 0.5
    assert scratch.detected == 0.5
    assert scratch.image_interval[0] <= 0.5 <= scratch.image_interval[1]
    assert bent.image_interval == (1.0, 1.0)


def test_pixels_are_compared_over_all_images():
    heat = np.zeros((4, 5, 5))
    masks = np.zeros((4, 5, 5), bool)
    masks[2, 1, 1] = masks[3, 0, 0] = True
    heat[2, 1, 1] = 2.0
    heat[3, 0, 0] = heat[0, 0, 0] = 1.0
    expected = 1 - 0.5 / (2 * 98)  # one tie of all pairs
    metrics = anomaly_metrics.measure(SCORES, ANOMALOUS, 0.4, heat, masks)
    assert metrics.pixel_auroc == pytest.approx(expected)


def test_of_many_pixels_some_are_drawn():
    rng = np.random.default_rng(0)
    masks = rng.random((10, 40, 40)) < 0.3
    heat = masks + rng.normal(size=masks.shape)
    whole = anomaly_metrics.pixel_auroc(heat, masks)
    drawn = anomaly_metrics.pixel_auroc(heat, masks, 4000)
    assert drawn != whole
    assert abs(drawn - whole) < 0.05


def test_images_of_one_kind_and_masks_of_another_shape_are_refused():
    with pytest.raises(InputError, match="0 of 4 images are anomalous"):
        anomaly_metrics.measure(SCORES, np.zeros(4, bool), 0.4)
    with pytest.raises(InputError, match=r"masks of shape \[4, 3, 3\]"):
        anomaly_metrics.pixel_auroc(np.zeros((4, 2, 2)), np.zeros((4, 3, 3), bool))
    with pytest.raises(InputError, match="no pixel of the masks"):
        anomaly_metrics.pixel_auroc(np.zeros((4, 3, 3)), np.zeros((4, 3, 3), bool))

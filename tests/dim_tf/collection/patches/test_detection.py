"""A detector of normal images: alarms, p-values, places, and their file."""

import csv
import dataclasses
import io
import re

import numpy as np
import pytest

from dim_tf.collection.patches import anomaly
from dim_tf.collection.patches.detection import (
    Alarms,
    alarms_csv,
    check_image_count,
    draw_calibration,
    fit_detector,
)
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.system.errors import InputError

SETTINGS = AnomalySettings(false_alarms=0.1)


def normal(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 4, 5, 6)).astype(np.float16)


def test_normal_images_alarm_at_the_rate_and_strange_ones_always():
    detector = fit_detector(normal(300, 0), SETTINGS)
    alarms = detector.detect(normal(400, 1))
    assert 0.02 < alarms.is_anomalous.mean() < 0.2
    assert 0.4 < alarms.p_values.mean() < 0.6
    strange = normal(3, 2)
    strange[[0, 1, 2], [3, 1, 2], [4, 0, 2]] += 8
    alarms = detector.detect(strange)
    assert alarms.is_anomalous.all()
    assert (alarms.p_values == 1 / 91).all()
    assert (np.abs(alarms.locations - [[3, 4], [1, 0], [2, 2]]) <= 1).all()


def test_no_image_is_in_the_bank_and_chooses_the_threshold():
    maps = normal(40, 0)
    detector = fit_detector(maps, dataclasses.replace(SETTINGS, bank=1.0, neighbourhood=1))
    bank = {patch.tobytes() for patch in detector.bank.patches}
    in_bank = np.array(
        [[patch.tobytes() in bank for patch in image.reshape(-1, 6).astype("f4")] for image in maps]
    )
    assert (in_bank.all(axis=1) | ~in_bank.any(axis=1)).all()
    assert in_bank.all(axis=1).sum() == 28
    calibration = np.sort(anomaly.score(detector.bank, maps[~in_bank.any(axis=1)]).images)
    np.testing.assert_allclose(detector.threshold.normal_scores, calibration, rtol=1e-5)
    assert detector.summary()["calibration_images"] == 12
    other = fit_detector(maps, SETTINGS, seed=1).threshold.normal_scores
    assert not np.allclose(other, fit_detector(maps, SETTINGS).threshold.normal_scores)


def test_near_copies_stay_on_one_side():
    originals = normal(40, 0)
    maps = np.concatenate([originals, originals + np.float16(1e-3)])
    settings = dataclasses.replace(SETTINGS, bank=1.0, neighbourhood=1)
    alone = fit_detector(maps, settings)
    assert alone.threshold.normal_scores[0] < 0.01  # of a copy of what is in the bank
    groups = np.tile(np.arange(40), 2)
    detector = fit_detector(maps, settings, groups=groups)
    assert detector.threshold.normal_scores[0] > 0.5
    assert detector.summary()["calibration_images"] == 24
    assert detector.summary()["calibration_groups"] == 12
    is_drawn = draw_calibration(groups, settings)
    assert (is_drawn[:40] == is_drawn[40:]).all()


def test_groups_too_large_to_choose_the_threshold_are_refused():
    groups = np.concatenate([np.zeros(30, int), np.arange(1, 11)])
    assert draw_calibration(groups, SETTINGS).sum() == 10
    with pytest.raises(
        InputError,
        match=r"40 normal images are 8 groups .* the largest of 33, so that 7 images instead of 12 "
        r"can choose .* at least 9 for --anomaly_false_alarms=0.1; .* or another --group_by",
    ):
        draw_calibration(np.maximum(groups - 3, 0), SETTINGS)


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match=r"which takes at least 9 for --anomaly_false_alarms=0.1"):
        fit_detector(normal(20, 0), SETTINGS)
    with pytest.raises(
        InputError,
        match=r"1 normal images, of which 0 \(.* to choose .*; give at least 29 normal images$",
    ):
        fit_detector(normal(1, 0), SETTINGS)


def test_what_is_advised_where_images_are_too_few_suffices():
    with pytest.raises(InputError) as error:
        check_image_count(24, AnomalySettings())
    advice = re.search(
        r"give at least (\d+) normal images, or --anomaly_false_alarms=(\S+) or more",
        str(error.value),
    )
    least, rate = int(advice[1]), float(advice[2])
    assert check_image_count(least, AnomalySettings()) == 19
    assert check_image_count(24, AnomalySettings(false_alarms=rate)) == 7
    for settings in (AnomalySettings(), AnomalySettings(false_alarms=0.99 * rate)):
        with pytest.raises(InputError):
            check_image_count(least - 1 if settings == AnomalySettings() else 24, settings)
    with pytest.raises(InputError, match=r"4 normal images, of which 4 .* give at least 5 normal"):
        check_image_count(4, AnomalySettings(false_alarms=0.5, calibration=0.9))


def test_the_file_has_the_most_anomalous_image_first():
    alarms = Alarms(
        np.array([1.0, 3.25, 2.0]),
        np.array([0.5, 0.01, 1 / 3]),
        np.array([False, True, False]),
        np.zeros((3, 2, 2)),
        np.array([[0, 1], [1, 0], [1, 1]]),
    )
    rows = list(csv.reader(io.StringIO(alarms_csv(["a", 'b,"c"', "d"], alarms))))
    assert rows == [
        ["id", "score", "p_value", "is_anomalous", "row", "column"],
        ['b,"c"', "3.2500", "0.0100", "1", "1", "0"],
        ["d", "2.0000", "0.3333", "0", "1", "1"],
        ["a", "1.0000", "0.5000", "0", "0", "1"],
    ]

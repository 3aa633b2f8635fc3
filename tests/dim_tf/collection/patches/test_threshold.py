"""A threshold alarms on normal images as often as it says."""

import numpy as np
import pytest

from dim_tf.collection.patches.threshold import choose_threshold
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(("count", "rate"), [(19, 0.05), (50, 0.1), (200, 0.02)])
def test_normal_images_alarm_at_most_at_the_rate(count, rate):
    rng = np.random.default_rng(0)
    thresholds = [choose_threshold(rng.gumbel(size=count), rate) for _ in range(2000)]
    alarm_rates = 1 - np.exp(-np.exp(-np.array([t.value for t in thresholds])))
    assert rate * 0.75 < alarm_rates.mean() <= rate * 1.05
    low, high = thresholds[0].interval
    within = np.mean((low <= alarm_rates) & (alarm_rates <= high))
    assert 0.93 < within < 0.97


def test_it_is_the_last_score_where_no_more_images_are_there():
    assert choose_threshold(np.arange(19.0)[::-1], 0.05).value == 18


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match=r"takes at least 19 normal images .* there are 18"):
        choose_threshold(np.arange(18.0), 0.05)
    with pytest.raises(InputError, match="not finite"):
        choose_threshold(np.full(30, np.nan), 0.05)
    with pytest.raises(InputError, match=r"rate of 1; expected one in \(0, 1\)"):
        choose_threshold(np.arange(30.0), 1.0)


def test_p_values_count_the_normal_images_at_or_above():
    threshold = choose_threshold(np.array([4.0, 1.0, 2.0, 2.0]), 0.5)
    values = threshold.p_values(np.array([0.0, 2.0, 3.0, 9.0]))
    np.testing.assert_allclose(values, [1, 4 / 5, 2 / 5, 1 / 5])

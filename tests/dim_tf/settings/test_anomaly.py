"""Settings of anomaly detection are checked when they are made."""

import pytest

from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"neighbourhood": 4}, "--anomaly_neighbourhood=4; expected an odd number"),
        ({"false_alarms": 0.0}, "--anomaly_false_alarms=0.0; expected more than 0"),
        ({"bank": 1.5}, "--anomaly_bank=1.5; expected at most 1"),
    ],
)
def test_wrong_values_are_refused(values, says):
    with pytest.raises(InputError, match=says):
        AnomalySettings(**values)

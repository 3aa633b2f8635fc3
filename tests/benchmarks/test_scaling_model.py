"""Bytes that devices exchange, compared with counts by hand."""

import pytest
import scaling


@pytest.mark.parametrize(
    ("estimator", "states"),
    [
        ("jsd", 4 * (2 + 2 * 2)),
        ("dv", 4 * (2 + 2 * 2 * 64)),
        ("infonce", 4 * 3 * 2 * (2 * 8)),
    ],
)
def test_exchange_of_two_devices_by_hand(estimator, states):
    settings = scaling.StepSettings(estimator, batch=8, units=32)
    exchanged = scaling.exchanged_bytes(settings, 2, parameters=1000)
    assert exchanged == {"gradients": 4000, "globals": 2 * 4 * 16 * 33, "states": states}


def test_parameters_of_the_critic_are_the_papers():
    # The side from 128 channels alone has 4,728,832; the other's inputs are the 64 globals.
    assert scaling.critic_parameters(128, 2048) == 4_728_832 + 4_728_832 - 2 * 64 * 2048


def test_the_table_of_one_device_exchanges_nothing():
    rows = scaling.model_table(
        scaling.StepSettings("jsd", 64, 512), [1, 8], scaling.Speed(1e12, 1e9, 1e-5)
    )
    assert rows[2].endswith("| 0.00 | 100% |")
    assert not rows[3].endswith("| 0.00 | 100% |")


@pytest.mark.slow
def test_the_formulas_equal_the_bytes_of_the_traced_step(monkeypatch, capsys):
    """`check` exits if they differ."""
    monkeypatch.setattr(scaling, "TRACED", (2,))
    for estimator in scaling.ESTIMATORS:
        scaling.check(estimator)
    assert capsys.readouterr().out.count("| 2 | gradients |") == 3

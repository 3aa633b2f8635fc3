"""Curves and histograms: all is drawn or told, within the axes."""

import math
import re

import numpy as np
import pytest
from sample_report import lines

from dim_tf.evaluation.pictures import Histogram
from dim_tf.evaluation.report import charts


def curves(metrics):
    return charts.curves([charts.Run("", metrics)])


def points(chart, which=0):
    found = re.findall('<polyline class="[^"]*" points="(.*?)"', chart)[which]
    return np.array([pair.split(",") for pair in found.split()], float)


def test_loss_comes_first_the_online_probe_next_and_speed_last():
    metrics = lines(
        5, images_per_second=float, local_mi=float, online_probe=float, loss=lambda s: s / 8
    )
    captions = re.findall(r"<figcaption><b>(.*?)</b> (.*?)</figcaption>", curves(metrics))
    assert captions == [
        ("Loss", "0.625"),
        ("Online probe", "5"),
        ("Local MI", "5"),
        ("Images per second", "5"),
    ]


def test_what_is_recorded_now_and_then_is_drawn_at_its_steps():
    metrics = lines(9, loss=float)
    metrics[2]["online_probe"] = metrics[8]["online_probe"] = 0.5
    probe = re.search(r"Online probe.*?</figure>", curves(metrics), re.DOTALL).group(0)
    assert len(points(probe)) == 2


def test_long_curve_is_aggregated():
    chart = curves(lines(10_000, loss=lambda s: 1 / s))
    assert len(points(chart)) == charts.CURVE_POINTS
    assert "</b> 0.0001</figcaption>" in chart
    assert "means of up to 34 recorded steps" in chart


@pytest.mark.parametrize("count", [1, 299, 300, 301, 599, 100_000])
def test_aggregate_keeps_the_last_value_and_at_most_the_limit(count):
    values = np.random.default_rng(0).normal(size=count)
    found = charts.aggregate(values, 300)
    assert len(found) == min(count, 300)
    assert found[-1] == values[-1]


def test_aggregate_takes_means():
    np.testing.assert_array_equal(charts.aggregate(np.array([1, 3, 5, 7, 9.0]), 3), [2, 6, 9])


def test_values_that_are_not_finite_are_counted_not_drawn():
    values = [1.0, math.nan, 3.0, math.inf]
    chart = curves(lines(4, loss=lambda s: values[s - 1]))
    assert "<b>Loss</b> –</figcaption>" in chart
    assert "2 values are not finite" in chart
    assert len(points(chart)) == 2
    assert "nan" not in chart


def test_curve_without_a_finite_value_is_said_not_dropped():
    chart = curves(lines(3, loss=lambda s: math.nan))
    assert "<b>Loss</b> –</figcaption><small>3 values are not finite</small>" in chart


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_constant_curve_has_finite_coordinates(value, steps):
    assert np.isfinite(points(curves(lines(steps, loss=lambda s: value)))).all()


def test_steep_start_does_not_flatten_the_curve():
    chart = curves(lines(200, loss=lambda s: 1000 if s == 1 else math.sin(s)))
    assert "beyond the axis: 1,000" in chart
    assert np.ptp(points(chart)[1:, 1]) > 30


def test_runs_share_their_axes_and_have_their_letters():
    """The second run has half the steps and values twice as high."""
    runs = [
        charts.Run("A", lines(40, loss=lambda s: 1.0)),
        charts.Run("B", lines(20, loss=lambda s: 2.0, local_mi=float)),
    ]
    chart = charts.curves(runs)
    first, second = points(chart), points(chart, 1)
    assert first[:, 0].max() == pytest.approx(charts.WIDTH)
    assert second[:, 0].max() == pytest.approx(charts.WIDTH * 19 / 39, abs=0.1)
    assert first[0, 1] > second[0, 1]  # of the screen: lower values stand lower
    assert re.findall(r'<text class="mark"[^>]*>(.)<', chart) == ["A", "B", "B"]


def test_nothing_recorded_is_said():
    assert "No training metrics were recorded." in curves([])


def test_histogram_is_as_high_as_its_densities():
    densities = {"encoder": np.array([0.5, 1.0]), "prior": np.array([0.25, 0.0])}
    chart = charts.histogram(Histogram("units", np.array([0.0, 1.0, 3.0]), densities))
    outlines = re.findall(r'<path class="series s(\d) d\d" d="(M[\d.]+ [\dVH.]+)"', chart)
    heights = [
        [charts.HEIGHT - float(y) for y in re.findall(r"V([\d.]+)H", outline)]
        for _, outline in outlines
    ]
    unit = charts.HEIGHT / 1.06
    np.testing.assert_allclose(heights, [[0.5 * unit, unit], [0.25 * unit, 0]], atol=0.06)
    widths = [float(x) for x in re.findall(r"H([\d.]+)", outlines[0][1])]
    np.testing.assert_allclose(widths, [charts.WIDTH / 3, charts.WIDTH], atol=0.06)
    assert "encoder" in chart
    assert "prior" in chart


def test_histogram_of_nothing_is_flat():
    chart = charts.histogram(Histogram("units", np.arange(3.0), {"encoder": np.zeros(2)}))
    assert "nan" not in chart

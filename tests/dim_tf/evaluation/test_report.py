"""The report: self-contained, honest numbers, everything escaped, written atomically."""

import base64
import io
import math
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from dim_tf.evaluation import pictures, report

EXPERIMENT = {"name": "cifar10_jsd", "export_dir": "exported", "dataset": "cifar10", "beta": 1.0}
EVALUATION = {
    "mlp_probe": {"conv": 0.6553, "fc": 0.6412, "global": 0.4987},
    "knn": {"conv": 0.432, "global": math.nan},
    "attribute_auc": {"global": 0.8512},
    "ndm": {"global": 12.3456},
    "uncertainty": {
        "mlp_probe": {
            "conv": {"std": 0.0021, "n": 2, "ci95": [0.646, 0.664]},
            "global": {"std": 0.0349, "n": 1},
        }
    },
    "floors": {
        "random_encoder": {"mlp_probe": {"conv": 0.5123, "global": 0.3512}},
        "pixels": {"mlp_probe": {"pixels": 0.3834}},
    },
    "attributes": {
        "global": {
            "Bald": {"auc": math.nan, "accuracy": 0.9},
            "Smiling": {"auc": 0.91, "accuracy": 0.88},
            "Big_Nose": {"auc": 0.95, "accuracy": 0.8},
        }
    },
    "protocol": {"data": "10,000 images to test on.", "step": 7810},
}
VOID = {"meta", "link", "img"}


@pytest.fixture
def write(tmp_path):
    """Writes a report of what the test gives and returns the page."""

    def _write(**given):
        content = {"experiment": EXPERIMENT, "evaluation": {}, "metrics": [], "panels": []}
        path = tmp_path / "report.html"
        report.write(path, **{**content, "versions": {"keras": "3.1"}, **given})
        return path.read_text(encoding="utf-8")

    return _write


def row(page, heading):
    """The cells of the first row with this heading, without tags."""
    cells = re.search(rf'<th scope="row">{re.escape(heading)}</th>(.*?)</tr>', page).group(1)
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", cells)]


def lines(steps, **values):
    """Lines of metrics.jsonl; each value is a function of the step."""
    return [
        {"step": s, "epoch": 1, **{name: value(s) for name, value in values.items()}}
        for s in range(1, steps + 1)
    ]


def panel(channels, same_label=None, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 4, 6, 5, channels), np.uint8)
    return pictures.NeighbourPanel("global, L1", pixels[:, 0], pixels[:, 1:], same_label)


def decoded(page):
    """The pictures of the page, decoded, in their order."""
    files = re.findall(r'<img src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]


def test_page_loads_nothing(write):
    page = write(evaluation=EVALUATION, metrics=lines(9, loss=lambda s: 1 / s), panels=[panel(3)])
    assert "http:" not in page
    assert "https:" not in page
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert not re.search(r"<script|url\(|@import|\son\w+=", page)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page


def test_page_is_well_formed(write):
    class Parser(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Parser()
    same = np.zeros((2, 3), bool)
    metrics = lines(400, loss=lambda s: 1 / s)
    parser.feed(write(evaluation=EVALUATION, metrics=metrics, panels=[panel(3, same)]))
    assert parser.open == []


def test_sections_stand_in_their_order(write):
    page = write(evaluation=EVALUATION, metrics=lines(9, loss=lambda s: 1 / s), panels=[panel(3)])
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Measures",
        "Training",
        "Attributes",
        "Nearest neighbours",
        "Protocol",
        "Settings",
        "Versions",
        "Use the encoder",
    ]


def test_numbers_are_rounded_and_have_their_spread(write):
    page = write(evaluation=EVALUATION)
    assert row(page, "MLP probe") == ["65.5% ± 0.2", "64.1%", "49.9%"]  # n = 1 shows no spread
    assert row(page, "Attribute AUC")[-1] == "0.851"
    assert "n = 2, 95% interval 64.6% to 66.4%" in page


def test_unknown_measures_are_drawn_as_plain_numbers(write):
    assert row(write(evaluation=EVALUATION), "NDM") == ["–", "–", "12.35"]


def test_floors_stand_under_their_measure(write):
    page = write(evaluation=EVALUATION)
    assert row(page, "random weights") == ["51.2%", "–", "35.1%"]
    assert row(page, "raw pixels") == ["38.3%"]
    assert page.count("raw pixels</th>") == 1  # the other measures have no floors


def test_missing_and_nan_are_dashes_that_say_why(write):
    page = write(evaluation=EVALUATION)
    assert row(page, "Neighbour vote (k-NN)") == ["43.2%", "–", "–"]
    cells = re.search(r"Neighbour vote \(k-NN\)</th>(.*?)</tr>", page).group(1)
    assert re.findall(r'title="(not [^"]*)"', cells) == ["not measured", "not a finite number"]


def test_best_of_a_measure_may_be_a_floor(write):
    floors = {"pixels": {"knn": {"pixels": 0.5}}}
    page = write(evaluation={"knn": {"conv": 0.4, "global": 0.3}, "floors": floors})
    assert re.findall('<strong class="best">(.*?)</strong>', page) == ["50.0%"]


def test_summary_of_attributes_is_an_auc_not_the_majority_answer(write):
    measures = {"auc": 0.70, "balanced_accuracy": 0.60, "accuracy": 0.81, "majority": 0.82}
    evaluation = {f"linear_probe_{m}": {"global": value} for m, value in measures.items()}
    page = write(evaluation=evaluation)
    summary = re.search(r'<p class="summary">(.*?)</p>', page, re.DOTALL)[1]
    assert "AUC" in summary
    assert "0.700" in summary


def test_summary_names_the_best_probe_of_global_and_its_floors(write):
    probes = {"linear_probe": {"conv": 0.9, "global": 0.41}, "knn": {"global": 0.8}}
    of_classes = {m: values for m, values in EVALUATION.items() if "auc" not in m}
    page = write(evaluation={**of_classes, **probes})
    assert (
        "The MLP probe on the global feature reaches <strong>49.9%</strong>, "
        "beside 35.1% with random weights and 38.3% with raw pixels." in page
    )


@pytest.mark.parametrize(
    ("evaluation", "sentence"),
    [
        ({}, "No accuracy of the global feature was measured."),
        ({"mlp_probe": {"conv": 0.5}}, "No accuracy of the global feature was measured."),
        (
            {
                "mlp_probe": {"global": 0.5},
                "floors": {"random_encoder": {"mlp_probe": {"conv": 0.4}}},
            },
            "reaches <strong>50.0%</strong>, no floor was measured beside it.",
        ),
    ],
)
def test_summary_says_what_is_missing(write, evaluation, sentence):
    assert sentence in write(evaluation=evaluation)


def test_attributes_are_sorted_by_auc(write):
    page = write(evaluation=EVALUATION)
    table = page[page.index("<h2>Attributes") :]
    assert re.findall('<th scope="row">(.*?)</th>', table)[:3] == ["Big Nose", "Smiling", "Bald"]
    assert row(page, "Bald") == ["–", "90.0%"]


def test_everything_is_escaped(write):
    bad = '<script>alert("x")</script>'
    result = {bad: {bad: 0.5, "global": 0.4}}
    page = write(
        experiment={**EXPERIMENT, "name": bad, "dataset": bad, bad: bad},
        evaluation={
            **result,
            "floors": {bad: result},
            "uncertainty": {bad: {bad: {"std": 0.1, "n": 2, "ci95": [0, 1]}}},
            "attributes": {bad: {bad: {"auc": 0.5, bad: 0.5}}},
            "protocol": {bad: bad},
        },
        metrics=lines(3, **{bad: float}),
        panels=[pictures.NeighbourPanel(bad, panel(1).queries, panel(1).neighbours, None)],
        versions={bad: bad},
    )
    assert "<script" not in page
    assert 'alert("' not in page
    assert page.count("&lt;script&gt;") > 15


def test_curves_show_loss_first_and_speed_last(write):
    metrics = lines(5, images_per_second=float, local_mi=float, loss=lambda s: s / 8)
    page = write(metrics=metrics)
    captions = re.findall(r"<figcaption><b>(.*?)</b> (.*?)</figcaption>", page)
    assert captions == [("Loss", "0.625"), ("Local MI", "5"), ("Images per second", "5")]


def test_long_curve_is_aggregated(write):
    page = write(metrics=lines(10_000, loss=lambda s: 1 / s))
    points = re.search('<polyline points="(.*?)"', page).group(1).split()
    assert len(points) == report.CURVE_POINTS
    assert "</b> 0.0001</figcaption>" in page
    assert "means of up to 34 recorded steps" in page


@pytest.mark.parametrize("count", [1, 299, 300, 301, 599, 100_000])
def test_aggregate_keeps_the_last_value_and_at_most_300_points(count):
    values = np.random.default_rng(0).normal(size=count)
    points = report.aggregate(values)
    assert len(points) == min(count, 300)
    assert points[-1] == values[-1]


def test_aggregate_takes_means():
    np.testing.assert_array_equal(report.aggregate(np.array([1, 3, 5, 7, 9.0]), 3), [2, 6, 9])


def test_values_that_are_not_finite_are_counted_not_drawn(write):
    values = [1.0, math.nan, 3.0, math.inf]
    page = write(metrics=lines(4, loss=lambda s: values[s - 1]))
    assert "<b>Loss</b> –</figcaption>" in page
    assert "2 values are not finite" in page
    assert len(re.search('<polyline points="(.*?)"', page).group(1).split()) == 2
    assert "nan" not in page[page.index("<svg") : page.index("</figure>")]


def test_curve_without_a_finite_value_is_said_not_dropped(write):
    page = write(metrics=lines(3, loss=lambda s: math.nan))
    assert "<b>Loss</b> –</figcaption><small>3 values are not finite</small>" in page


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_constant_curve_has_finite_coordinates(write, value, steps):
    page = write(metrics=lines(steps, loss=lambda s: value))
    points = re.search('<polyline points="(.*?)"', page).group(1)
    assert np.isfinite([float(x) for x in re.split("[ ,]", points)]).all()


def test_steep_start_does_not_flatten_the_curve(write):
    page = write(metrics=lines(200, loss=lambda s: 1000 if s == 1 else math.sin(s)))
    assert "beyond the axis: 1,000" in page
    heights = re.findall(r",([\d.-]+)", re.search('<polyline points="(.*?)"', page).group(1))
    assert np.ptp([float(height) for height in heights[1:]]) > 30


def test_empty_run(write):
    page = write(panels=[])
    assert "No training metrics were recorded." in page
    assert "This run was not evaluated." in page
    assert "Nearest neighbours" not in page


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_have_the_given_pixels(write, channels):
    given = panel(channels)
    pixels = np.concatenate([given.queries[:, None], given.neighbours], axis=1)
    expected = pixels.reshape(8, 6, 5, channels)
    found = [picture.reshape(6, 5, channels) for picture in decoded(write(panels=[given]))]
    np.testing.assert_array_equal(found, expected)


def test_labels_of_neighbours_are_told_without_colour(write):
    same = np.array([[True, False, False], [True, True, False]])
    page = write(panels=[panel(3, same)])
    assert page.count(', same label"') == 3
    assert page.count(', other label"') == 3
    assert "✓ same label (3 of these 6)" in page


@pytest.mark.parametrize(("dtype", "channels"), [(np.float32, 3), (np.uint8, 4)])
def test_wrong_pictures_are_refused(write, dtype, channels):
    images = np.zeros((1, 2, 8, 8, channels), dtype)
    with pytest.raises(ValueError, match="expected uint8"):
        write(panels=[pictures.NeighbourPanel("wrong", images[:, 0], images, None)])


@pytest.mark.parametrize("count", [9, 10])
def test_samples_are_one_picture_of_all(write, count):
    """Row by row, one white pixel between images and below the last."""
    images = np.random.default_rng(0).integers(0, 200, (count, 6, 5, 3), np.uint8)
    page = write(panels=[pictures.SampleGrid("generated images", images)])
    (sheet,) = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(file))))
        for file in re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    )
    across = 3 if count == 9 else 4
    assert sheet.shape == (7 * 3, 6 * across, 3)
    for i, image in enumerate(images):
        top, left = 7 * (i // across), 6 * (i % across)
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], image)
    assert (sheet[6::7] == 255).all()
    assert f'alt="{count} generated images"' in page


def test_a_generator_has_samples_and_no_measures(write):
    images = np.zeros((4, 6, 5, 1), np.uint8)
    page = write(
        experiment={**EXPERIMENT, "model": "generator"},
        panels=[pictures.SampleGrid("generated images", images)],
    )
    assert "<h2>Samples</h2>" in page
    for heading in ("Measures", "Use the encoder", "Nearest neighbours"):
        assert heading not in page


def test_settings_versions_and_loading(write):
    page = write()
    assert row(page, "beta") == ["1.0"]
    assert "<dt>keras</dt><dd>3.1</dd>" in page
    assert "tf.saved_model.load(&quot;exported/cifar10_jsd/1&quot;)" in page


def test_failing_write_leaves_the_previous_file(tmp_path, write, monkeypatch):
    before = write()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(experiment={**EXPERIMENT, "name": "other"})
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]

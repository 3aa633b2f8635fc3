"""The page: self-contained, in order, everything escaped, written atomically."""

import base64
import dataclasses
import hashlib
import os
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from sample_report import (
    EVALUATION,
    EXPERIMENT,
    every_figure,
    metrics_lines,
    neighbours,
    one_measure,
    projection,
    random_images,
    row,
    section,
    write,
)

from dim_tf.evaluation import figures
from dim_tf.evaluation.measure import NO_LABELS

VOID = {"meta", "link", "img", "input", "br"}


@pytest.fixture
def full(tmp_path):
    """A page with everything."""
    metrics = metrics_lines(9, loss=lambda s: 1 / s, online_probe=lambda s: s / 9)
    return write(tmp_path, evaluation=EVALUATION, metrics=metrics, figures=every_figure())


def test_page_loads_nothing(full):
    assert "https:" not in full
    namespaces = full.count("http://www.w3.org/2000/svg")  # a name, not an address to load
    assert full.count("http:") == namespaces == 1
    sources = re.findall(r'(?:src|href)="([^"]*)"', full)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"url\(|@import|\son\w+=", full)


def test_the_policy_lets_nothing_in_but_the_one_script(full):
    (script,) = re.findall("<script>(.*?)</script>", full, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy"\s+content="(.*?)"', full, re.DOTALL).group(1)
    assert (
        policy.split()
        == (
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'"
        ).split()
    )


def test_page_is_well_formed(full):
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
    parser.feed(full)
    assert parser.open == []


def test_sections_stand_in_their_order_and_can_be_reached(full):
    headings = re.findall("<h2>(.*?)</h2>", full)
    assert headings == [
        "Results",
        "All measures",
        "Training",
        "Reconstructions",
        "Local features",
        "Nearest neighbours",
        "Embeddings",
        "Confusion matrices",
        "Distributions",
        "Samples",
        "Attributes",
        "Protocol",
        "Cost",
        "Settings",
        "Versions",
        "Use the encoder",
    ]
    targets = re.findall(r'<a href="#([^"]*)">', full)
    assert targets == re.findall(r'<section id="([^"]*)">', full)
    assert len(targets) == len(headings)


def test_everything_is_escaped(tmp_path):
    bad = '<script>alert("x")</script>'
    result = {bad: {bad: 0.5, "global": 0.4}}
    counts = np.ones((2, 2), int)
    places = np.zeros((2, 2))
    page = write(
        tmp_path,
        experiment={**EXPERIMENT, "name": bad, "encoder": bad, "export_dir": bad, bad: bad},
        evaluation={
            **result,
            "measures": {bad: {"unit": "fraction", "better": "higher", "title": bad}},
            "references": {bad: result},
            "uncertainty": {bad: {bad: {"std": 0.1, "n": 2, "ci95": [0, 1]}}},
            "attributes": {bad: {bad: {"auc": 0.5, bad: 0.5}}},
            "protocol": {bad: bad},
            "cost": {bad: 1.0},
        },
        metrics=metrics_lines(3, **{bad: float}),
        figures=[
            figures.NeighbourPanel(bad, neighbours().queries, neighbours().neighbours, None),
            figures.SampleGrid(bad, random_images(2)),
            figures.Reconstructions(bad, random_images(2), random_images(2)),
            figures.Projection(bad, places, np.arange(2), (bad, bad), None),
            figures.ConfusionMatrix(bad, counts, (bad, bad)),
            figures.Histogram(bad, np.arange(3.0), {bad: np.ones(2)}),
        ],
        versions={bad: bad},
    )
    page = re.sub('<script>"use strict".*?</script>', "", page, flags=re.DOTALL)
    assert "<script" not in page
    assert 'alert("' not in page
    assert page.count("&lt;script&gt;") > 40


def test_empty_run(tmp_path):
    page = write(tmp_path)
    assert "No training metrics were recorded." in page
    assert "This run was not evaluated." in page
    assert "Nearest neighbours" not in page


def test_without_labels_the_neighbours_come_first(tmp_path):
    unranked = one_measure({"global": 0.5}, better=None)
    unlabelled = unranked | {"protocol": {"linear": f"left out: {NO_LABELS}"}}
    for evaluation, first in ((unranked, "All measures"), (unlabelled, "Nearest neighbours")):
        page = write(tmp_path, evaluation=evaluation, figures=[neighbours()])
        headings = re.findall("<h2>(.*?)</h2>", page)
        assert headings[0] == first
        assert headings.count("Nearest neighbours") == 1


def test_a_generator_has_samples_and_no_measures(tmp_path):
    page = write(
        tmp_path,
        experiment={**EXPERIMENT, "model": "generator"},
        figures=[figures.SampleGrid("generated images", random_images(4, 1))],
    )
    assert "<h2>Samples</h2>" in page
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == ["Training", "Samples", "Settings", "Versions"]


def test_an_external_encoder_has_no_training_curves(tmp_path):
    experiment = {**EXPERIMENT, "encoder_path": "models/external"}
    page = write(tmp_path, experiment=experiment, evaluation=EVALUATION)
    assert "external encoder · cifar10" in page
    assert "<h2>Training</h2>" not in page
    assert 'tf.saved_model.load("models/external")' in unescape(section(page, "Use the encoder"))
    assert "paper, DIM" not in page


def test_settings_versions_and_loading(tmp_path):
    page = write(tmp_path)
    assert row(page, "beta") == ["1.0"]
    assert "<dt>keras</dt><dd>3.1</dd>" in page
    assert 'Path("exported/cifar10_jsd").glob' in unescape(section(page, "Use the encoder"))


def test_the_code_loads_the_newest_version(tmp_path, monkeypatch):
    """The tenth is newer than the ninth."""
    for version in ("9", "10", ".2"):
        (tmp_path / "exported/cifar10_jsd" / version).mkdir(parents=True)
    page = write(tmp_path)
    usage = section(page, "Use the encoder")
    code = unescape(re.search("<code>(from .*?)</code>", usage, re.DOTALL).group(1))
    code = code.split("encoder =")[0].replace("import tensorflow as tf", "")
    monkeypatch.chdir(tmp_path)
    variables = {}
    exec(code, variables)
    assert variables["newest"].name == "10"


def test_failing_write_leaves_the_previous_file(tmp_path, monkeypatch):
    before = write(tmp_path)

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, experiment={**EXPERIMENT, "name": "other"})
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_embedding_plots_are_numbered(tmp_path):
    page = write(tmp_path, figures=[projection(), projection()])
    assert re.findall(r'id="(embedding\d|sheet\d)"', page) == ["embedding1", "sheet1", "embedding2"]


HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}"


def test_no_name_or_label_or_path_becomes_markup(tmp_path):
    """Names of runs, classes and measures come from flagfiles, folders and data sets."""
    figures = every_figure()
    for index, figure in enumerate(figures):
        fields = {f.name for f in dataclasses.fields(figure)}
        new = {"title": HOSTILE} if "title" in fields else {}
        if "label_names" in fields:
            new["label_names"] = (HOSTILE,) * 3
        if "series" in fields:
            new["series"] = {HOSTILE: next(iter(figure.series.values()))}
        figures[index] = dataclasses.replace(figure, **new)
    experiment = dict.fromkeys(EXPERIMENT, HOSTILE) | {"dataset": "cifar10", "epochs": 1}
    info = {"unit": "fraction", "better": "higher", "title": HOSTILE}
    evaluation = {
        HOSTILE: {HOSTILE: 0.5, "global": 0.5},
        "measures": {HOSTILE: info},
        "references": {HOSTILE: {HOSTILE: {"global": 0.1}}, "pixels": {HOSTILE: {"pixels": 0.2}}},
        "attributes": {HOSTILE: {HOSTILE: {HOSTILE: 0.5}}},
        "protocol": {HOSTILE: HOSTILE},
        "cost": {HOSTILE: 1.0},
    }
    for path in ("", HOSTILE):
        page = write(
            tmp_path,
            experiment=experiment | {"encoder_path": path},
            evaluation=evaluation,
            metrics=metrics_lines(3, **{HOSTILE: lambda step: step, "loss": lambda step: step}),
            figures=figures,
            versions={HOSTILE: HOSTILE},
        )
        tags = _Tags()
        tags.feed(page)
        assert tags.scripts == 1
        assert not tags.handlers
        assert tags.sources <= {"data"}
        assert page.count("<script") == 1
        assert "alert(&#39;1&#39;)" in page
        assert "{{ 7 * 7 }}" in page  # no value is a template


class _Tags(HTMLParser):
    """What a browser would run or load of a page."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.sources = 0, [], set()

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.sources |= {value.split(":")[0] for name, value in attrs if name == "src"}

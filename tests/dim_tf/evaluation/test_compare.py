"""Several runs on one page: ordered, the best marked, differences listed, errors in words."""

import json
import math
import re

import pytest
from sample_report import EXPERIMENT, metrics_lines, row, section, write

from dim_tf import preconditions
from dim_tf.evaluation import compare
from dim_tf.experiment import Experiment
from dim_tf.main import run_later_stages
from dim_tf.run import Run
from dim_tf.system.errors import InputError

KINDS = {
    "mlp_probe": {"unit": "fraction", "better": "higher", "title": "MLP probe"},
    "ndm": {"unit": "nats", "better": "lower", "title": "dependence"},
    "rank": {"unit": "", "better": None, "title": "rank"},
}


def evaluation(accuracy, ndm=1.0, half=0.01):
    interval = {"std": None, "n": 1, "ci95": [accuracy - half, accuracy + half]}
    return {
        "mlp_probe": {"conv": accuracy + 0.1, "global": accuracy},
        "ndm": {"global": ndm},
        "rank": {"global": 10 * accuracy},
        "measures": KINDS,
        "uncertainty": {"mlp_probe": {"global": interval}},
        "references": {"random_weights": {"mlp_probe": {"global": 0.3}}},
        "protocol": {"data": "10 images", "step": 5},
    }


@pytest.fixture
def make(tmp_path):
    """Makes a run folder."""

    def _make(name, measured, **settings):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        own = {"name": name, "run_dir": str(folder)}
        experiment = Experiment.of(**{**EXPERIMENT, **own, **settings})
        (folder / "experiment.json").write_text(experiment.to_json())
        if measured is not None:
            (folder / "evaluation.json").write_text(json.dumps(measured))
        recorded = metrics_lines(9, loss=lambda s: 1 / s)
        text = "".join(json.dumps(line) + "\n" for line in recorded)
        (folder / "metrics.jsonl").write_text(text + '{"step": 10, "lo')
        return folder

    return _make


def compared(folder, *runs):
    path = folder / "page" / "report.html"
    compare.write_comparison(path, runs)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path, make):
    worse = make("worse", evaluation(0.5, ndm=0.5), estimator="infonce")
    better = make("better", evaluation(0.7, ndm=2.0), epochs=40)
    write(better, experiment={**EXPERIMENT, "name": "better"}, evaluation=evaluation(0.7))
    return compared(tmp_path, worse, better)


def test_the_best_run_comes_first(page):
    summary = re.search('<p class="summary">(.*?)</p>', page, re.DOTALL)[1]
    assert (
        "<strong>A</strong>&nbsp;better (70.0%), <strong>B</strong>&nbsp;worse (50.0%)" in summary
    )


def test_the_best_of_each_row_is_marked_where_something_ranks(page):
    table = section(page, "All measures")
    rows = re.findall(r'<th scope="row">([^<]*).*?</th>(.*?)</tr>', table)
    best = {
        (heading.strip(), n): re.sub("<[^>]*>", "", cell)
        for n, (heading, cells) in enumerate(rows)
        for cell in re.findall("<td.*?</td>", cells)
        if 'class="best"' in cell
    }
    assert best == {
        ("conv", 1): "80.0%",
        ("global", 2): "70.0%",
        ("global", 5): "0.5",  # lower is better
    }
    assert row(table, "random weights, global") == ["30.0%", "30.0%"]


def test_start_weights_are_those_of_the_runs_that_have_them(tmp_path, make):
    begun = evaluation(0.5)
    begun["references"] = {**begun["references"], "start_weights": {"mlp_probe": {"global": 0.42}}}
    page = compared(tmp_path, make("begun", begun), make("drawn", evaluation(0.4)))
    assert row(section(page, "All measures"), "start weights, global") == ["42.0%", "–"]


@pytest.mark.parametrize(("half", "overlap"), [(0.02, True), (0.005, False)])
def test_values_whose_interval_overlaps_the_best_ones_are_marked(tmp_path, make, half, overlap):
    a, b = make("a", evaluation(0.50, half=half)), make("b", evaluation(0.52, half=half))
    table = section(compared(tmp_path, a, b), "All measures")
    assert row(table, "global") == ["52.0%", "≈ 50.0%" if overlap else "50.0%"]


def test_measures_of_one_run_are_dashes_in_the_other_runs(tmp_path, make):
    more = evaluation(0.5) | {"svm": {"fc": 0.6}}
    more["measures"] = KINDS | {"svm": {"unit": "fraction", "better": "higher", "title": "SVM"}}
    page = compared(tmp_path, make("a", more), make("b", evaluation(0.4)))
    assert row(section(page, "All measures"), "fc") == ["60.0%", "–"]


def test_only_the_settings_that_differ_are_listed(page):
    table = section(page, "Different settings")
    assert row(table, "estimator") == ["jsd", "infonce"]
    assert row(table, "epochs") == ["40", "20"]
    assert re.findall('<th scope="row">(.*?)</th>', table) == ["estimator", "epochs"]
    assert "Different protocols" not in page


def test_a_setting_that_a_runs_model_does_not_have_is_a_dash(tmp_path, make):
    a, b = make("a", evaluation(0.5)), make("b", evaluation(0.4))
    vae = Experiment.of(name="b", model="beta_vae", **{"beta_vae.kl_weight": 3.0})
    (b / "experiment.json").write_text(vae.to_json())
    table = section(compared(tmp_path, a, b), "Different settings")
    assert row(table, "estimator") == ["jsd", "–"]
    assert row(table, "beta_vae.kl_weight") == ["–", "3.0"]


def test_each_run_has_its_summary_and_a_link_to_its_report(page, tmp_path):
    runs = section(page, "Runs")
    (link,) = re.findall('href="(.*?)"', runs)  # worse has no report
    assert (tmp_path / "page" / link).resolve() == tmp_path / "runs/better/report.html"
    assert runs.count("The MLP probe on the global feature reaches") == 2


def test_each_run_has_its_verdict(tmp_path, make):
    sentence = "Training did not help: use raw pixels; knn 20.0 %"
    judged = evaluation(0.5) | {"verdict": {"sentence": sentence, "probe": None}}
    page = compared(tmp_path, make("a", judged), make("b", evaluation(0.4)))
    runs = section(page, "Runs")
    assert "<strong>Training did not help</strong>: use raw pixels; knn 20.0 %" in runs
    assert runs.count("The MLP probe on the global feature reaches") == 1


def test_curves_are_overlaid(page):
    figure = section(page, "Training")
    assert figure.count("<polyline") == 2
    assert re.findall('<text class="run-letter"[^>]*>(.)<', figure) == ["A", "B"]


def test_different_data_sets_are_not_comparable(tmp_path, make):
    a, b = make("a", evaluation(0.5)), make("b", evaluation(0.4), dataset="digits")
    assert "values are not comparable" in compared(tmp_path, a, b)


@pytest.mark.parametrize(
    ("settings", "images", "reason"),
    [
        ({}, "fingerprint a", ""),
        (
            {"validation_fraction": 0.1},
            "fingerprint b",
            "different test images (the data set&#39;s, 10 % held out)",
        ),
        ({}, "fingerprint b", "different copies of the images (fingerprint a, fingerprint b)"),
        ({}, None, ""),  # of an earlier version, which does not tell
    ],
)
def test_different_images_are_not_comparable(tmp_path, make, settings, images, reason):
    first, second = evaluation(0.6), evaluation(0.5)
    first["protocol"]["images"] = "fingerprint a"
    if images:
        second["protocol"]["images"] = images
    text = compared(tmp_path, make("a", first), make("b", second, **settings))
    warnings = re.findall(r'<p class="warning">(.*?)</p>', text, re.DOTALL)
    assert len(warnings) == bool(reason)
    assert reason in "".join(warnings)


def test_measures_by_different_labels_are_not_comparable(tmp_path, make):
    """As where images were moved between class folders."""
    first, second = evaluation(0.6), evaluation(0.5)
    first["protocol"] |= {"images": "the same", "labels_seen": "fingerprint a"}
    second["protocol"] |= {"images": "the same", "labels_seen": "fingerprint b"}
    text = compared(tmp_path, make("a", first), make("b", second))
    assert "different labels (fingerprint a, fingerprint b); their values are not" in text


def test_names_are_escaped(tmp_path, make):
    bad = "<script>alert(1)"
    settings = {"card_note": bad, "encoder": f"{bad}.keras"}
    runs = make("a", evaluation(0.5)), make("b", evaluation(0.4), **settings)
    page = compared(tmp_path, *runs)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in section(page, "Different settings")


def test_the_mode_writes_the_page_and_stands_alone(tmp_path, make, capsys):
    runs = f"{make('a', evaluation(0.5))},{make('b', evaluation(0.4))}"
    experiment = Experiment.of(name="both", runs=runs, run_dir=str(tmp_path / "both"))
    run_later_stages(Run(experiment), ["compare"])
    assert "2 runs compared" in (tmp_path / "both/report.html").read_text(encoding="utf-8")
    assert "both/report.html" in capsys.readouterr().out
    with pytest.raises(InputError, match="stands alone"):
        preconditions.check(experiment, ["evaluate", "compare"])


def test_runs_are_found_by_name_and_by_path(tmp_path, make, monkeypatch):
    a, b = make("a", None), make("b", None)
    monkeypatch.chdir(tmp_path)
    folders = compare.run_folders(f"a, {b}")
    assert [path.resolve() for path in folders] == [a, b]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compare.run_folders("~/runs/a,~/runs/b") == [a, b]
    assert str(compare.page_path(folders, "")) == "runs/compare-a-b/report.html"
    assert str(compare.page_path(folders, "here")) == "here/report.html"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "no run folder ''"),
        ("a", "two or more different"),
        ("a,runs/a", "two or more different"),
        ("a,nothing", "no run folder 'nothing', neither under runs/ nor as a path"),
    ],
)
def test_wrong_runs_are_refused(tmp_path, make, monkeypatch, names, message):
    make("a", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        compare.run_folders(names)


def test_a_page_does_not_replace_the_report_of_a_run(make):
    folder = make("a", None)
    with pytest.raises(InputError, match="holds a run"):
        compare.page_path([folder, folder], str(folder))
    with pytest.raises(InputError, match="give --run_dir"):
        compare.page_path([folder] * 150, "")


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (None, "b has no evaluation.json; run it with --mode=train,evaluate"),
        ({"knn": {"global": 0.5}, "protocol": {}}, "was written by an older version; run"),
        ({"protocol": {}}, "has no measures"),
    ],
)
def test_a_run_that_was_not_evaluated_is_refused(tmp_path, make, measured, message):
    with pytest.raises(InputError, match=message):
        compared(tmp_path, make("a", evaluation(0.5)), make("b", measured))


def test_an_evaluation_that_cannot_be_read_is_refused(tmp_path, make):
    broken = make("b", None)
    (broken / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match=r"evaluation.json cannot be read"):
        compared(tmp_path, make("a", evaluation(0.5)), broken)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"measures": []}, "'measures' is not as"),
        ({"measures": {"knn": {"unit": "percent", "better": None, "title": ""}}}, "'measures'"),
        ({"measures": {"knn": {"unit": "fraction", "title": ""}}}, "'measures' is not as"),
        ({"mlp_probe": [1]}, "'mlp_probe' is not as"),
        ({"mlp_probe": {"global": "0.5"}}, "'mlp_probe' is not as"),
        ({"mlp_probe": {"global": 10**400}}, "'mlp_probe' is not as"),
        ({"mlp_probe": {"global": 1e9}}, "'mlp_probe' is no fraction, it exceeds 1"),
        ({"uncertainty": {"mlp_probe": {"global": {"ci95": [0, 1e9]}}}}, "is no fraction"),
        ({"uncertainty": {"mlp_probe": {"global": {"ci95": "ab"}}}}, "'uncertainty' is not as"),
        ({"references": {"pixels": 3}}, "'references' is not as"),
        ({"cost": {"knn": -1}}, "'cost' is not as"),
        ({"protocol": 5}, "'protocol' is not as"),
        ({"verdict": "yes"}, "'verdict' is not as"),
        ({"verdict": {"sentence": 1}}, "'verdict' is not as"),
        ({"verdict": {"sentence": "", "probe": {"sentence": 1}}}, "'verdict' is not as"),
    ],
)
def test_an_evaluation_of_another_form_is_an_error(tmp_path, make, change, says):
    good, bad = make("good", evaluation(0.5)), make("bad", evaluation(0.5) | change)
    with pytest.raises(InputError, match=f"bad/evaluation.json: .*{says}"):
        compared(tmp_path, good, bad)


def test_an_experiment_without_a_name_is_an_error(tmp_path, make):
    good, bad = make("good", evaluation(0.5)), make("bad", evaluation(0.5))
    (bad / "experiment.json").write_text('{"name": ["a"]}')
    with pytest.raises(InputError, match=r"bad/experiment.json cannot be read \(--name="):
        compared(tmp_path, good, bad)


def test_metrics_that_are_no_numbers_are_left_out(tmp_path, make):
    good, bad = make("good", evaluation(0.5)), make("bad", evaluation(0.5))
    strange = [{"loss": 1}, {"step": "2", "loss": 1}, {"step": 3, "loss": math.inf}]
    strange += [{"step": 4, "loss": [1]}, {"step": 5, "loss": 10**400}]
    (bad / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in strange))
    assert "1 values are not finite" in compared(tmp_path, good, bad)


def test_the_page_needs_a_folder(tmp_path, make):
    runs = make("good", evaluation(0.5)), make("bad", evaluation(0.5))
    (tmp_path / "page").write_text("")
    with pytest.raises(InputError, match=r"page cannot be made .*; give another --run_dir"):
        compared(tmp_path, *runs)

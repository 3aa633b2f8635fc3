"""The calibration of label-free proxies: rank correlations and verdicts of known points."""

import json

import label_free_correlation as correlation
import label_free_report as report
import numpy as np
import pytest
from scipy.stats import spearmanr


def points(datasets=("cifar10", "celeb_a"), runs=6, seed=0):
    """Points whose good proxy orders them as the probes do, with a bad, a coarse and a wrong one.

    Run 0 of each data set is the pixels, run 1 random weights.
    """
    rng = np.random.default_rng(seed)
    result = []
    for d, dataset in enumerate(datasets):
        for run in range(runs):
            objective = {0: "pixels", 1: "random"}.get(run, "dim")
            endpoints = ["pixels"] if run == 0 else ["conv", "fc", "global"]
            for endpoint in endpoints:
                quality = 0.3 if run < 2 else rng.random()
                proxies = {
                    "good": 2 * quality**3,
                    "noise": rng.random(),
                    "alignment, tilted": quality,
                    "spectrum decay": 1 + (1 - quality) * (-1) ** run,
                }
                result.append(
                    {
                        "run": d * runs + run,
                        "dataset": dataset,
                        "objective": objective,
                        "seed": 1 if run == 1 else 0,
                        "step": 10,
                        "endpoint": endpoint,
                        "knn": quality,
                        "linear": quality / 2,
                        "proxies": proxies,
                    }
                )
    return result


def per_image(of_points, n=50):
    """Values of 50 images whose mean is the proxy's, by run."""
    result = {}
    for point in of_points:
        key = f"{point['step']}/{point['endpoint']}/good"
        noise = np.random.default_rng(0).normal(size=n)
        noise -= noise.mean()
        result.setdefault(point["run"], {})[key] = point["proxies"]["good"] + 0.3 * noise
    return result


def test_rank_correlations_are_spearmans_also_with_ties():
    rng = np.random.default_rng(0)
    proxies, probe = rng.integers(0, 5, (30, 3)), rng.integers(0, 7, 30)
    expected = [spearmanr(column, probe).statistic for column in proxies.T]
    np.testing.assert_allclose(correlation.rank_correlations(proxies, probe), expected)
    assert correlation.rank_correlations(np.ones((30, 1)), probe) == [0]


def test_proxies_are_ordered_by_how_they_agree_with_the_probes(monkeypatch):
    monkeypatch.setattr(correlation, "RESAMPLES", 20)
    summary = correlation.summary_of(points(), per_image(points()))
    proxies = summary["proxies"]
    assert list(proxies)[-2:] == ["noise", "alignment, tilted"]
    assert proxies["good"]["knn"]["mean"]["rho"] == 1
    assert proxies["good"]["linear"]["celeb_a"] == {"rho": 1, "ci95": [1, 1]}
    assert proxies["spectrum decay"]["linear"]["mean"]["rho"] > 0.95
    assert proxies["alignment, tilted"]["linear"]["mean"]["rho"] == -1
    low, high = proxies["noise"]["knn"]["mean"]["ci95"]
    assert low < proxies["noise"]["knn"]["mean"]["rho"] < high
    assert {row["proxy"] for row in summary["held_out"]} <= {"good", "spectrum decay"}
    table = report.markdown(summary).splitlines()
    assert table[2].startswith("| good | 1.00 (1.00 to 1.00) |")
    assert len(table) == 6
    (verdicts,) = report.verdict_markdown(summary).splitlines()[2:]
    assert verdicts.startswith("| good | ")
    assert sum(int(n) for n in verdicts.replace("|", ",").split(",") if n.strip().isdigit()) == 48


def test_verdicts_compare_with_the_best_endpoint_of_each_reference():
    compared = correlation.comparisons(points(), "knn")
    assert len(compared) == 2 * 4 * 3 * 2
    of_all = points()
    trained = next(p for p in of_all if p["objective"] == "dim")
    assert compared[0]["probe"] == pytest.approx(trained["knn"] - 0.3)
    assert compared[0]["proxies"]["good"] == pytest.approx(2 * trained["knn"] ** 3 - 2 * 0.3**3)
    assert correlation.right_answers(compared, "good")["balanced"] == 1
    assert correlation.right_answers(compared, "alignment, tilted")["balanced"] == 0
    noise = correlation.right_answers(compared, "noise")
    assert 0 < noise["balanced"] < 1
    assert sum(noise["n"]) == sum(abs(one["probe"]) >= correlation.MARGIN for one in compared)


def test_a_verdict_compares_image_by_image_with_the_best_reference():
    """The images' noise is common to both, so that it does not hide the difference."""
    of_points = points()
    counted = correlation.verdicts(of_points, per_image(of_points), "good", "knn")
    differences = [p["knn"] - 0.3 for p in of_points if p["objective"] == "dim"]
    better = sum(d >= correlation.MARGIN for d in differences)
    worse = sum(d <= -correlation.MARGIN for d in differences)
    assert counted["all"]["yes"][:2] == [better, 0]
    assert counted["all"]["no"][:2] == [0, worse]
    assert counted["all"]["unclear"] == [0, 0, 0]
    assert sum(map(sum, counted["cifar10"].values())) == len(differences) / 2
    noisy = {r: {k: np.roll(v, r) for k, v in of.items()} for r, of in per_image(of_points).items()}
    assert sum(correlation.verdicts(of_points, noisy, "good", "knn")["all"]["unclear"]) > 0


def test_random_weights_of_the_runs_own_seed_are_no_reference():
    same_seed = [{**point, "seed": 0} for point in points()]
    assert {one["reference"] for one in correlation.comparisons(same_seed, "knn")} == {"pixels"}


def test_rows_are_read_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(correlation, "RESAMPLES", 5)
    (tmp_path / "rows").mkdir()
    by_run = {}
    for point in points():
        by_run.setdefault(point["run"], []).append(point)
    for run, of_run in by_run.items():
        row = {name: of_run[0][name] for name in ("dataset", "objective", "seed")}
        path = tmp_path / "rows" / f"{run:02}.json"
        path.write_text(json.dumps({**row, "seconds": 1.0, "points": of_run}))
        np.savez(path.with_suffix(".npz"), **per_image(of_run)[run])
    read = correlation.read_points(tmp_path)
    assert read == points()
    report.draw(
        read, correlation.summary_of(read, correlation.read_per_image(tmp_path)), tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

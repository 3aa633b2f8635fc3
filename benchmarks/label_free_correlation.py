"""How well each proxy that needs no labels orders representations as the probes do.

The statistics of benchmarks/label_free_report.py, on the rows of benchmarks/label_free.py:

- Rank correlation: Spearman's, within a data set over all points (objective, step, endpoint; random
  weights and raw pixels too), and its mean over the data sets; 95 % intervals by resampling runs,
  whose points depend on each other.
- Comparisons: is an endpoint of a trained encoder better than the best endpoint of random weights
  of another seed, or than raw pixels? The fraction of right answers where the probe says that they
  differ by `MARGIN`. Half of the weight is of those where training helped: who always says that it
  did is right in half.
- Verdicts: the same against the better of both references, by the paired bootstrap over images as
  in the product, which may also say that they cannot be told apart; of proxies that have a value of
  each image.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from dim_tf.evaluation import bootstrap

RESAMPLES = 1000
REFERENCES = ("random", "pixels")
MARGIN = 0.02  # of a probe's accuracy or AUC
PROBES = ("knn", "linear")
# Of these less is better, as their authors have it; the exponent of the spectrum is good near 1.
LOWER = ("uniformity", "alignment", "intrinsic dimension")
PerImage = Mapping[int, Mapping[str, np.ndarray]]  # by run and "STEP/ENDPOINT/PROXY"


def read_points(out: Path) -> list[dict]:
    """The points of all rows; `run` numbers the rows."""
    points = []
    for number, path in enumerate(sorted((out / "rows").glob("*.json"))):
        row = json.loads(path.read_text(encoding="utf-8"))
        origin = {name: row[name] for name in ("dataset", "objective", "seed")}
        points += [{"run": number, **origin, **point} for point in row["points"]]
    return points


def read_per_image(out: Path) -> PerImage:
    """The proxies' values of each image."""
    paths = sorted((out / "rows").glob("*.npz"))
    return {number: np.load(path, allow_pickle=False) for number, path in enumerate(paths)}


def oriented(name: str, value: float) -> float:
    """A proxy's value with a sign such that more is said to be better."""
    if name == "spectrum decay":
        return -abs(value - 1)
    return -value if name.split(",")[0] in LOWER else value


def table_of(points: list[dict]) -> tuple[list[str], np.ndarray]:
    """The proxies' names, and their oriented values [points, proxies]."""
    names = list(points[0]["proxies"])
    return names, np.array([[oriented(n, p["proxies"][n]) for n in names] for p in points])


def rank_correlations(proxies: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each column [points, proxies] with the probe [points].

    0 of a constant column.
    """
    ranks, target = rankdata(proxies, axis=0), rankdata(probe)
    ranks -= ranks.mean(axis=0)
    target -= target.mean()
    lengths = np.linalg.norm(ranks, axis=0) * np.linalg.norm(target)
    return target @ ranks / np.where(lengths > 0, lengths, 1)


def correlations(points: list[dict], probe: str, rng: np.random.Generator | None) -> dict:
    """Correlations [proxies] by data set, and their "mean".

    Args:
        points: Of all data sets.
        probe: Of `PROBES`.
        rng: Resamples the runs of each data set; None: as they are.
    """
    values = {}
    for dataset in dict.fromkeys(point["dataset"] for point in points):
        chosen = [point for point in points if point["dataset"] == dataset]
        if rng is not None:
            by_run: dict[int, list[dict]] = {}
            for point in chosen:
                by_run.setdefault(point["run"], []).append(point)
            drawn = rng.choice(list(by_run), len(by_run))
            chosen = [point for run in drawn for point in by_run[run]]
        _, proxies = table_of(chosen)
        values[dataset] = rank_correlations(proxies, np.array([p[probe] for p in chosen]))
    values["mean"] = np.mean(list(values.values()), axis=0)
    return values


def with_intervals(points: list[dict], probe: str) -> dict[str, dict]:
    """By proxy and then by data set or "mean": the correlation and its 95 % interval."""
    names, _ = table_of(points)
    values = correlations(points, probe, None)
    rng = np.random.default_rng(0)
    resampled = [correlations(points, probe, rng) for _ in range(RESAMPLES)]
    result: dict[str, dict] = {name: {} for name in names}
    for where, of_proxies in values.items():
        low, high = np.percentile([one[where] for one in resampled], [2.5, 97.5], axis=0)
        for name, *numbers in zip(names, of_proxies, low, high, strict=True):
            rho, *ci95 = (round(float(number), 3) for number in numbers)
            result[name][where] = {"rho": rho, "ci95": ci95}
    return result


def within_endpoints(points: list[dict], probe: str) -> np.ndarray:
    """The mean over data sets of the correlations [proxies] among points of one endpoint."""
    values = []
    for endpoint in ("conv", "fc", "global"):
        chosen = [point for point in points if point["endpoint"] == endpoint]
        values.append(correlations(chosen, probe, None)["mean"])
    return np.mean(values, axis=0)


def comparisons(points: list[dict], probe: str) -> list[dict]:
    """Trained endpoints against the best endpoint of random weights, and against pixels.

    Returns:
        For each the data set, the reference, the probe's difference and that of each oriented
        proxy [proxies]; the reference takes part with the endpoint that is best by each.
    """
    names, table = table_of(points)
    result = []
    for index, point in enumerate(points):
        if point["objective"] in REFERENCES:
            continue
        for reference in REFERENCES:
            rows = [
                row
                for row, other in enumerate(points)
                if other["objective"] == reference and is_reference(other, point)
            ]
            if rows:
                best = max(points[row][probe] for row in rows)
                result.append(
                    {
                        "dataset": point["dataset"],
                        "reference": reference,
                        "probe": point[probe] - best,
                        "proxies": dict(
                            zip(names, table[index] - table[rows].max(axis=0), strict=True)
                        ),
                    }
                )
    return result


def right_answers(compared: list[dict], name: str) -> dict:
    """How often a proxy's sign is the probe's, where that differs by `MARGIN`.

    Returns:
        "balanced": the mean of the fractions of right answers where training helped and where it
        did not; "helped" and "not": these; "n": their numbers of comparisons.
    """
    signs = {"helped": [], "not": []}
    for one in compared:
        if abs(one["probe"]) >= MARGIN:
            helped = one["probe"] > 0
            signs["helped" if helped else "not"].append((one["proxies"][name] > 0) == helped)
    fractions = {
        key: float(np.mean(right)) if right else float("nan") for key, right in signs.items()
    }
    return {
        "balanced": round(float(np.mean(list(fractions.values()))), 3),
        **{key: round(value, 3) for key, value in fractions.items()},
        "n": [len(right) for right in signs.values()],
    }


def verdicts(points: list[dict], per_image: PerImage, name: str, probe: str) -> dict:
    """What the verdict by a proxy says of trained endpoints, beside what the probe says.

    Args:
        points: From `read_points`.
        per_image: Of the proxies' values.
        name: Of a proxy that has values of each image.
        probe: Of `PROBES`.

    Returns:
        By data set and "all", then by the proxy's answer "yes", "no" or "unclear", numbers of
        endpoints that are better by the probe than the best reference by `MARGIN`, worse by it, and
        neither.
    """
    counts = {
        where: {answer: [0, 0, 0] for answer in ("yes", "no", "unclear")}
        for where in (*dict.fromkeys(point["dataset"] for point in points), "all")
    }
    for point in points:
        if point["objective"] in REFERENCES:
            continue
        references = [r for r in points if is_reference(r, point)]
        best = max(references, key=lambda reference: reference["proxies"][name])
        values = [per_image[p["run"]][f"{p['step']}/{p['endpoint']}/{name}"] for p in (point, best)]
        low, high = bootstrap.mean_interval(np.subtract(*map(np.float64, values)), None)
        answer = "yes" if low > 0 else "no" if high < 0 else "unclear"
        difference = point[probe] - max(reference[probe] for reference in references)
        outcome = 0 if difference >= MARGIN else 1 if difference <= -MARGIN else 2
        for where in (point["dataset"], "all"):
            counts[where][answer][outcome] += 1
    return counts


def is_reference(candidate: dict, point: dict) -> bool:
    """Whether the trained encoder of a point is compared with a point."""
    if candidate["dataset"] != point["dataset"]:
        return False
    random = candidate["objective"] == "random" and candidate["seed"] != point["seed"]
    return random or candidate["objective"] == "pixels"


def held_out_choice(points: list[dict]) -> list[dict]:
    """The best proxy by all data sets but one, and its correlation in that one."""
    names, _ = table_of(points)
    by_dataset = [correlations(points, probe, None) for probe in PROBES]
    datasets = [name for name in by_dataset[0] if name != "mean"]
    result = []
    for held_out in datasets:
        rest = [values[d] for values in by_dataset for d in datasets if d != held_out]
        best = int(np.argmax(np.mean(rest, axis=0)))
        on_held_out = {
            probe: round(float(values[held_out][best]), 3)
            for probe, values in zip(PROBES, by_dataset, strict=True)
        }
        result.append({"held_out": held_out, "proxy": names[best], **on_held_out})
    return result


def summary_of(points: list[dict], per_image: PerImage) -> dict:
    """What docs/results/label_free.json says of each proxy, the best first."""
    names, _ = table_of(points)
    of_probe = {probe: with_intervals(points, probe) for probe in PROBES}
    compared = {probe: comparisons(points, probe) for probe in PROBES}
    endpoint = {probe: within_endpoints(points, probe) for probe in PROBES}
    proxies = {
        name: {
            probe: {
                **of_probe[probe][name],
                "within_endpoints": round(float(endpoint[probe][i]), 3),
                "comparisons": right_answers(compared[probe], name),
            }
            for probe in PROBES
        }
        for i, name in enumerate(names)
    }
    order = sorted(names, key=lambda n: -sum(proxies[n][p]["mean"]["rho"] for p in PROBES))
    kept = {key.split("/", 2)[2] for key in per_image[points[0]["run"]]}
    return {
        "proxies": {name: proxies[name] for name in order},
        "held_out": held_out_choice(points),
        "verdicts": {
            name: {probe: verdicts(points, per_image, name, probe) for probe in PROBES}
            for name in order
            if name in kept
        },
    }

"""The tables and the figure of docs/LABEL_FREE.md.

    python benchmarks/label_free_report.py --out=runs/label_free

Reads the rows of benchmarks/label_free.py, prints the tables, and writes
docs/results/label_free.json and docs/label_free.png; label_free_correlation.py says what is
computed.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from label_free_correlation import (
    PROBES,
    REFERENCES,
    read_per_image,
    read_points,
    summary_of,
)

from dim_tf.system.files import atomic_write_text

TITLES = {
    "cifar10": "CIFAR-10",
    "fashion_mnist": "Fashion-MNIST",
    "celeb_a": "drawn faces",
    "tiny imagenet": "Tiny ImageNet",
}


def best_of_families(proxies: dict) -> list[str]:
    """The best of each family of proxies, whose members differ in the perturbation."""
    families: dict[str, str] = {}
    for name in proxies:
        families.setdefault(name.split(",")[0], name)
    return list(families.values())


def markdown(summary: dict) -> str:
    """A table of the best of each family."""
    proxies = summary["proxies"]
    datasets = [name for name in TITLES if name in next(iter(proxies.values()))["knn"]]
    titles = [TITLES[name] for name in datasets]
    heads = ["proxy", "kNN", "linear", *titles, "one endpoint", "comparisons"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in best_of_families(proxies):
        of_proxy = proxies[name]
        cells = [name]
        for probe in PROBES:
            mean = of_proxy[probe]["mean"]
            cells.append("{:.2f} ({:.2f} to {:.2f})".format(mean["rho"], *mean["ci95"]))
        for where in datasets:
            cells.append(" / ".join(f"{of_proxy[p][where]['rho']:.2f}" for p in PROBES))
        cells.append(" / ".join(f"{of_proxy[p]['within_endpoints']:.2f}" for p in PROBES))
        right = [100 * of_proxy[p]["comparisons"]["balanced"] for p in PROBES]
        cells.append(" / ".join(f"{percent:.0f}" for percent in right))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict_markdown(summary: dict) -> str:
    """A table of the verdicts by the best of each family that has values of each image."""
    heads = ["verdict by", "helped: better, worse, neither", "did not help", "unclear"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in best_of_families(summary["verdicts"]):
        counts = [summary["verdicts"][name][probe]["all"] for probe in PROBES]
        cells = [name]
        for answer in ("yes", "no", "unclear"):
            cells.append(", ".join(map(str, np.sum([of[answer] for of in counts], axis=0))))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(points: list[dict], summary: dict, path: Path) -> None:
    """A panel for the best of each family: the linear probe over the proxy, runs as points.

    Args:
        points: From `read_points`.
        summary: From `summary_of`.
        path: Of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = best_of_families(summary["proxies"])
    columns = 4
    figure, panels = pyplot.subplots(
        -(-len(shown) // columns),
        columns,
        figsize=(14, 3 * -(-len(shown) // columns)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    datasets = [d for d in TITLES if any(point["dataset"] == d for point in points)]
    for panel, name in zip(panels.flat, shown, strict=False):
        for number, dataset in enumerate(datasets):
            chosen = [point for point in points if point["dataset"] == dataset]
            y = np.array([point["linear"] for point in chosen])
            y = (y - y.mean()) / y.std()
            x = np.array([point["proxies"][name] for point in chosen])
            kinds = np.array([point["objective"] for point in chosen])
            for kind, marker in (("trained", "o"), ("random", "^"), ("pixels", "s")):
                mask = kinds == kind if kind != "trained" else ~np.isin(kinds, REFERENCES)
                panel.scatter(
                    x[mask],
                    y[mask],
                    s=12 if kind == "trained" else 45,
                    marker=marker,
                    color=f"C{number}",
                    edgecolors="none" if kind == "trained" else "black",
                    linewidths=0.8,
                    alpha=0.7 if kind == "trained" else 1.0,
                    label=f"{TITLES[dataset]}" if kind == "trained" else None,
                )
        rho = summary["proxies"][name]["linear"]["mean"]
        panel.set_title(
            "{}\nρ = {:.2f} ({:.2f} to {:.2f})".format(name, rho["rho"], *rho["ci95"]), fontsize=10
        )
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(shown) :]:
        panel.axis("off")
    for panel in panels[:, 0]:
        panel.set_ylabel("linear probe, std of the data set")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", title="• trained, ▲ random weights, ■ pixels")
    with path.open("wb") as file:
        figure.savefig(file, dpi=90, format="png")
    pyplot.close(figure)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/label_free"))
    parser.add_argument("--json", type=Path, default=Path("docs/results/label_free.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/label_free.png"))
    arguments = parser.parse_args()
    points = read_points(arguments.out)
    summary = summary_of(points, read_per_image(arguments.out))
    content = {
        "command": "python benchmarks/label_free_report.py",
        "date": time.strftime("%Y-%m-%d"),
        "runs": len({point["run"] for point in points}),
        **summary,
        "points": points,
    }
    text = json.dumps(content, indent=None).replace('{"run"', '\n{"run"')
    atomic_write_text(arguments.json, text + "\n")
    draw(points, summary, arguments.figure)
    print(markdown(summary), verdict_markdown(summary), sep="\n\n", end="\n\n")
    for row in summary["held_out"]:
        print(row)


if __name__ == "__main__":
    main()

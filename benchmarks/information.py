"""Accuracy of MINE and NDM on known dependence.

    python benchmarks/information.py --out=docs/results/information.json

Draws 50,000 samples of normal variables with known mutual information or total correlation: 40,000
train the discriminator and 10,000 are measured on, with the measures' default settings. Adds each
row to the file; the same command resumes after an interruption.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from dim_tf.evaluation.fitting import MeasureTraining
from dim_tf.evaluation.measures.mine import ImageFeatureInformation, mutual_information
from dim_tf.evaluation.measures.ndm import NeuralDependencyMeasure, total_correlation
from dim_tf.system.files import atomic_write_text

SAMPLES, TRAINING = 50_000, 40_000
NATS = (0.5, 1.0, 2.0)
DIMS = {"mine": (1, 2, 4, 8), "ndm": (2, 4, 8)}
MEASURES = {"mine": ImageFeatureInformation, "ndm": NeuralDependencyMeasure}


def correlated_normals(count: int, dim: int, nats: float, seed: int = 0) -> np.ndarray:
    """Standard normal variables with equal correlations and the given total correlation.

    Returns:
        float32 [count, dim]; -½ log det of their correlation matrix is `nats`.
    """

    def excess(rho):
        return -0.5 * ((dim - 1) * np.log1p(-rho) + np.log1p((dim - 1) * rho)) - nats

    rho = brentq(excess, 0.0, 1 - 1e-9)
    matrix = np.full((dim, dim), rho) + (1 - rho) * np.eye(dim)
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(np.zeros(dim), matrix, count).astype(np.float32)


def correlated_pairs(
    count: int, dim: int, nats: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A and B, `dim` independent standard normal variables each, with the given mutual information.

    Returns:
        float32 [count, dim] each; variable i of A is correlated with variable i of B.
    """
    rho = np.sqrt(1 - np.exp(-2 * nats / dim))
    a, noise = np.random.default_rng(seed).normal(size=(2, count, dim))
    b = rho * a + np.sqrt(1 - rho**2) * noise
    return a.astype(np.float32), b.astype(np.float32)


def estimate(measure: str, dim: int, nats: float) -> float:
    """The estimate of the measure "mine" or "ndm" with its default settings, in nats."""
    settings = MEASURES[measure]
    training = MeasureTraining(settings.steps, settings.batch_size, settings.learning_rate)
    if measure == "ndm":
        samples = correlated_normals(SAMPLES, dim, nats)
        return total_correlation(samples[:TRAINING], samples[TRAINING:], training)
    a, b = correlated_pairs(SAMPLES, dim, nats)
    return mutual_information((a[:TRAINING], b[:TRAINING]), (a[TRAINING:], b[TRAINING:]), training)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    out = parser.parse_args().out
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    done = {(row["measure"], row["dim"], row["nats"]) for row in rows}
    for key in [(m, dim, nats) for m in MEASURES for dim in DIMS[m] for nats in NATS]:
        if key in done:
            continue
        began = time.perf_counter()
        value = estimate(*key)
        row = {
            **dict(zip(("measure", "dim", "nats"), key, strict=True)),
            "estimate": round(value, 4),
            "error": round(value / key[2] - 1, 4),
            "seconds": round(time.perf_counter() - began, 1),
        }
        print(row, flush=True)
        rows.append(row)
        head = {
            "command": f"python benchmarks/information.py --out={out}",
            "date": time.strftime("%Y-%m-%d"),
            "samples": f"{TRAINING} to train on, {SAMPLES - TRAINING} to measure on",
        }
        atomic_write_text(out, json.dumps({**head, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

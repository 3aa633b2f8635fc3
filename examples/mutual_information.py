"""Compares estimators on known mutual information.

Trains the encode-and-dot-product critic for each estimator, distribution, dimension, batch size and
true value, on new pairs (x, y) in every step, and writes estimates.json and estimates.png:

    pip install -e '.[examples]'
    python examples/mutual_information.py --out=runs/estimates

dv, nwj and infonce bound mutual information and are plotted directly. The others bound another
divergence: their estimate is the mean of log p(x, y) / (p(x)·p(y)) over joint samples, from the
density ratio of their best critic. w1's best critic has no density ratio, so w1 is left out.

Pairs: "gaussian", D pairs of correlated standard normal variables; "uniform", the same with uniform
margins (a monotonic map of each variable, which does not change the information); "bimodal", for
D = 1: x and y share a sign, and each has normal noise; the true value is computed by quadrature.
"""

import argparse
import itertools
import json
import time
from functools import partial
from pathlib import Path

from dim_tf.system import tensorflow_import

if __name__ == "__main__":
    tensorflow_import.quietly()

import keras
import numpy as np
import tensorflow as tf
from scipy import integrate, optimize, stats

from dim_tf.system.files import atomic_write_text
from keras_models import critics, estimators
from keras_models.distribute.randomness import derive_seed

BOUNDS = ("dv", "nwj", "infonce")
READABLE = tuple(n for n in estimators.NAMES if estimators.get(n).log_ratio is not None)
TEST_BATCHES = 20


def correlation(nats: float, dim: int) -> float:
    """Correlation of each of `dim` pairs of normal variables with this total mutual information."""
    return float(np.sqrt(1 - np.exp(-2 * nats / dim)))


def gaussian_pairs(rho, dim, batch, seed):
    """x, y float32 [batch, dim]."""
    noise = tf.random.stateless_normal([2, batch, dim], seed)
    return noise[0], rho * noise[0] + (1 - rho**2) ** 0.5 * noise[1]


def uniform_pairs(rho, dim, batch, seed):
    """Normal pairs mapped by √3·(2Φ - 1): uniform with variance 1."""
    normal = gaussian_pairs(rho, dim, batch, seed)
    return tuple(3**0.5 * tf.math.erf(x / 2**0.5) for x in normal)


def bimodal_pairs(std, dim, batch, seed):
    """X and y are a common sign plus normal noise of standard deviation `std` each."""
    noise = tf.random.stateless_normal([3, batch, dim], seed)
    sign = tf.sign(noise[0])
    return sign + std * noise[1], sign + std * noise[2]


def bimodal_information(std: float) -> float:
    """Nats, at most log 2: H(x) + H(y) - H(x, y), each by quadrature."""

    def entropy(density, *grid):
        values = density(*grid)
        logs = np.where(values > 0, np.log(np.maximum(values, 1e-300)), 0.0)
        total = values * logs
        for _ in grid:
            total = integrate.simpson(total, x=line, axis=-1)
        return -total

    line = np.linspace(-1 - 8 * std, 1 + 8 * std, 801)
    normal = stats.norm(scale=std).pdf

    def margin(x):
        return 0.5 * normal(x - 1) + 0.5 * normal(x + 1)

    def joint(x, y):
        return 0.5 * normal(x - 1) * normal(y - 1) + 0.5 * normal(x + 1) * normal(y + 1)

    return 2 * entropy(margin, line) - entropy(joint, *np.meshgrid(line, line))


def bimodal_std(nats: float) -> float:
    """The `std` of bimodal pairs with this mutual information, less than log 2."""
    return float(optimize.brentq(lambda s: bimodal_information(s) - nats, 0.1, 10))


def sampler(kind: str, nats: float, dim: int):
    """A function (batch, seed) -> x, y with this mutual information."""
    if kind == "bimodal":
        if dim != 1 or nats >= np.log(2):
            raise ValueError(f"bimodal pairs have D = 1 and under log 2 nats, not {dim}, {nats}")
        return partial(bimodal_pairs, bimodal_std(nats), dim)
    pairs = {"gaussian": gaussian_pairs, "uniform": uniform_pairs}[kind]
    rho = correlation(nats, dim)
    return partial(pairs, rho, dim)


def estimate(
    name: str, kind: str, nats: float, dim: int, batch: int, steps: int, units: int, seed: int = 0
) -> float:
    """Trains a critic and returns its estimate in nats on new pairs.

    Args:
        name: Of the estimator.
        kind: "gaussian", "uniform" or "bimodal".
        nats: True mutual information.
        dim: D.
        batch: Pairs per step; the product samples are all other combinations of them.
        steps: Of Adam.
        units: Of the critic.
        seed: Of the critic's weights and of the pairs.
    """
    keras.utils.set_random_seed(seed)
    draw = sampler(kind, nats, dim)
    estimator = estimators.get(name)
    critic = critics.get("dot", units=units, layer_norm=False)
    critic.build((None, 1, 1, dim), (None, dim))
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(critic.trainable_variables)
    data_seed = derive_seed(seed, "pairs")

    def scores(step, training):
        x, y = draw(batch, tf.stack([data_seed, step]))
        # x is the local side, as 1x1 maps, and y the global side.
        return critic(x[:, tf.newaxis, tf.newaxis], y, training=training)

    @tf.function(jit_compile=True)
    def train(step):
        with tf.GradientTape() as tape:
            loss = -estimator(scores(step, True))
        gradients = tape.gradient(loss, critic.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        optimizer.apply(gradients, critic.trainable_variables)
        return loss

    @tf.function(jit_compile=True)
    def measure(step):
        pair_scores = scores(step, False)
        if name in BOUNDS:
            return estimator(pair_scores)
        return tf.reduce_mean(estimator.log_ratio(pair_scores.joint))

    for step in range(steps):
        train(tf.constant(step))
    return float(np.mean([measure(tf.constant(steps + i)) for i in range(TEST_BATCHES)]))


def plot(rows: list[dict], path: Path) -> None:
    """Plots estimates against the truth, a panel for each kind, dimension and batch size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((r["kind"], r["dim"], r["batch"]) for r in rows))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure, axes = pyplot.subplots(
        down, across, figsize=(4.2 * across, 3.6 * down), squeeze=False, layout="constrained"
    )
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    for (kind, dim, batch), axis in zip(panels, axes.ravel(), strict=False):
        here = [r for r in rows if (r["kind"], r["dim"], r["batch"]) == (kind, dim, batch)]
        truths = sorted({r["nats"] for r in here})
        axis.plot(truths, truths, color="black", linewidth=1, label="truth")
        axis.axhline(np.log(batch), color="gray", linewidth=1, linestyle=":", label="log batch")
        for name in dict.fromkeys(r["estimator"] for r in here):
            points = sorted(
                (r["nats"], np.nan if r["estimate"] is None else r["estimate"])
                for r in here
                if r["estimator"] == name
            )
            axis.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=4,
                linestyle="-" if name in BOUNDS else "--",
                label=name if name in BOUNDS else f"{name} (ratio)",
            )
        axis.set_ylim(-0.3, 1.5 * max(truths) + 0.3)
        axis.set_title(f"{kind}, D = {dim}, batch {batch}", fontsize=10)
        axis.set_xlabel("true mutual information (nats)")
        axis.set_ylabel("estimate (nats)")
    axes.ravel()[0].legend(fontsize=7)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(path)


def settings(arguments):
    """Arguments of `estimate` for each requested run."""
    grid = itertools.product(arguments.dims, arguments.batches, arguments.nats, READABLE)
    for dim, batch, nats, name in grid:
        for kind in arguments.kinds:
            if kind == "bimodal" and (dim != 1 or nats >= np.log(2)):
                continue
            yield {"name": name, "kind": kind, "nats": nats, "dim": dim, "batch": batch}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the results")
    parser.add_argument("--kinds", nargs="+", default=["gaussian", "uniform", "bimodal"])
    parser.add_argument("--dims", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--nats", nargs="+", type=float, default=[0.5, 1.0, 2.0, 5.0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--units", type=int, default=128)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "estimates.json"
    rows = json.loads(results.read_text()) if results.exists() else []
    done = [{k: v for k, v in row.items() if k != "estimate"} for row in rows]
    training = {"steps": arguments.steps, "units": arguments.units}
    for run in settings(arguments):
        key = {
            "estimator": run["name"],
            **{k: v for k, v in run.items() if k != "name"},
            **training,
        }
        if key in done:
            continue
        began = time.perf_counter()
        value = estimate(**run, **training)
        # None: the critic's training diverged.
        rows.append({**key, "estimate": value if np.isfinite(value) else None})
        print(key, f"{value:.3f}", f"{time.perf_counter() - began:.1f} s", flush=True)
        atomic_write_text(results, json.dumps(rows, indent=1) + "\n")  # to resume
    same_training = [row for row in rows if training.items() <= row.items()]
    plot(same_training, arguments.out / "estimates.png")


if __name__ == "__main__":
    main()

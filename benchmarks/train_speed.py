r"""Images/s and memory of a training step, and its fraction of this machine's peak.

    python benchmarks/train_speed.py
    python benchmarks/train_speed.py --torch_python=PYTHON_WITH_TORCH --out=runs/train_speed.json
    python benchmarks/train_speed.py --profile --estimators jsd --units 512 --precisions float32

Prints one table with a row for each combination of the given estimators, units, precisions, batches
and locations. Every row has its own process; rows that differ only in the estimator, and their
PyTorch baselines, are measured in turns. A row has
- images/s, and their ratio to the first estimator's;
- the peak memory of the process in its first steps (TensorFlow itself takes about 0.6 GiB of it);
- the step's floating-point operations, as counted by `step_flops`, and operations per second;
- operations per second of this machine in matrix products of that precision, measured in the same
  turn: 4096x2048 by 2048x2048 by TensorFlow, by NumPy (float32) and with --torch_python by PyTorch,
  and the step's own largest, (batch·locations)xU by UxU, by TensorFlow;
- the step's speed as a fraction of the fastest of these products, the peak.
TensorFlow is set up as `python -m dim_tf.main` does (dim_tf.system.cpu); --plain_tensorflow adds
the same step without that. --two_views takes the objective of flags/cifar10_fast.cfg, the global
features of two augmented views, in place of the paper's; augmentation is a part of its step.
With --torch_python the table has the paper's step in plain PyTorch, too (torch_step.py). A line
below the table compares it with the authors' code on 2 cores of an AMD EPYC with AVX512-BF16; it
counts as a baseline from 95 % of that on, on such a machine.
Each value is the median of --repetitions turns, each ratio the median of the turns' ratios.

--profile prints the operations of a step by their time instead, a table for each row.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from interleaved import Worker, in_turns, load, medians, peak_memory, serve
from matrix_products import make_numpy_product, make_product, product_flops

from dim_tf.system import cpu

PEAK_SHAPE = (4096, 2048, 2048)  # rows, inputs, outputs
# Matrix products that bound the step, by the library that computes them.
PRODUCTS = {"peak": "TensorFlow", "own": "TensorFlow", "numpy": "NumPy", "torch_peak": "PyTorch"}
TORCH_STEP = Path(__file__).with_name("torch_step.py")
TORCH_ESTIMATORS = ("jsd", "infonce")
# (precision, U) -> images/s of the authors' PyTorch code, JSD, batch 64, basic32x32, 2 cores.
AUTHORS_JSD = {
    ("float32", 512): 373,
    ("float32", 2048): 57,
    ("bfloat16", 512): 521,
    ("bfloat16", 2048): 103,
}
BASELINE_FRACTION = 0.95
PROFILED_STEPS = 5
WARM_UP = 3


def no_images(side: int):
    """A data set without images: Deep InfoMax only needs their shape."""
    import numpy as np

    from dim_tf.data.splits import Split, Splits

    split = Split(np.zeros((0, side, side, 3), np.uint8), None)
    return Splits("none", split, split, (), "no images")


def make_step(cell: dict):
    """A function that takes a training step and returns the loss."""
    import numpy as np
    import tensorflow as tf

    from dim_tf.experiment import Experiment
    from dim_tf.training.model import make_model

    two_views = dict(views=2, pairs="global-global", critic_temperature=0.2)
    two_views |= dict(color_jitter_strength=0.5, min_crop_scale=0.2)
    experiment = Experiment.of(
        name="train_speed",
        gamma=0.0,
        encoder=cell["encoder"],
        estimator=cell["estimator"],
        critic_units=cell["units"],
        precision=cell["precision"],
        batch_size=cell["batch"],
        locations=cell["locations"],
        critic_layer_norm=cell["layer_norm"],
        jit_compile=str(cell["jit_compile"]).lower(),
        **(two_views if cell["two_views"] else {}),
    )
    side = int(cell["encoder"].split("x")[-1])
    model = make_model(experiment, no_images(side))
    train_step = tf.function(model.train_step, jit_compile=cell["jit_compile"])
    pixels = np.random.default_rng(0).uniform(-1, 1, (cell["batch"], side, side, 3))
    images = tf.constant(pixels, tf.float32)
    return lambda: float(train_step(images)["loss"])


def serve_cell(cell: dict) -> None:
    """Serves the step and the products of a row as a worker."""
    import step_flops

    step = make_step(cell)
    for _ in range(WARM_UP):
        step()
    memory = peak_memory()
    all_locations, _ = step_flops.local_map(cell["encoder"])
    locations = cell["locations"] or all_locations
    own_shape = (cell["batch"] * locations, cell["units"], cell["units"])
    flops = step_flops.floating_point_operations(
        cell["encoder"],
        cell["units"],
        cell["batch"],
        cell["locations"],
        layer_norm=cell["layer_norm"],
        two_views=cell["two_views"],
    )
    products = {
        "peak": make_product(PEAK_SHAPE, cell["precision"]),
        "own": make_product(own_shape, cell["precision"]),
    }
    if cell["precision"] == "float32":
        products["numpy"] = make_numpy_product(PEAK_SHAPE)
    for product in products.values():
        product()
    tasks = {"step": step, **products}
    facts = {"memory": memory, "flops": flops, "own_shape": own_shape, "tasks": list(tasks)}
    serve(facts, tasks)


def profile(cell: dict) -> None:
    """Prints the operations of a step by their time."""
    import op_profile

    step = make_step(cell)
    for _ in range(WARM_UP):
        step()
    times = op_profile.op_times(op_profile.trace(step, PROFILED_STEPS), PROFILED_STEPS)
    total = sum(time.milliseconds for time in times)
    print(f"\n{json.dumps(cell)}: {total:.1f} ms of operations a step, summed over threads\n")
    print("| operation | a step | ms | % |")
    print("|---|---|---|---|")
    for time in times:
        if time.milliseconds >= 0.001 * total:
            percent = 100 * time.milliseconds / total
            print(f"| {time.op} | {time.count:.0f} | {time.milliseconds:.2f} | {percent:.1f} |")


def measure(
    cells: list[dict], torch_python: str, plain_tensorflow: bool, repetitions: int
) -> list[dict]:
    """Measures in turns rows that differ only in the estimator, and their baselines."""
    workers, measures = {}, {}
    for i, cell in enumerate(cells):
        command = [sys.executable, __file__, f"--worker={json.dumps(cell)}"]
        workers[i] = Worker(command)
        for task in workers[i].facts["tasks"]:
            measures[i, task] = lambda i=i, task=task: workers[i].seconds(task)
    plain_workers = {}
    if plain_tensorflow:
        for i, cell in enumerate(cells):
            plain = json.dumps(cell | {"prepared": False})
            plain_workers[i] = Worker([sys.executable, __file__, f"--worker={plain}"])
            measures[i, "plain"] = lambda i=i: plain_workers[i].seconds("step")
    torch_workers = {}
    if torch_python:
        for i, cell in enumerate(cells):
            if cell["estimator"] in TORCH_ESTIMATORS and _has_torch_step(cell):
                settings = {n: cell[n] for n in ("estimator", "units", "precision", "batch")}
                settings["product_shape"] = PEAK_SHAPE
                torch_workers[i] = Worker([torch_python, str(TORCH_STEP), json.dumps(settings)])
                measures[i, "torch"] = lambda i=i: torch_workers[i].seconds("step")
                measures[i, "torch_peak"] = lambda i=i: torch_workers[i].seconds("product")
    seconds = in_turns(measures, repetitions)
    for worker in (*workers.values(), *plain_workers.values(), *torch_workers.values()):
        worker.close()
    return [
        row(
            cell,
            workers[i].facts,
            {task: turns for (j, task), turns in seconds.items() if j == i},
            first_steps=seconds[0, "step"],
            torch_facts=torch_workers[i].facts if i in torch_workers else None,
        )
        for i, cell in enumerate(cells)
    ]


def _has_torch_step(cell):
    return (
        cell["encoder"] == "basic32x32"
        and not cell["locations"]
        and cell["layer_norm"]
        and not cell["jit_compile"]
        and not cell["two_views"]
    )


def row(
    cell: dict,
    facts: dict,
    seconds: dict[str, list[float]],
    first_steps: list[float],
    torch_facts: dict | None = None,
) -> dict:
    """The results of a row.

    Args:
        cell: Settings.
        facts: Of its worker.
        seconds: By turn, of a "step", of the `PRODUCTS` that were measured, and if there are
            any, of a step of "plain" TensorFlow and of "torch".
        first_steps: Seconds of a step by the first estimator in each turn.
        torch_facts: Of the PyTorch worker.
    """
    median = medians(seconds)
    flops = {"own": product_flops(facts["own_shape"])}
    flops |= {name: product_flops(PEAK_SHAPE) for name in PRODUCTS if name != "own"}
    products = {name: flops[name] / median[name] for name in PRODUCTS if name in seconds}
    fractions = []
    for turn, step in enumerate(seconds["step"]):
        peak = max(flops[name] / seconds[name][turn] for name in products)
        fractions.append(facts["flops"] / step / peak)
    results = {
        **cell,
        "images_per_second": cell["batch"] / median["step"],
        "of_first_estimator": _ratio(first_steps, seconds["step"]),
        "memory": facts["memory"],
        "step_flops": facts["flops"],
        "flops_per_second": facts["flops"] / median["step"],
        "own_shape": facts["own_shape"],
        "products": products,
        "fraction_of_peak": statistics.median(fractions),
        "seconds": seconds,
    }
    if "plain" in seconds:
        results["of_plain_tensorflow"] = _ratio(seconds["plain"], seconds["step"])
    if torch_facts:
        results["torch_images_per_second"] = cell["batch"] / median["torch"]
        results["of_torch"] = _ratio(seconds["torch"], seconds["step"])
        results["torch_memory"] = torch_facts["memory"]
        results["torch_version"] = torch_facts["version"]
    return results


def _ratio(baseline: list[float], seconds: list[float]) -> float:
    """The speed relative to a baseline: the median of the turns' ratios."""
    return statistics.median(b / s for b, s in zip(baseline, seconds, strict=True))


def table(rows: list[dict]) -> str:
    """The rows in Markdown."""
    head = [
        "estimator",
        "U",
        "precision",
        "batch",
        "locations",
        "images/s",
        f"of {rows[0]['estimator']}'s",
        "memory, MiB",
        "GFLOP a step",
        "GFLOP/s",
        f"products {'x'.join(map(str, PEAK_SHAPE))}, GFLOP/s",
        "own product, GFLOP/s",
        "of the peak",
        "ours/TensorFlow's own set-up",
        "PyTorch, images/s",
        "ours/PyTorch",
        "PyTorch's memory, MiB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for r in rows:
        cells = [
            r["estimator"],
            r["units"],
            r["precision"],
            r["batch"],
            r["locations"] or "all",
            f"{r['images_per_second']:.0f}",
            f"{r['of_first_estimator']:.2f}",
            f"{r['memory'] / 2**20:.0f}",
            f"{r['step_flops'] / 1e9:.1f}",
            f"{r['flops_per_second'] / 1e9:.0f}",
            ", ".join(
                f"{PRODUCTS[name]} {speed / 1e9:.0f}"
                for name, speed in r["products"].items()
                if name != "own"
            ),
            f"{r['products']['own'] / 1e9:.0f}",
            f"{100 * r['fraction_of_peak']:.0f} %",
            f"{r['of_plain_tensorflow']:.2f}" if "of_plain_tensorflow" in r else "not run",
        ]
        if "of_torch" in r:
            cells += [
                f"{r['torch_images_per_second']:.0f}",
                f"{r['of_torch']:.2f}",
                f"{r['torch_memory'] / 2**20:.0f}",
            ]
        else:
            cells += ["not run"] * 3
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def check_baseline(rows: list[dict]) -> list[str]:
    """Lines that say whether PyTorch is as fast as the authors' code, so that it counts."""
    lines = []
    for r in rows:
        authors = AUTHORS_JSD.get((r["precision"], r["units"]))
        if r["estimator"] == "jsd" and r["batch"] == 64 and authors and "of_torch" in r:
            fraction = r["torch_images_per_second"] / authors
            verdict = "counts" if fraction >= BASELINE_FRACTION else "does not count"
            lines.append(
                f"PyTorch, jsd, U={r['units']}, {r['precision']}: {fraction:.0%} of the authors' "
                f"{authors} images/s: {verdict}"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="basic32x32")
    parser.add_argument("--estimators", nargs="+", default=["jsd", "infonce"])
    parser.add_argument("--units", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batches", nargs="+", type=int, default=[64])
    parser.add_argument("--locations", nargs="+", type=int, default=[0], help="0: all")
    parser.add_argument("--no_layer_norm", action="store_true", help="of the critic")
    parser.add_argument("--jit_compile", action="store_true", help="XLA for the whole step")
    parser.add_argument("--two_views", action="store_true", help="the recipe of cifar10_fast")
    parser.add_argument(
        "--plain_tensorflow", action="store_true", help="adds TensorFlow as it sets itself up"
    )
    parser.add_argument("--torch_python", default="", help="interpreter with torch")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if arguments.worker:
        if arguments.worker["prepared"]:
            cpu.prepare()
        (profile if arguments.profile else serve_cell)(arguments.worker)
        return
    groups = [
        [
            {
                "encoder": arguments.encoder,
                "estimator": estimator,
                "units": units,
                "precision": precision,
                "batch": batch,
                "locations": locations,
                "layer_norm": not arguments.no_layer_norm,
                "jit_compile": arguments.jit_compile,
                "two_views": arguments.two_views,
                "prepared": True,
            }
            for estimator in arguments.estimators
        ]
        for units, precision, batch, locations in itertools.product(
            arguments.units, arguments.precisions, arguments.batches, arguments.locations
        )
    ]
    print(f"{cpu.instruction_set()}, {load()}", flush=True)
    if arguments.profile:
        for cell in itertools.chain(*groups):
            command = [sys.executable, __file__, "--profile", f"--worker={json.dumps(cell)}"]
            subprocess.run(command, check=True)
        return
    rows = []
    for cells in groups:
        rows += measure(
            cells, arguments.torch_python, arguments.plain_tensorflow, arguments.repetitions
        )
        print(f"measured: {json.dumps(cells[0])}", file=sys.stderr, flush=True)
    print(table(rows))
    print("\n".join(check_baseline(rows)))
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

r"""Images/s, memory and the fraction of this machine's peak of a training step.

    python benchmarks/train_speed.py
    python benchmarks/train_speed.py --torch_python=PYTHON_WITH_TORCH --out=runs/train_speed.json
    python benchmarks/train_speed.py --profile --estimators jsd --units 512 --precisions float32

Prints one table with a row for each combination of the estimators, units, precisions, batches and
locations given. Every row is a process of its own; those that differ in the estimator alone, and
their rivals, are measured in turns. A row shows
- images/s, and their ratio to the first estimator's;
- the most memory the process held in its first steps (TensorFlow itself takes about 0.6 GiB of it);
- the step's floating-point operations, as `step_flops` counts them, and how many a second;
- how many a second this machine does in matrix products, measured in the same process, precision
  and turn: of 4096x2048 by 2048x2048, and the step's own largest, (batch·locations)xU by UxU;
- the first as a fraction of the faster of those products.
With --torch_python, the same step in plain PyTorch (torch_step.py) beside it. It counts as a rival
only if it reaches 95 % of what the authors' code did on a machine of 2 cores (AMD EPYC with
AVX512-BF16): told below the table, for that machine.
Each figure is the median of --repetitions turns, each ratio the median of the turns' ratios.

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

PEAK_SHAPE = (4096, 2048, 2048)  # rows, inputs, outputs
RIVAL = Path(__file__).with_name("torch_step.py")
RIVAL_ESTIMATORS = ("jsd", "infonce")
# (precision, U) -> images/s of the authors' PyTorch code, JSD, batch 64, basic32x32, 2 cores.
AUTHORS_JSD = {
    ("float32", 512): 373,
    ("float32", 2048): 57,
    ("bfloat16", 512): 521,
    ("bfloat16", 2048): 103,
}
RIVAL_REACHES = 0.95
PROFILED_STEPS = 5
WARM_UP = 3


def no_images(side: int):
    """A data set without images, whose shape is all that a model of Deep InfoMax takes of it."""
    import numpy as np

    from dim_tf.data.splits import Split, Splits

    split = Split(np.zeros((0, side, side, 3), np.uint8), None)
    return Splits("none", split, split, (), "no images")


def make_step(cell: dict):
    """A function without arguments that does a training step and returns the loss."""
    import numpy as np
    import tensorflow as tf

    from dim_tf.experiment import Experiment
    from dim_tf.training.model import make_model

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
    )
    side = int(cell["encoder"].split("x")[-1])
    model = make_model(experiment, no_images(side))
    train_step = tf.function(model.train_step, jit_compile=cell["jit_compile"])
    pixels = np.random.default_rng(0).uniform(-1, 1, (cell["batch"], side, side, 3))
    images = tf.constant(pixels, tf.float32)
    return lambda: float(train_step(images)["loss"])


def make_product(shape: tuple[int, int, int], precision: str):
    """A function without arguments that multiplies [rows, inputs] by [inputs, outputs]."""
    import tensorflow as tf

    rows, inputs, outputs = shape
    a = tf.cast(tf.random.normal([rows, inputs]), precision)
    b = tf.cast(tf.random.normal([inputs, outputs]), precision)
    product = tf.function(tf.matmul)
    return lambda: product(a, b)[0, 0].numpy()


def work(cell: dict) -> None:
    """The worker of a row."""
    import step_flops

    step = make_step(cell)
    for _ in range(WARM_UP):
        step()
    memory = peak_memory()
    places, _ = step_flops.local_map(cell["encoder"])
    places = cell["locations"] or places
    own_shape = (cell["batch"] * places, cell["units"], cell["units"])
    flops = step_flops.of_step(
        cell["encoder"],
        cell["units"],
        cell["batch"],
        cell["locations"],
        layer_norm=cell["layer_norm"],
    )
    products = {
        "peak": make_product(PEAK_SHAPE, cell["precision"]),
        "own": make_product(own_shape, cell["precision"]),
    }
    for product in products.values():
        product()
    facts = {"memory": memory, "flops": flops, "own_shape": own_shape}
    serve(facts, {"step": step, **products})


def profile(cell: dict) -> None:
    """Prints the operations of a step by their time."""
    import op_profile

    step = make_step(cell)
    for _ in range(WARM_UP):
        step()
    times = op_profile.op_times(op_profile.trace(step, PROFILED_STEPS), PROFILED_STEPS)
    total = sum(time.milliseconds for time in times)
    print(f"\n{json.dumps(cell)}: {total:.1f} ms of operations a step, added up over threads\n")
    print("| operation | a step | ms | % |")
    print("|---|---|---|---|")
    for time in times:
        if time.milliseconds >= 0.001 * total:
            share = 100 * time.milliseconds / total
            print(f"| {time.op} | {time.count:.0f} | {time.milliseconds:.2f} | {share:.1f} |")


def product_flops(shape) -> int:
    rows, inputs, outputs = shape
    return 2 * rows * inputs * outputs


def measure(cells: list[dict], torch_python: str, repetitions: int) -> list[dict]:
    """Measures in turns the rows that differ in their estimator alone, and their rivals."""
    workers, measures = {}, {}
    for i, cell in enumerate(cells):
        command = [sys.executable, __file__, f"--worker={json.dumps(cell)}"]
        workers[i] = Worker(command)
        for task in ("step", "peak", "own"):
            measures[i, task] = lambda i=i, task=task: workers[i].seconds(task)
    rivals = {}
    if torch_python:
        for i, cell in enumerate(cells):
            if cell["estimator"] in RIVAL_ESTIMATORS and _same_as_rival(cell):
                settings = {n: cell[n] for n in ("estimator", "units", "precision", "batch")}
                rivals[i] = Worker([torch_python, str(RIVAL), json.dumps(settings)])
                measures[i, "rival"] = lambda i=i: rivals[i].seconds("step")
    seconds = in_turns(measures, repetitions)
    for worker in (*workers.values(), *rivals.values()):
        worker.close()
    return [
        row(
            cell,
            workers[i].facts,
            {task: turns for (j, task), turns in seconds.items() if j == i},
            first_steps=seconds[0, "step"],
            rival_facts=rivals[i].facts if i in rivals else None,
        )
        for i, cell in enumerate(cells)
    ]


def _same_as_rival(cell):
    return (
        cell["encoder"] == "basic32x32"
        and not cell["locations"]
        and cell["layer_norm"]
        and not cell["jit_compile"]
    )


def row(
    cell: dict,
    facts: dict,
    seconds: dict[str, list[float]],
    first_steps: list[float],
    rival_facts: dict | None = None,
) -> dict:
    """The figures of a row.

    Args:
        cell: its settings.
        facts: of its worker.
        seconds: of a "step", of the products "peak" and "own", and of a step of the "rival" if
            there is one; one in each turn.
        first_steps: seconds of a step by the first estimator in each turn.
        rival_facts: of the rival's worker.
    """
    middle = medians(seconds)
    speed = {
        "peak": product_flops(PEAK_SHAPE) / middle["peak"],
        "own": product_flops(facts["own_shape"]) / middle["own"],
    }
    fractions = []
    for step, peak, own in zip(seconds["step"], seconds["peak"], seconds["own"], strict=True):
        fastest = max(product_flops(PEAK_SHAPE) / peak, product_flops(facts["own_shape"]) / own)
        fractions.append(facts["flops"] / step / fastest)
    found = {
        **cell,
        "images_per_second": cell["batch"] / middle["step"],
        "of_first_estimator": _ratio(first_steps, seconds["step"]),
        "memory": facts["memory"],
        "step_flops": facts["flops"],
        "flops_per_second": facts["flops"] / middle["step"],
        "peak_product": speed["peak"],
        "own_shape": facts["own_shape"],
        "own_product": speed["own"],
        "fraction_of_peak": statistics.median(fractions),
        "seconds": seconds,
    }
    if rival_facts:
        found["rival_images_per_second"] = cell["batch"] / middle["rival"]
        found["of_rival"] = _ratio(seconds["rival"], seconds["step"])
        found["rival_memory"] = rival_facts["memory"]
        found["rival_version"] = rival_facts["version"]
    return found


def _ratio(others: list[float], mine: list[float]) -> float:
    """How many times as fast I am, by the turns' seconds."""
    return statistics.median(other / own for other, own in zip(others, mine, strict=True))


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
        f"product {'x'.join(map(str, PEAK_SHAPE))}, GFLOP/s",
        "own product, GFLOP/s",
        "of the peak",
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
            f"{r['peak_product'] / 1e9:.0f}",
            f"{r['own_product'] / 1e9:.0f}",
            f"{100 * r['fraction_of_peak']:.0f} %",
        ]
        if "of_rival" in r:
            cells += [
                f"{r['rival_images_per_second']:.0f}",
                f"{r['of_rival']:.2f}",
                f"{r['rival_memory'] / 2**20:.0f}",
            ]
        else:
            cells += ["not run"] * 3
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def rival_check(rows: list[dict]) -> list[str]:
    """Whether the rival is as fast as the authors' code, a line for each figure of theirs."""
    lines = []
    for r in rows:
        authors = AUTHORS_JSD.get((r["precision"], r["units"]))
        if r["estimator"] == "jsd" and r["batch"] == 64 and authors and "of_rival" in r:
            share = r["rival_images_per_second"] / authors
            verdict = "counts" if share >= RIVAL_REACHES else "does not count"
            lines.append(
                f"rival, jsd, U={r['units']}, {r['precision']}: {share:.0%} of the authors' "
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
    parser.add_argument("--torch_python", default="", help="an interpreter that has torch")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if arguments.worker:
        (profile if arguments.profile else work)(arguments.worker)
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
            }
            for estimator in arguments.estimators
        ]
        for units, precision, batch, locations in itertools.product(
            arguments.units, arguments.precisions, arguments.batches, arguments.locations
        )
    ]
    print(load(), flush=True)
    if arguments.profile:
        for cell in itertools.chain(*groups):
            command = [sys.executable, __file__, "--profile", f"--worker={json.dumps(cell)}"]
            subprocess.run(command, check=True)
        return
    rows = []
    for cells in groups:
        rows += measure(cells, arguments.torch_python, arguments.repetitions)
        print(f"measured: {json.dumps(cells[0])}", file=sys.stderr, flush=True)
    print(table(rows))
    print("\n".join(rival_check(rows)))
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Images/s of the training pipeline, compared with those that training consumes.

    python benchmarks/input_speed.py
    python benchmarks/input_speed.py --training=600

Prints one table with a row for each augmentation of `dim_tf.data.pipeline.training_batches`: the
images/s that it delivers from 60,000 images of 32x32 pixels in memory, and their ratio to those
that training consumes: --training images/s, or by default a training step of basic32x32 (jsd,
U=512, in --precision), measured in the same turns by a worker of train_speed.py. The pipeline runs
alone, with all cores; its CPU time shows the fraction of a core that it takes from training.
Each value is the median of --repetitions turns, each ratio the median of the turns' ratios.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from interleaved import Worker, in_turns, load, medians, seconds_of

from dim_tf.data import pipeline
from dim_tf.data.splits import Split
from dim_tf.registry import AUGMENTATIONS

IMAGES, SIDE = 60_000, 32
TRAINING_CELL = {
    "encoder": "basic32x32",
    "estimator": "jsd",
    "units": 512,
    "locations": 0,
    "layer_norm": True,
    "jit_compile": False,
}


class Pipeline:
    """An endless pipeline of one augmentation.

    Attributes:
        cpu_seconds: Of all threads for each batch, in the turns so far.
    """

    def __init__(self, split: Split, batch: int, augmentation: str):
        self._batches = pipeline.training_batches(
            split, batch, 3, seed=0, start_step=0, augmentation=augmentation
        )
        self.cpu_seconds: list[float] = []

    def seconds(self) -> float:
        """Seconds of a batch. The iterator is new in each turn, or its buffers would fill up."""
        batches = iter(self._batches)
        for _ in range(100):  # the number of threads is tuned in the first batches
            next(batches)
        count, began = 0, time.process_time()

        def call():
            nonlocal count
            count += 1
            next(batches)

        seconds = seconds_of(call)
        self.cpu_seconds.append((time.process_time() - began) / count)
        return seconds


def table(rows: dict[str, dict], training: str) -> str:
    """The rows in Markdown."""
    head = ["augmentation", "images/s", "CPU microseconds an image", f"times training's {training}"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [name, f"{row['images_per_second']:,.0f}", f"{1e6 * row['cpu_seconds']:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{row['ratio']:.0f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--training", type=float, default=0, help="images/s; 0: measured")
    parser.add_argument("--precision", default="float32", help="of the training measured")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    arguments = parser.parse_args()
    print(load(), flush=True)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    split = Split(images, np.zeros(IMAGES, np.int64))
    pipelines = {name: Pipeline(split, arguments.batch, name) for name in AUGMENTATIONS}
    measures = {name: pipe.seconds for name, pipe in pipelines.items()}
    worker = None
    if not arguments.training:
        cell = {**TRAINING_CELL, "precision": arguments.precision, "batch": arguments.batch}
        script = Path(__file__).with_name("train_speed.py")
        worker = Worker([sys.executable, str(script), f"--worker={json.dumps(cell)}"])
        measures["training"] = lambda: worker.seconds("step")
    seconds = in_turns(measures, arguments.repetitions)
    if worker:
        worker.close()
        trained = seconds.pop("training")
    else:
        trained = [arguments.batch / arguments.training] * arguments.repetitions
    rows = {
        name: {
            "images_per_second": arguments.batch / median,
            "cpu_seconds": statistics.median(pipelines[name].cpu_seconds) / arguments.batch,
            "ratio": statistics.median(
                step / batch for step, batch in zip(trained, seconds[name], strict=True)
            ),
            "seconds": seconds[name],
        }
        for name, median in medians(seconds).items()
    }
    consumed = arguments.batch / statistics.median(trained)
    kind = f"measured, {arguments.precision}" if worker else "given"
    print(table(rows, f"{consumed:.0f} images/s ({kind})"))
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        rows["training"] = {"images_per_second": consumed, "seconds": trained}
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

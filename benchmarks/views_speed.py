"""Views per second of each kind of augmentation.

    python benchmarks/views_speed.py
    python benchmarks/views_speed.py --size=64 --jit_compile

A row for each of `keras_models.views.KINDS`: `Views` makes two views of each of --batch RGB images
of random pixels, in one graph, with other noise in each call. Medians of --repetitions timings in
turns, and each kind's time over that of `natural`. Prints a Markdown table.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from interleaved import in_turns, load, medians, seconds_of

from dim_tf.system import cpu
from keras_models.distribute.randomness import StepRandom
from keras_models.views import KINDS, Augmentation, Views


def two_views(kind: str, images: tf.Tensor, jit_compile: bool):
    """A call that makes two views of the images."""
    views = Views(Augmentation(0.2, 0.5, kind))
    compiled = tf.function(
        lambda step: views(images, StepRandom(0, step)), jit_compile=jit_compile or None
    )
    steps = iter(range(2**31))
    return lambda: compiled(tf.constant(next(steps)))[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--batch", type=int, default=256, help="images")
    parser.add_argument("--jit_compile", action="store_true", help="by XLA")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{load()}, {cpu.instruction_set()}", flush=True)
    shape = [arguments.batch, arguments.size, arguments.size, 3]
    images = tf.random.stateless_uniform(shape, [0, 0], -1, 1)
    calls = {kind: two_views(kind, images, arguments.jit_compile) for kind in KINDS}
    for call in calls.values():  # traces
        call()
    seconds = medians(
        in_turns(
            {kind: lambda call=call: seconds_of(call) for kind, call in calls.items()},
            arguments.repetitions,
        )
    )
    print("| augmentation | views/s | ms | times natural's ms |\n|---|---|---|---|")
    for kind, value in seconds.items():
        views = 2 * arguments.batch / value
        print(f"| {kind} | {views:,.0f} | {1e3 * value:.1f} | {value / seconds['natural']:.2f} |")
    print(load())


if __name__ == "__main__":
    main()

"""Gradients of 4x4 convolutions of stride 2, by TensorFlow and by keras_models.nn.kernels.

    python benchmarks/kernel_gradient.py
    python benchmarks/kernel_gradient.py --precisions float32 bfloat16 --batch=64
    python benchmarks/kernel_gradient.py --models dim simclr vae bigan

Prints a table: a row for each layer of basic32x32 and of its decoder and each precision, with the
milliseconds of the layer and its gradients (of input and kernel) in both ways and their ratio, and
whether the layers take ours (`kernels.has_faster_gradient`). With --models a row is a whole
training step of a model (infonce, U = 512) in bfloat16, once with TensorFlow's alone, once as it
is. Each figure is the median of --repetitions turns, each ratio the median of the turns' ratios.
"""

import argparse
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from interleaved import in_turns, load, medians, seconds_of

from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.training.model import make_model
from keras_models.nn import kernels, layers
from keras_models.nn.decoders import Conv2DTranspose

# Name, maker, height and width of the input, its channels.
LAYERS = (
    ("convolution 32 to 16", lambda: layers.Conv2D(64, 4, 2, 1, use_bias=False), 32, 3),
    ("convolution 16 to 8", lambda: layers.Conv2D(128, 4, 2, 1, use_bias=False), 16, 64),
    ("convolution 8 to 4", lambda: layers.Conv2D(256, 4, 2, 1, use_bias=False), 8, 128),
    ("transposed 4 to 8", lambda: Conv2DTranspose(256), 4, 512),
    ("transposed 8 to 16", lambda: Conv2DTranspose(128), 8, 256),
    ("transposed 16 to 32", lambda: Conv2DTranspose(64), 16, 128),
)
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def traced(function, is_faster):
    """The compiled function, traced with that for `kernels.has_faster_gradient`."""
    chosen = kernels.has_faster_gradient
    kernels.has_faster_gradient = is_faster
    try:
        function()
    finally:
        kernels.has_faster_gradient = chosen
    return function


def layer_of(make, side: int, channels: int, precision: str):
    """The layer, built for such maps."""
    layer = make()
    layer.dtype_policy = POLICIES[precision]
    layer.build((None, side, side, channels))
    return layer


def gradients(make, side: int, channels: int, batch: int, precision: str):
    """The layer with both gradients, as a compiled function of nothing."""
    layer = layer_of(make, side, channels, precision)
    maps = tf.random.stateless_normal([batch, side, side, channels], [0, 0])
    maps = tf.cast(maps, layer.compute_dtype)

    @tf.function
    def both():
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = layer(maps)
        return tape.gradient(outputs, [maps, layer.kernel.value], outputs)

    return both


def step(name: str, batch: int):
    """A training step of the model, as a compiled function of nothing."""
    images = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), np.uint8)
    split = Split(images, None)
    experiment = Experiment.of(
        name="t",
        model=name,
        batch_size=batch,
        estimator="infonce",
        critic_units=512,
        gamma=0.0,
        prior="gaussian",
        encoder="basic32x32",
        precision="bfloat16",
    )
    model = make_model(experiment, Splits("random", split, split, (), ""))
    batch_of = tf.constant(images, tf.float32) / 127.5 - 1
    return tf.function(lambda: model.train_step(batch_of))


def compared(theirs, ours, repetitions: int) -> list[str]:
    """Milliseconds of both, and their ratio."""
    ways = {"tensorflow": theirs, "ours": ours}
    found = in_turns({way: lambda f=f: seconds_of(f) for way, f in ways.items()}, repetitions)
    ratio = statistics.median(a / b for a, b in zip(*found.values(), strict=True))
    return [*(f"{1000 * seconds:.1f}" for seconds in medians(found).values()), f"{ratio:.2f}"]


def of_layer(layer, batch: int, precision: str, repetitions: int) -> list[str]:
    """The table's cells of a layer."""
    name, make, side, channels = layer
    theirs, ours = (
        traced(gradients(make, side, channels, batch, precision), lambda *_, taken=taken: taken)
        for taken in (False, True)
    )
    built = layer_of(make, side, channels, precision)
    small = side if "transposed" in name else side // 2
    taken = "yes" if kernels.has_faster_gradient(built, (small, small)) else "no"
    return [name, precision, *compared(theirs, ours, repetitions), taken]


def of_model(name: str, batch: int, repetitions: int) -> list[str]:
    """The table's cells of a model's step."""
    theirs = traced(step(name, batch), lambda *_: False)
    ours = traced(step(name, batch), kernels.has_faster_gradient)
    return [f"a step of {name}", "bfloat16", *compared(theirs, ours, repetitions), "where faster"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"], choices=list(POLICIES))
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.models and arguments.precisions != ["bfloat16"]:
        parser.error("--models are measured in bfloat16; leave --precisions out")
    batch, repetitions = arguments.batch, arguments.repetitions
    print(load())
    head = ["of", "precision", "TensorFlow, ms", "ours, ms", "ratio", "taken"]
    print("| " + " | ".join(head) + " |", "|---" * len(head) + "|", sep="\n")
    if arguments.models:
        rows = (of_model(name, batch, repetitions) for name in arguments.models)
    else:
        rows = (
            of_layer(layer, batch, precision, repetitions)
            for precision in arguments.precisions
            for layer in LAYERS
        )
    for cells in rows:
        print("| " + " | ".join(cells) + " |", flush=True)
    print(load())


if __name__ == "__main__":
    main()

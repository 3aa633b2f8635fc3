"""Times the gradients of 4x4 convolutions of stride 2 by TensorFlow and by keras_models.nn.kernels.

    python benchmarks/kernel_gradient.py
    python benchmarks/kernel_gradient.py --precisions float32 bfloat16 --batch=64
    python benchmarks/kernel_gradient.py --models dim simclr vae bigan

Prints a table with a row for each layer of basic32x32 and of its decoder and each precision: the
milliseconds of the layer and its gradients (of input and kernel) with both, their ratio, and
whether layers use ours (`kernels.has_faster_gradient`). With --models a row is a whole training
step of a model (infonce, U = 512) in bfloat16, with TensorFlow's gradients only and by default.
Each value is the median of --repetitions turns, each ratio the median of the turns' ratios.
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

# Name, layer, height and width of the input, its channels.
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
    """The compiled function, traced with `is_faster` as `kernels.has_faster_gradient`."""
    original = kernels.has_faster_gradient
    kernels.has_faster_gradient = is_faster
    try:
        function()
    finally:
        kernels.has_faster_gradient = original
    return function


def build_layer(make, side: int, channels: int, precision: str):
    """A layer, built for maps of the given size."""
    layer = make()
    layer.dtype_policy = POLICIES[precision]
    layer.build((None, side, side, channels))
    return layer


def gradients(make, side: int, channels: int, batch: int, precision: str):
    """A layer with both gradients, as a compiled function without arguments."""
    layer = build_layer(make, side, channels, precision)
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
    """A training step of a model, as a compiled function without arguments."""
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


def compare(tensorflow, ours, repetitions: int) -> list[str]:
    """Cells: milliseconds of both functions, and their ratio."""
    functions = {"tensorflow": tensorflow, "ours": ours}
    seconds = in_turns(
        {name: lambda f=f: seconds_of(f) for name, f in functions.items()}, repetitions
    )
    ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
    return [*(f"{1000 * median:.1f}" for median in medians(seconds).values()), f"{ratio:.2f}"]


def layer_row(layer, batch: int, precision: str, repetitions: int) -> list[str]:
    """The cells of a layer."""
    name, make, side, channels = layer
    tensorflow, ours = (
        traced(gradients(make, side, channels, batch, precision), lambda *_, used=used: used)
        for used in (False, True)
    )
    built = build_layer(make, side, channels, precision)
    small = side if "transposed" in name else side // 2
    used = "yes" if kernels.has_faster_gradient(built, (small, small)) else "no"
    return [name, precision, *compare(tensorflow, ours, repetitions), used]


def model_row(name: str, batch: int, repetitions: int) -> list[str]:
    """The cells of a model's training step."""
    tensorflow = traced(step(name, batch), lambda *_: False)
    ours = traced(step(name, batch), kernels.has_faster_gradient)
    return [
        f"a step of {name}",
        "bfloat16",
        *compare(tensorflow, ours, repetitions),
        "where faster",
    ]


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
        rows = (model_row(name, batch, repetitions) for name in arguments.models)
    else:
        rows = (
            layer_row(layer, batch, precision, repetitions)
            for precision in arguments.precisions
            for layer in LAYERS
        )
    for cells in rows:
        print("| " + " | ".join(cells) + " |", flush=True)
    print(load())


if __name__ == "__main__":
    main()

"""Times the kernels of keras_models/nn/kernels.py and their plain twins in a step's shapes.

    python benchmarks/kernels.py

Adam's update of all weights of basic32x32 and its critic; batch norm, forward and backward, of its
first map; the sum of squares and its gradient of the critic's codes. Float32, one graph each, timed
in turns. Prints a Markdown table; a ratio above 1 means that the kernel is faster. For the
gradients of convolutions, see benchmarks/kernel_gradient.py.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from interleaved import load, milliseconds_of_both

from keras_models import DeepInfoMax, encoders, terms
from keras_models.nn import kernels

BATCH = 64
MAP, CODES = (16, 16, 64), (64, 512)  # basic32x32's first map; its critic's codes, U = 512


def adam(optimizer_class):
    """One call: an update of every weight by a gradient of its shape."""
    parts = [terms.local_mutual_information("dot", "infonce", units=512)]
    model = DeepInfoMax(encoders.get("basic32x32"), parts)
    model.compile()
    model.build()
    variables = model.trainable_variables
    optimizer = optimizer_class(1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
    optimizer.build(variables)
    gradients = [tf.ones_like(v) for v in variables]
    return tf.function(lambda: optimizer.apply(gradients, variables))


def batch_norm(layer_class):
    """One call: the outputs' gradient in the inputs, the scales and the offsets."""
    layer = layer_class(epsilon=1e-5, momentum=0.9)
    layer.build((None, *MAP))
    maps = tf.random.stateless_normal([BATCH, *MAP], [0, 0])

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(maps)
            value = tf.reduce_sum(layer(maps, training=True) * maps)
        return tape.gradient(value, [maps, layer.gamma, layer.beta])

    return gradients


def squares(function):
    """One call: the gradient of the sum over codes."""
    codes = tf.random.stateless_normal([BATCH, *CODES], [0, 0])

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(codes)
            value = tf.reduce_sum(tf.math.rsqrt(function(codes)))
        return tape.gradient(value, codes)

    return gradient


PAIRS = {  # (plain twin, kernel)
    "`FusedAdam`": (lambda: adam(keras.optimizers.Adam), lambda: adam(kernels.FusedAdam)),
    "`FusedBatchNormalization`": (
        lambda: batch_norm(keras.layers.BatchNormalization),
        lambda: batch_norm(kernels.FusedBatchNormalization),
    ),
    "`sum_of_squares`": (
        lambda: squares(lambda x: tf.reduce_sum(x**2, axis=-1)),
        lambda: squares(kernels.sum_of_squares),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    print(load())
    print("| kernel | plain twin, ms | kernel, ms | ratio |\n|---|---|---|---|")
    for title, (make_plain, make_kernel) in PAIRS.items():
        plain, kernel = milliseconds_of_both(make_plain(), make_kernel(), arguments.repetitions)
        print(f"| {title} | {plain:.2f} | {kernel:.2f} | {plain / kernel:.2f} |", flush=True)


if __name__ == "__main__":
    main()

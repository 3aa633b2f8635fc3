"""Times a forward and backward pass of the fast dot-product critic and of the reference.

    python benchmarks/critics.py

Local maps and globals of basic32x32 (8x8x128 and 64), jsd, one graph each, timed in turns. Prints a
Markdown table; a ratio above 1 says that the fast critic is faster.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from interleaved import milliseconds_of_both

from keras_models import critics, estimators

LOCAL, GLOBAL = (8, 8, 128), (64,)
SETTINGS = {
    "U = 512": {"units": 512},
    "U = 512, no layer norm": {"units": 512, "layer_norm": False},
    "U = 2048": {"units": 2048},
    "U = 2048, no layer norm": {"units": 2048, "layer_norm": False},
}


def step(implementation: str, batch: int, **arguments):
    """One call: the gradients of jsd in the features and in the critic's weights."""
    keras.utils.set_random_seed(0)
    critic = critics.get("dot", implementation=implementation, **arguments)
    critic.build((None, *LOCAL), (None, *GLOBAL))
    features = [
        tf.random.stateless_normal([batch, *shape], [0, number])
        for number, shape in enumerate((LOCAL, GLOBAL))
    ]
    estimator = estimators.get("jsd")

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(features)
            value = estimator(critic(*features, training=True))
        return tape.gradient(value, [*features, *critic.trainable_variables])

    return lambda: gradients()[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    print("| critic | reference, ms | fast, ms | ratio |\n|---|---|---|---|")
    for title, settings in SETTINGS.items():
        reference, fast = milliseconds_of_both(
            step("reference", arguments.batch, **settings),
            step("fast", arguments.batch, **settings),
            arguments.repetitions,
        )
        print(f"| {title} | {reference:.1f} | {fast:.1f} | {reference / fast:.2f} |", flush=True)


if __name__ == "__main__":
    main()

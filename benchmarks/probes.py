"""Times the training of probes against Keras' `fit`, which it replaces.

    python benchmarks/probes.py --data_dir=$TFDS_DATA_DIR

An epoch of the authors' recipe for one seed, on the features that exported/dim_cifar10/1 has of
CIFAR-10 and on the raw pixels, in turns. Without --data_dir the features are random numbers of the
same shapes, which take as long. Prints a Markdown table.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from interleaved import in_turns, load, medians

from dim_tf.evaluation import classifier_training, probe_training
from dim_tf.evaluation.probe_training import ProbeTraining
from keras_models.nn import layers

IMAGES, CLASSES = 50_000, 10
SIZES = {"global": 64, "fc": 1024, "pixels": 3072, "conv": 4096}
SEEDS = 2


def cifar10_features(data_dir: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The features of the training images by endpoint, and their classes."""
    from dim_tf import data
    from dim_tf.evaluation import representation, saved_encoder
    from dim_tf.evaluation.evaluation_data import EvaluationData

    images = EvaluationData.from_splits(data.load("cifar10", data.DataRequest(data_dir=data_dir)))
    encoder = saved_encoder.load("exported/dim_cifar10/1")
    features = representation.from_saved_encoder(encoder, images).train
    return features | representation.from_pixels(images).train, images.train.labels


def random_features() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Random numbers of the same shapes."""
    rng = np.random.default_rng(0)
    features = {
        name: rng.standard_normal((IMAGES, size), dtype=np.float32) for name, size in SIZES.items()
    }
    return features, rng.integers(0, CLASSES, IMAGES)


def seconds_with_keras(features: np.ndarray, labels: np.ndarray, hidden: bool) -> float:
    """Seconds of an epoch of a new Keras model."""
    began = time.perf_counter()
    if hidden:
        model = keras.Sequential(classifier_training.mlp_hidden_layers())
    else:
        model = keras.Sequential([classifier_training.standardising_layer(features)])
    model.add(layers.Dense(CLASSES))
    classifier_training.fit_classifier(model, features, labels, epochs=1, learning_rate=1e-4)
    return time.perf_counter() - began


def seconds_compiled(features: np.ndarray, labels: np.ndarray, hidden: bool) -> float:
    """Seconds of an epoch and seed, of two that are trained together."""
    began = time.perf_counter()
    indices = [np.arange(len(features))] * SEEDS
    training = ProbeTraining(epochs=1, learning_rate=1e-4)
    probe_training.train(features, labels, features[:1], CLASSES, hidden, training, indices)
    return (time.perf_counter() - began) / SEEDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="", help="Folder of TensorFlow Datasets.")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    features, labels = (
        cifar10_features(arguments.data_dir) if arguments.data_dir else random_features()
    )
    print(load())
    print("| probe | endpoint | Keras' fit, s | compiled loop, s | ratio |\n|---|---|---|---|---|")
    for hidden in (False, True):
        for endpoint in SIZES:
            x = features[endpoint]
            seconds = medians(
                in_turns(
                    {
                        "keras": lambda x=x, hidden=hidden: seconds_with_keras(x, labels, hidden),
                        "compiled": lambda x=x, hidden=hidden: seconds_compiled(x, labels, hidden),
                    },
                    arguments.repetitions,
                )
            )
            keras_seconds, compiled = seconds["keras"], seconds["compiled"]
            print(
                f"| {'MLP' if hidden else 'linear'} | {endpoint} {x.shape[1]:,} | "
                f"{keras_seconds:.2f} | {compiled:.2f} | {keras_seconds / compiled:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

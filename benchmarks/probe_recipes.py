"""Why the fast probes (--probe=fast) are trained as they are: validation accuracy and loss.

    python benchmarks/probe_recipes.py --data_dir=$TFDS_DATA_DIR

The features are those of exported/dim_cifar10/1 on CIFAR-10's training images, of which 5,000 are
kept for validation. Prints two Markdown tables: the validation accuracy of the MLP by the authors'
recipe and by the fast one, mean and standard deviation of --seeds seeds; and the validation loss of
logistic regression on the global feature by C, in nats. They are trained on the first N of the
other images, for each N of --images.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from probes import CLASSES, cifar10_features

from dim_tf.evaluation import logistic_regression, probe_training
from dim_tf.evaluation.linear_classifier import Problem, softmax_loss
from dim_tf.evaluation.measures.probes import fast_training
from dim_tf.evaluation.probe_training import ProbeTraining
from dim_tf.experiment import default_of

ENDPOINTS = ("global", "fc")
VALIDATION_IMAGES = 5_000
C_VALUES = (1.0, 3.0, 10.0, 100.0)


def accuracies(train, validation, training: ProbeTraining, seeds: int) -> np.ndarray:
    """Validation accuracy of MLPs in percent: [seeds]; train and validation: features, labels."""
    indices = [np.arange(len(train[0]))] * seeds
    logits = probe_training.train(*train, validation[0], CLASSES, True, training, indices)
    return 100 * np.mean(logits.argmax(axis=2) == validation[1], axis=1)


def loss_of(train, validation, c: float) -> float:
    """Validation loss of logistic regression, in nats an image."""
    classifier = Problem(*train, CLASSES, softmax_loss).fit(
        c, tolerance=logistic_regression.TOLERANCE
    )
    total, _ = softmax_loss(validation[1], classifier.scores(validation[0]))
    return total / len(validation[1])


def print_tables(features: dict[str, np.ndarray], labels: np.ndarray, counts, seeds: int) -> None:
    """Both tables; features by endpoint, the last `VALIDATION_IMAGES` of them for validation."""
    parts = {
        name: ((x[:-VALIDATION_IMAGES], labels[:-VALIDATION_IMAGES]), x[-VALIDATION_IMAGES:])
        for name, x in features.items()
    }
    held_out = labels[-VALIDATION_IMAGES:]
    authors = ProbeTraining(default_of("probe_epochs"), default_of("probe_learning_rate"))
    print("| endpoint | training images | authors' recipe, % | fast, % |\n|---|---|---|---|")
    for name, ((x, y), validation) in parts.items():
        for count in counts:
            cells = []
            for training in (authors, fast_training(count)):
                train = (x[:count], y[:count])
                values = accuracies(train, (validation, held_out), training, seeds)
                cells.append(f"{values.mean():.1f} ± {values.std(ddof=1):.1f}")
            print(f"| {name} | {count:,} | {cells[0]} | {cells[1]} |", flush=True)
    head = " | ".join(f"C = {c:g}" for c in C_VALUES)
    print(f"\n| training images | {head} |\n|{'---|' * (1 + len(C_VALUES))}")
    (x, y), validation = parts["global"]
    for count in counts:
        train = (x[:count], y[:count])
        losses = [loss_of(train, (validation, held_out), c) for c in C_VALUES]
        print(f"| {count:,} | {' | '.join(f'{loss:.3f}' for loss in losses)} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="", help="Folder of TensorFlow Datasets.")
    parser.add_argument("--images", type=int, nargs="+", default=[300, 3_000, 45_000])
    parser.add_argument("--seeds", type=int, default=2, help="At least 2.")
    values = parser.parse_args()
    features, labels = cifar10_features(values.data_dir)
    most = len(labels) - VALIDATION_IMAGES
    if values.seeds < 2 or not all(CLASSES <= count <= most for count in values.images):
        parser.error(f"give --seeds of 2 or more, and --images of {CLASSES} to {most:,}")
    chosen = {name: features[name] for name in ENDPOINTS}
    print_tables(chosen, labels, values.images, values.seeds)


if __name__ == "__main__":
    main()

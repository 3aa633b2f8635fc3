"""Seconds and iterations of the convex classifiers, with and without preconditioning.

    python benchmarks/linear_classifier.py --features 64 1024 --images=50000

Prints one table: logistic regression and support vector machines (dim_tf.evaluation.
linear_classifier) of 50,000 images and 10 classes, of features whose correlations fall off like
those of an encoder (their covariance has the eigenvalues 1, 1/2, 1/3, ...).
"""

import argparse
import time

import numpy as np
from interleaved import load

from dim_tf.evaluation import linear_classifier
from dim_tf.system import cpu

CLASSES = 10
PROBLEMS = {
    "logistic regression, C = 30": (linear_classifier.softmax_loss, 30.0, False),
    "support vector machine": (linear_classifier.squared_hinge_loss, 1.0, True),
}


def samples(images: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [N, F] of images of 10 classes, and their labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, images)
    rotation = np.linalg.qr(rng.normal(size=(features, features)))[0]
    scales = (1 / np.sqrt(1 + np.arange(features))).astype(np.float32)
    noise = rng.standard_normal((images, features), np.float32)
    centres = rng.standard_normal((CLASSES, features), np.float32)
    return ((noise + 0.5 * centres[labels]) * scales) @ rotation.astype(np.float32), labels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    print(f"{cpu.instruction_set()}, {load()}", flush=True)
    print("| problem | features | preconditioned | iterations | s | loss less the smallest |")
    print("|---|---|---|---|---|---|")
    for size in arguments.features:
        features, labels = samples(arguments.images, size)
        for title, (loss, c, penalise_bias) in PROBLEMS.items():
            rows = []
            for preconditioned in (True, False):
                began = time.perf_counter()
                problem = linear_classifier.Problem(
                    features,
                    labels,
                    CLASSES,
                    loss,
                    penalise_bias=penalise_bias,
                    preconditioned=preconditioned,
                )
                fit = problem.fit(c, tolerance=arguments.tolerance)
                rows.append((preconditioned, fit, time.perf_counter() - began))
            least = min(fit.loss for _, fit, _ in rows)
            for preconditioned, fit, seconds in rows:
                print(
                    f"| {title} | {size:,} | {'yes' if preconditioned else 'no'} "
                    f"| {fit.iterations} | {seconds:.1f} | {fit.loss - least:.1e} |",
                    flush=True,
                )
    print(load())


if __name__ == "__main__":
    main()

r"""The bootstrap of attributes' AUCs: seconds of each way, in turns.

    python benchmarks/auc_bootstrap.py

Prints a table with a row for each number of images: seconds that --resamples resamples of
--attributes attributes take by `bootstrap.aucs_of`, sorting included, and by scikit-learn's
`roc_auc_score` with the counts as weights; their ratio; and the largest difference of a value. Each
time is the median of --repetitions turns. Scores are random numbers with ties, as of kNN, and a
fifth of the labels is 1.
"""

import argparse

import numpy as np
from interleaved import in_turns, load, medians, seconds_of
from sklearn.metrics import roc_auc_score

from dim_tf.evaluation import bootstrap


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[2_000, 19_962])
    parser.add_argument("--attributes", type=int, default=40)
    parser.add_argument("--resamples", type=int, default=bootstrap.CHUNK_SIZE)
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    print(load(), flush=True)
    print("| images | aucs_of, s | scikit-learn, s | ratio | largest difference |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for images in args.images:
        labels = (rng.random((images, args.attributes)) < 0.2).astype(np.int64)
        scores = np.round(rng.random(labels.shape) + 0.3 * labels, 3)
        counts = rng.multinomial(images, np.full(images, 1 / images), args.resamples)
        counts = counts.astype(np.float32)
        calls = {
            "ours": lambda x=scores, y=labels, w=counts: bootstrap.aucs_of(x, y)(w),
            "sklearn": lambda x=scores, y=labels, w=counts: sklearn_aucs(x, y, w),
        }
        seconds = medians(
            in_turns(
                {name: lambda call=call: seconds_of(call) for name, call in calls.items()},
                args.repetitions,
            )
        )
        difference = np.abs(calls["ours"]() - calls["sklearn"]()).max()
        print(
            f"| {images:,} | {seconds['ours']:.3f} | {seconds['sklearn']:.2f} | "
            f"{seconds['sklearn'] / seconds['ours']:.1f} | {difference:.1g} |",
            flush=True,
        )
    print(load())


def sklearn_aucs(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """As of `bootstrap.aucs_of`: float64 [A, R]."""
    return np.array(
        [
            [roc_auc_score(label, score, sample_weight=of_resample) for of_resample in counts]
            for score, label in zip(scores.T, labels.T, strict=True)
        ]
    )


if __name__ == "__main__":
    main()

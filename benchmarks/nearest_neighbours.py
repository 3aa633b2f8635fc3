r"""Nearest neighbours by cosine similarity: seconds of each way, in turns.

    python benchmarks/nearest_neighbours.py

Prints a table with a row for each number of features: GFLOP/s of the matrix product alone, by
TensorFlow and by NumPy, and seconds of `cosine_neighbours` and of scikit-learn's
`NearestNeighbors`. Each value is the median of --repetitions turns. The seconds are those of
--queries queries and --candidates candidates. For a CPU without AVX512, on one that has it:

    TF_ENABLE_ONEDNN_OPTS=0 ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 \
        OPENBLAS_CORETYPE=Haswell python ...
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from interleaved import in_turns, load, medians, seconds_of
from sklearn.neighbors import NearestNeighbors

from dim_tf.evaluation.neighbours import CANDIDATES, QUERIES, cosine_neighbours

K = 20


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--features", type=int, nargs="+", default=[64, 1024, 4096])
    parser.add_argument("--queries", type=int, default=2048)
    parser.add_argument("--candidates", type=int, default=16384)
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    print(load(), flush=True)
    print(
        "| features | TensorFlow, GFLOP/s | NumPy, GFLOP/s | ours, s | ours, GFLOP/s | sklearn, s |"
    )
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for size in args.features:
        # As after a ReLU.
        queries = np.maximum(rng.standard_normal((args.queries, size), np.float32), 0)
        candidates = np.maximum(rng.standard_normal((args.candidates, size), np.float32), 0)
        chunk, block = queries[:QUERIES], candidates[:CANDIDATES]
        tensors = tf.constant(chunk), tf.constant(block)
        sklearn = NearestNeighbors(n_neighbors=K, metric="cosine").fit(candidates)
        calls = {
            "tf": lambda x=tensors: tf.matmul(*x, transpose_b=True),
            "numpy": lambda x=chunk, y=block: x @ y.T,
            "ours": lambda x=queries, y=candidates: cosine_neighbours(x, y, K),
            "sklearn": lambda x=queries, of=sklearn: of.kneighbors(x),
        }
        seconds = medians(
            in_turns(
                {name: lambda call=call: seconds_of(call) for name, call in calls.items()},
                args.repetitions,
            )
        )
        product = 2e-9 * len(chunk) * len(block) * size
        whole = 2e-9 * len(queries) * len(candidates) * size
        print(
            f"| {size} | {product / seconds['tf']:.0f} | {product / seconds['numpy']:.0f} | "
            f"{seconds['ours']:.2f} | {whole / seconds['ours']:.0f} | {seconds['sklearn']:.2f} |",
            flush=True,
        )
    print(load())


if __name__ == "__main__":
    main()

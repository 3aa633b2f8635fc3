r"""`dim_tf.Index` of many synthetic embeddings: seconds and memory of each kind of index.

    python benchmarks/index_million.py --rows=1000000

Each kind runs in a process of its own, so that its peak memory is its own. Prints a table with a
row for each kind: seconds to build the index, for one query and for --queries of them, for the
neighbours of all rows, to save and to load it; its recall; bytes on the disk; the peak of resident
memory (Linux), which includes the embeddings, float32 in memory, and the libraries.

The embeddings are rows around --clusters centers on a sphere, apart from each other in --inner of
the --dimension numbers, as features of images that vary in fewer ways than they have numbers. An
exact index compares all rows with all for their neighbours, which grows with the square of their
number: above --exact_neighbours rows that cell is empty.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from interleaved import load, peak_memory

import dim_tf
from dim_tf.system import cpu

KINDS = {
    "exact": {"exact_bytes": 2**40, "exact_products": 2**62},
    "approximate, with float rows": {"exact_bytes": 2**40, "exact_products": 0},
    "approximate, of bytes": {"exact_bytes": 0},
}
SECONDS = ("build", "one query", "queries", "neighbours", "save", "load")


def embeddings(rows: int, dimension: int, inner: int, clusters: int, seed: int) -> np.ndarray:
    """Synthetic embeddings, float32 [rows, dimension]."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, dimension), np.float32)
    directions = rng.standard_normal((inner, dimension), np.float32) / np.sqrt(inner)
    features = np.empty((rows, dimension), np.float32)
    for first in range(0, rows, 2**16):
        count = min(2**16, rows - first)
        offsets = rng.standard_normal((count, inner), np.float32)
        features[first : first + count] = centers[rng.integers(clusters, size=count)]
        features[first : first + count] += 0.5 * offsets @ directions
    return features


def add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `embeddings` to a command line."""
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--inner", type=int, default=16)
    parser.add_argument("--clusters", type=int, default=200)


def seconds_of(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(kind: str, args) -> dict:
    """Seconds by the names of `SECONDS`, and the recall, the bytes and the peak memory."""
    features = embeddings(args.rows, args.dimension, args.inner, args.clusters, seed=0)
    queries = embeddings(args.queries, args.dimension, args.inner, args.clusters, seed=0)
    ids = [f"{number:08d}.jpg" for number in range(args.rows)]
    began = time.perf_counter()
    index = dim_tf.Index.build(features, ids, **KINDS[kind])
    results = {"build": time.perf_counter() - began}
    results["one query"] = seconds_of(lambda: index.search(queries[:1], args.k))
    results["queries"] = seconds_of(lambda: index.search(queries, args.k))
    if kind != "exact" or args.rows <= args.exact_neighbours:
        results["neighbours"] = seconds_of(lambda: sum(1 for _ in index.neighbours(args.k)))
    with tempfile.TemporaryDirectory() as folder:
        results["save"] = seconds_of(lambda: index.save(folder))
        results["load"] = seconds_of(lambda: dim_tf.Index.load(folder))
        results["bytes"] = sum(path.stat().st_size for path in Path(folder).iterdir())
    return results | {
        "recall": index.recall,
        "description": index.description,
        "peak": peak_memory(),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_embedding_arguments(parser)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--exact_neighbours", type=int, default=300_000)
    parser.add_argument("--kind", choices=KINDS, help="measures one kind and prints JSON")
    args = parser.parse_args()
    if args.kind:
        print(json.dumps(measure(args.kind, args)))
        return
    print(f"{cpu.instruction_set()}, {load()}", flush=True)
    print(
        f"{args.rows:,} rows of {args.dimension} numbers, {4e-6 * args.rows * args.dimension:,.0f} "
        f"MB; {args.queries:,} queries, k={args.k}; OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'not set')}",
        flush=True,
    )
    print(f"| index | {' | '.join(f'{name}, s' for name in SECONDS)} | recall | disk | peak |")
    print("|---" * (len(SECONDS) + 4) + "|")
    for kind in KINDS:
        command = [sys.executable, *sys.argv, f"--kind={kind}"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results = json.loads(answer)
        cells = [f"{results[name]:.3g}" if name in results else "" for name in SECONDS]
        cells.append(f"{results['recall']:.3f}")
        cells += [f"{results[name] / 1e6:,.0f} MB" for name in ("bytes", "peak")]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
        print(f"<!-- {results['description']} -->", flush=True)
    print(load())


if __name__ == "__main__":
    main()

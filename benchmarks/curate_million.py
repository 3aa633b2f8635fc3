r"""Duplicates, outliers and a subset of many synthetic embeddings: seconds and memory of each step.

    python benchmarks/curate_million.py --rows=1000000

The embeddings are those of index_million.py, but --copies of the rows are near copies of others:
the features of a pair differ by --copy_noise of their length, and its images by a little noise.
Images, 32 pixels a side, are drawn when they are read. The threshold of duplicates is measured as
in --mode=curate, on features of copies of 400 rows. Labels are not checked. Prints the seconds of
each step and the peak of resident memory (Linux) up to its end, which includes the embeddings,
float32, and the libraries; then the recall and the precision of the pairs found.
"""

import argparse
import time

import numpy as np
from index_million import add_embedding_arguments, embeddings
from interleaved import load, peak_memory

import dim_tf
from dim_tf.collection.curate_folder import COPIED_IMAGES, MIN_NEIGHBOURS, neighbour_lists
from dim_tf.collection.curation.alignment import ThumbnailCache
from dim_tf.collection.curation.copies import KINDS
from dim_tf.collection.curation.duplicates import Duplicates, find_duplicates
from dim_tf.collection.curation.match_rates import CopyFeatures
from dim_tf.collection.curation.outliers import find_outliers
from dim_tf.collection.curation.subset import choose_subset
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.settings.curation import SUBSET_METHODS, CurationSettings
from dim_tf.system import cpu

SIDE = 32  # pixels
CELLS = 4  # a side, of a drawn image


def near(features: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Features [..., D] at a distance from others of `noise` times the length of these."""
    offsets = rng.standard_normal(features.shape, np.float32)
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return features + noise * lengths * offsets / np.linalg.norm(offsets, axis=-1, keepdims=True)


def draw_image(original: int, row: int) -> np.ndarray:
    """The image of a row, uint8 [32, 32, 3]: random cells of its original, and noise of its own."""
    cells = np.random.default_rng([0, original]).integers(20, 236, (CELLS, CELLS, 3))
    image = cells.repeat(SIDE // CELLS, axis=0).repeat(SIDE // CELLS, axis=1)
    noise = np.random.default_rng([1, row]).integers(-3, 4, image.shape)
    return (image + noise).astype(np.uint8)


def print_accuracy(duplicates: Duplicates, originals: dict[int, int]) -> None:
    """Prints the recall of the planted pairs, and the precision of the pairs found."""
    pairs = zip(duplicates.pairs.first.tolist(), duplicates.pairs.second.tolist(), strict=True)
    found = {frozenset(pair) for pair in pairs}
    planted = {frozenset(pair) for pair in originals.items()}
    roots = [{originals.get(row, row) for row in pair} for pair in found]
    print(
        f"\n{len(planted):,} planted pairs; {len(found):,} found; recall "
        f"{len(found & planted) / len(planted):.3f}, precision "
        f"{np.mean([len(root) == 1 for root in roots]) if roots else 0:.3f}; "
        f"{duplicates.candidates:,} candidates were compared by pixels"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_embedding_arguments(parser)
    parser.add_argument("--copies", type=int, default=10_000)
    parser.add_argument("--copy_noise", type=float, default=0.05)
    parser.add_argument("--subset", type=int, default=1000)
    args = parser.parse_args()
    print(f"{cpu.instruction_set()}, {load()}", flush=True)
    settings = CurationSettings()
    rng = np.random.default_rng(1)
    features = embeddings(args.rows, args.dimension, args.inner, args.clusters, seed=0)
    rows = rng.permutation(args.rows)[: 2 * args.copies]
    originals = dict(zip(rows[::2].tolist(), rows[1::2].tolist(), strict=True))
    features[rows[::2]] = near(features[rows[1::2]], args.copy_noise, rng)
    measured = np.sort(rng.choice(args.rows, min(COPIED_IMAGES, args.rows), replace=False))
    of_copies = np.repeat(features[measured, np.newaxis], len(KINDS), axis=1)
    copies = CopyFeatures(measured, KINDS, near(of_copies, args.copy_noise, rng))
    images = EmbeddedImages(
        [f"{row:08d}.png" for row in range(args.rows)],
        features,
        lambda row: draw_image(originals.get(row, row), row),
    )
    print("| step | seconds | peak |\n|---|---|---|")
    began = time.perf_counter()

    def print_step(step):
        nonlocal began
        seconds = time.perf_counter() - began
        print(f"| {step} | {seconds:,.1f} | {peak_memory() / 1e6:,.0f} MB |", flush=True)
        began = time.perf_counter()

    index = dim_tf.Index.build(features, images.ids)
    print_step(f"index: {index.description}")
    neighbours = neighbour_lists(index, MIN_NEIGHBOURS)
    print_step(f"{MIN_NEIGHBOURS} neighbours of each")
    duplicates = find_duplicates(
        images,
        neighbours,
        ThumbnailCache(images.read_image),
        copies,
        recall=settings.duplicate_recall,
        false_rate=settings.duplicate_false_rate,
        max_candidates=settings.duplicate_candidates,
    )
    print_step("duplicates, confirmed by pixels")
    outliers = find_outliers(
        features,
        neighbours,
        duplicates.groups,
        duplicates.redundant,
        k=settings.outlier_neighbours,
        false_rate=settings.outlier_false_rate,
    )
    print_step("outliers")
    for method in SUBSET_METHODS:
        eligible = ~duplicates.redundant & ~outliers.is_outlier
        choose_subset(features, outliers.distances[:, 0], eligible, args.subset, method)
        print_step(f"subset of {args.subset:,}, {method}, and its coverage")
    print_accuracy(duplicates, originals)
    print(load())


if __name__ == "__main__":
    main()

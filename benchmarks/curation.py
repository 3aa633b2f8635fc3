r"""Curation of CIFAR-10 with planted faults: precision and recall, beside imagededup and cleanlab.

    pip install imagededup cleanlab datasets
    python benchmarks/curation.py --data_dir=$TFDS_DATA_DIR --folder=/tmp/planted

Writes the training images as a folder of PNG files, and plants in it copies (recompressed, resized,
cropped by 10 %, mirrored; stronger or weaker than the copies that measure the thresholds), images
of another data set, and swapped labels. Then it embeds all of them with the exported encoder, and
prints a table: how many each method names at its default thresholds, the fraction of these that
were planted (precision), and the fraction of the planted that it names (recall).

CIFAR-10 has near duplicates, unusual images and wrong labels of its own, which count as false. So
the precision of each method is at least the one printed. Methods that are not installed are left
out, and the table says so.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import curation_peers
import faiss
import numpy as np
import tensorflow_datasets as tfds
from interleaved import load
from PIL import Image

import dim_tf
from dim_tf.collection.curation import copies
from dim_tf.collection.curation.csv_files import write_curation
from dim_tf.collection.curation.curation import Curation, curate
from dim_tf.collection.curation.curation_page import render_page
from dim_tf.collection.curation.match_rates import CopyFeatures
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.collection.unit_rows import unit_rows
from dim_tf.settings.curation import CurationSettings

NEIGHBOURS = 20
COPIED = 400  # images whose copies measure the thresholds
BATCH = 500


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", default=os.environ.get("TFDS_DATA_DIR"))
    parser.add_argument("--folder", type=Path, required=True, help="new; the planted images")
    parser.add_argument("--encoder", default="exported/dim_cifar10/1")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--duplicates", type=int, default=500)
    parser.add_argument("--outliers", type=int, default=100)
    parser.add_argument("--outliers_from", default="celeb_a", help="of TFDS, or a folder of images")
    parser.add_argument("--swaps", type=int, default=500)
    args = parser.parse_args()
    print(load(), flush=True)
    images, truth = plant(args)
    encoder = dim_tf.load(args.encoder)
    start = time.monotonic()
    features = embed(encoder, images.pixels)
    print(f"{len(features):,} images embedded in {time.monotonic() - start:.0f} s", flush=True)
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(args.images, min(COPIED, args.images), replace=False))
    augmented = [
        copies.augmented_copy(images.pixels[row], kind, rng)
        for row in rows
        for kind in copies.KINDS
    ]
    of_copies = embed(encoder, augmented).reshape(len(rows), len(copies.KINDS), -1)
    start = time.monotonic()
    neighbours = nearest(features)
    embedded = EmbeddedImages(
        images.ids, features, images.pixels.__getitem__, images.labels, images.names
    )
    curation = curate(
        embedded,
        neighbours,
        CurationSettings(),
        CopyFeatures(rows, copies.KINDS, of_copies),
    )
    print(f"curated in {time.monotonic() - start:.0f} s, neighbours and all", flush=True)
    write_curation(curation, args.folder, render_page(curation, "planted CIFAR-10"))
    print_table(curation, ask_peers(args.folder, curation), truth)
    print(load())


class Planted:
    """The collection: ids, pixels, labels as given, names of the classes."""

    def __init__(self, names):
        self.ids, self.pixels, self.labels, self.names = [], [], [], names

    def add(self, image_id, pixels, label):
        self.ids.append(image_id)
        self.pixels.append(pixels)
        self.labels.append(label)


class Truth:
    """What was planted: originals by their copies' rows, kinds of the copies, rows of the rest."""

    def __init__(self):
        self.original, self.kind, self.outliers, self.swapped = {}, {}, [], []


def plant(args):
    """The images with their faults, also as files with truth.csv; and what was planted."""
    data, info = tfds.load("cifar10", split="train", data_dir=args.data_dir, with_info=True)
    names = tuple(info.features["label"].names)
    images, truth = Planted(names), Truth()
    for example in data.take(args.images).as_numpy_iterator():
        images.add(f"{len(images.ids):05d}.png", example["image"], int(example["label"]))
    rng = np.random.default_rng(0)
    for number, row in enumerate(rng.choice(args.images, args.duplicates, replace=False)):
        kind = copies.KINDS[number % len(copies.KINDS)]
        truth.original[len(images.ids)], truth.kind[len(images.ids)] = int(row), kind
        pixels = planted_copy(images.pixels[row], kind, rng)
        images.add(f"copy_{number:04d}.png", pixels, images.labels[row])
    for number, pixels in enumerate(foreign_images(args)):
        truth.outliers.append(len(images.ids))
        images.add(f"foreign_{number:04d}.png", pixels, int(rng.integers(0, len(names))))
    images.labels = np.array(images.labels)
    truth.swapped = rng.choice(args.images, args.swaps, replace=False)
    shift = rng.integers(1, len(names), args.swaps)
    images.labels[truth.swapped] = (images.labels[truth.swapped] + shift) % len(names)
    images.ids = [
        f"images/{names[label]}/{name}"
        for label, name in zip(images.labels, images.ids, strict=True)
    ]
    write_files(args.folder, images, truth)
    return images, truth


def planted_copy(image, kind, rng):
    """A copy of a strength that is drawn: JPEG of 50 to 80, 60 to 150 % of the side."""
    if kind == "recompressed":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(50, 81)))
        return np.asarray(Image.open(file))
    if kind == "resized":
        side = round(image.shape[0] * float(rng.uniform(0.6, 1.5)))
        return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(copies.augmented_copy(image, kind, rng))


def foreign_images(args):
    """Images of another data set, of CIFAR-10's size."""
    if Path(args.outliers_from).is_dir():
        paths = sorted(path for path in Path(args.outliers_from).rglob("*") if path.is_file())
        chosen = np.random.default_rng(2).choice(len(paths), args.outliers, replace=False)
        arrays = [np.asarray(Image.open(paths[i]).convert("RGB")) for i in chosen]
    else:
        data = tfds.load(args.outliers_from, split="train", data_dir=args.data_dir)
        arrays = [e["image"] for e in data.take(args.outliers).as_numpy_iterator()]
    for array in arrays:
        side = min(array.shape[:2])
        top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
        square = Image.fromarray(array[top : top + side, left : left + side])
        yield np.asarray(square.resize((32, 32), Image.Resampling.LANCZOS))


def write_files(folder, images, truth):
    folder.mkdir(parents=True)
    for image_id, pixels in zip(images.ids, images.pixels, strict=True):
        path = folder / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    with open(folder / "truth.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "fault", "original"))
        for row, original in truth.original.items():
            writer.writerow((images.ids[row], truth.kind[row], images.ids[original]))
        writer.writerows((images.ids[row], "outlier", "") for row in truth.outliers)
        writer.writerows((images.ids[row], "swapped", "") for row in truth.swapped)


def embed(encoder, pixels):
    return np.concatenate(
        [encoder(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    )


def nearest(features):
    units = unit_rows(features)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    similarities, rows = index.search(units, NEIGHBOURS + 1)
    own = rows == np.arange(len(rows))[:, np.newaxis]
    own[~own.any(axis=1), -1] = True  # of many equal ones the image itself may be left out
    shape = len(rows), NEIGHBOURS
    return NeighbourLists(similarities[~own].reshape(shape), rows[~own].reshape(shape))


def print_table(curation: Curation, answers, truth):
    print("\n| fault | method | named | precision | recall | recall of each kind |")
    print("|---|---|---|---|---|---|")
    for name, pairs in duplicate_methods(curation, answers).items():
        print_pairs(name, pairs, truth)
    foreign, swapped = set(truth.outliers), set(truth.swapped.tolist())
    for name, rows in outlier_methods(curation, answers).items():
        print_rows("outliers", name, rows, foreign)
    for name, rows in label_methods(curation, answers).items():
        print_rows("labels", name, rows, swapped, ignored=foreign)


def print_pairs(name, pairs, truth):
    """Pairs count as found where they are a copy and its original, or copies of one original."""
    if pairs is None:
        print(f"| duplicates | {name} | not installed | | | |")
        return
    roots = {frozenset((truth.original.get(a, a), truth.original.get(b, b))) for a, b in pairs}
    correct = sum(truth.original.get(a, a) == truth.original.get(b, b) for a, b in pairs)
    linked = {frozenset(pair) for pair in pairs}
    found = {row: frozenset((row, original)) in linked for row, original in truth.original.items()}
    by_kind = ", ".join(
        f"{kind} {np.mean([found[row] for row in found if truth.kind[row] == kind]):.1%}"
        for kind in copies.KINDS
    )
    recall = np.mean(list(found.values()))
    print(
        f"| duplicates | {name} | {len(pairs):,} pairs of {len(roots):,} | "
        f"{correct / max(len(pairs), 1):.1%} | {recall:.1%} | {by_kind} |"
    )


def print_rows(fault, name, rows, planted, ignored=frozenset()):
    if rows is None:
        print(f"| {fault} | {name} | not installed | | | |")
        return
    named = set(rows) - ignored
    hits = len(named & planted)
    print(
        f"| {fault} | {name} | {len(named):,} | {hits / max(len(named), 1):.1%} | "
        f"{hits / max(len(planted), 1):.1%} | |"
    )


def duplicate_methods(curation: Curation, answers):
    pairs = curation.duplicates.pairs
    ours = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    peers = {
        "imagededup PHash (10 bits of 64)": answers["imagededup_hash"],
        "imagededup CNN's rule (cosine ≥ 0.9) on the same features": answers["imagededup_cnn"],
        "cleanlab on the same features": answers["cleanlab_duplicates"],
    }
    return {"dim_tf": ours} | {
        name: None if answer is None else set(map(tuple, answer.tolist()))
        for name, answer in peers.items()
    }


def outlier_methods(curation: Curation, answers):
    return {
        "dim_tf": np.flatnonzero(curation.outliers.is_outlier).tolist(),
        "cleanlab on the same features": rows_of(answers["cleanlab_outliers"]),
    }


def label_methods(curation: Curation, answers):
    return {
        "dim_tf": curation.labels.issues.rows.tolist() if curation.labels else [],
        "cleanlab on the same features": rows_of(answers["cleanlab_labels"]),
    }


def rows_of(answer):
    return None if answer is None else answer.tolist()


def ask_peers(folder, curation: Curation):
    """Method of curation_peers.py -> its pairs or rows, an array; None where it is not installed.

    A peer that fails ends the benchmark.
    """
    images, answers = curation.images, {}
    with tempfile.TemporaryDirectory() as temporary:
        collection, answer = Path(temporary, "collection.npz"), Path(temporary, "answer.npy")
        np.savez(
            collection,
            paths=[str(folder / image_id) for image_id in images.ids],
            features=images.features,
            labels=images.labels,
        )
        for method in curation_peers.METHODS:
            answers[method] = None
            if curation_peers.is_installed(method):
                command = [sys.executable, curation_peers.__file__, method, collection, answer]
                subprocess.run(command, check=True)
                answers[method] = np.load(answer, allow_pickle=False)
    return answers


if __name__ == "__main__":
    main()

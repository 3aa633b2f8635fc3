"""Patch search: recall of a detail that was pasted into some of many pictures.

    python benchmarks/patch_search.py --encoder exported/dim_cifar10/1 --data_dir=$TFDS_DATA_DIR

A detail, --detail pixels a side, is cut out of a picture that is not searched, and pasted at random
places into --planted of --pictures pictures of CIFAR-10, each time a little brighter or darker and
compressed as JPEG; the pictures without it are compressed likewise. The query is the detail in a
picture of its own, and its box. Searched are the local maps, as `--mode=search` does with a box;
beside them raw patches of the same grid, and the mean of the local map over the picture, which
knows no places. Prints recall among the first --planted and the first twice as many, the mean over
--details details and its standard error; as JSON to --output.
"""

import argparse
import io
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from anomaly import load_encoder, local_maps_of
from PIL import Image

from dim_tf.collection.patches.pixel_patches import pixel_patches

JPEG_QUALITY = 90
BRIGHTNESS = 0.1  # of the range of pixels, by which a pasted detail may differ


def plant(
    pictures: np.ndarray, detail: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes a detail into some pictures.

    Args:
        pictures: uint8 [N, h, w, 3].
        detail: uint8 [s, s, 3].
        count: Pictures that get it.
        rng: Draws which, and where.

    Returns:
        The pictures, uint8 [N, h, w, 3], compressed, and the rows of those with the detail.
    """
    planted = pictures.copy()
    rows = np.sort(rng.choice(len(pictures), count, replace=False))
    for row in rows:
        top, left = (rng.integers(0, n - len(detail) + 1) for n in pictures.shape[1:3])
        change = rng.uniform(-BRIGHTNESS, BRIGHTNESS) * 255
        pasted = np.clip(detail + change, 0, 255).astype(np.uint8)
        planted[row, top : top + len(detail), left : left + len(detail)] = pasted
    return np.stack([compressed(picture) for picture in planted]), rows


def compressed(picture: np.ndarray) -> np.ndarray:
    """The picture after a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))


def recall(similarities: np.ndarray, rows: np.ndarray, first: int) -> float:
    """The fraction of the rows that are among the most similar."""
    return float(np.isin(rows, np.argsort(-similarities, kind="stable")[:first]).mean())


def similarities_by(
    maps_of, pictures: np.ndarray, query: np.ndarray, box: tuple[int, int, int, int]
) -> dict[str, np.ndarray]:
    """The similarity of each picture to the detail, by its patches and by the mean of its map."""
    from dim_tf.collection.patches.patch_search import features_in_box, score_images

    maps = maps_of(pictures)
    local_map = maps_of(query[np.newaxis])[0]
    patches = features_in_box(local_map, box, query.shape[:2])
    flat = maps.reshape(len(maps), -1, maps.shape[3])
    means = flat.mean(axis=1, dtype=np.float32, keepdims=True)
    whole = local_map.mean(axis=(0, 1), dtype=np.float32)[np.newaxis]
    return {
        "patches": score_images(flat, patches).similarities,
        "whole picture": score_images(means, whole).similarities,
    }


def measure(
    functions: dict, pictures: np.ndarray, sources: np.ndarray, args: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Recall by features, for each detail.

    Args:
        functions: Name of the features -> a function from images to local maps.
        pictures: uint8 [N, h, w, 3], to search.
        sources: uint8 [details, h, w, 3], whose details are planted; they are the queries.
        args: detail, planted and seed.
    """
    recalls: dict[str, dict[str, list[float]]] = {}
    size = args.detail
    for number, source in enumerate(sources):
        rng = np.random.default_rng([args.seed, number])
        top, left = (int(rng.integers(0, n - size + 1)) for n in source.shape[:2])
        detail = source[top : top + size, left : left + size]
        searched, rows = plant(pictures, detail, args.planted, rng)
        for name, maps_of in functions.items():
            box = (top, left, size, size)
            for kind, similarities in similarities_by(maps_of, searched, source, box).items():
                of_kind = recalls.setdefault(f"{name}, {kind}", {})
                for first in (args.planted, 2 * args.planted):
                    of_kind.setdefault(f"recall@{first}", []).append(
                        recall(similarities, rows, first)
                    )
    return recalls


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--encoder", required=True, help="an export: exported/NAME/1")
    parser.add_argument("--data_dir", required=True, help="of TFDS")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--planted", type=int, default=100)
    parser.add_argument("--detail", type=int, default=16, help="pixels a side")
    parser.add_argument("--details", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="of the JSON")
    args = parser.parse_args()
    import tensorflow_datasets as tfds

    # The encoder was trained on the split train: the searched pictures are new to it.
    split = f"test[:{args.pictures}]"
    pictures = tfds.load("cifar10", split=split, data_dir=args.data_dir, batch_size=-1)
    sources = tfds.load(
        "cifar10", split=f"train[:{args.details}]", data_dir=args.data_dir, batch_size=-1
    )
    pictures, sources = (np.asarray(part["image"]) for part in (pictures, sources))
    grid = load_encoder(args.encoder).shape[:2]
    functions = {
        "local features": lambda images: local_maps_of(args.encoder, images),
        "raw pixels": lambda images: pixel_patches(images, grid),
    }
    recalls = measure(functions, pictures, sources, args)
    columns = list(next(iter(recalls.values())))
    print(f"| features | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name, by_column in recalls.items():
        cells = [
            f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"
            for values in by_column.values()
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    if args.output:
        args.output.write_text(json.dumps(recalls, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

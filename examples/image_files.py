"""Writes a data set's images like a user's folder: mixed formats and sizes, nested, no labels.

    python examples/image_files.py --data_dir=$TFDS_DATA_DIR --out=photos

The folder of docs/TUTORIAL.md: each training image of CIFAR-10, or the first --count of them, as a
JPEG, PNG or WebP file of 32 to 56 pixels a side, in folders of 1,000. In two thirds of the files
one side is longer: the centred square is the image, with mirrored edges beside it. Some JPEGs are
rotated and have the EXIF orientation that undoes it. Five files are broken. The file --labels,
outside the folder, has each file's class, as dim_tf's --labels takes it. Everything is a function
of the image's number.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dim_tf.data import DataRequest, load
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text

FORMATS = {"jpg": {"quality": 92}, "png": {}, "webp": {"quality": 92}}
# Width and height for a side of 1: landscape, portrait, square.
EXTENTS = ((4 / 3, 1), (1, 3 / 2), (1, 1))
# Rotations of the pixels, and the EXIF orientation that undoes them.
TURNS = ((None, None), (Image.Transpose.ROTATE_90, 6), (Image.Transpose.ROTATE_180, 3))
ORIENTATION = 0x0112


def image_path(number: int) -> str:
    """Path of an image's file below the folder, with "/"."""
    suffix = list(FORMATS)[number % len(FORMATS)]
    return f"album {number // 10_000}/día {number % 10_000 // 1_000}/IMG_{number:05d}.{suffix}"


def pad(image: np.ndarray, number: int) -> Image.Image:
    """Resizes an image to its number's size and pads it with mirrored edges.

    Args:
        image: uint8 [H, W, 1 or 3], H = W.
        number: Of the image.
    """
    side = int(np.random.default_rng(number).integers(32, 57))
    wide, high = EXTENTS[number // len(FORMATS) % len(EXTENTS)]
    rgb = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy())
    resized = rgb.resize((side, side), Image.Resampling.BICUBIC)
    across, down = (round(side * (factor - 1) / 2) for factor in (wide, high))
    edges = ((down, down), (across, across), (0, 0))
    return Image.fromarray(np.pad(np.asarray(resized), edges, mode="symmetric"))


def write(folder: Path, image: np.ndarray, number: int) -> None:
    """Writes an image's file, or replaces it."""
    path = folder / image_path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    padded, options = pad(image, number), dict(FORMATS[path.suffix[1:]])
    if path.suffix == ".jpg":
        turn, orientation = TURNS[number // 9 % len(TURNS)]
        if turn is not None:
            padded = padded.transpose(turn)
            options["exif"] = Image.Exif()
            options["exif"][ORIENTATION] = orientation
    padded.save(path, **options)


def write_broken(folder: Path) -> None:
    """Writes five broken images and one file of another kind."""
    whole = (folder / image_path(0)).read_bytes()
    broken = {
        "empty.jpg": b"",
        "cut off.jpg": whole[: len(whole) // 2],
        "a page.png": b"<html><body>404 Not Found</body></html>",
        "zeros.webp": bytes(1000),
        "half a head.gif": b"GIF89a",
        "notes.txt": b"Lisboa, Porto, Faro\n",
    }
    for name, octets in broken.items():
        (folder / name).write_bytes(octets)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="cifar10", help="as for dim_tf")
    parser.add_argument("--data_dir", default="", help="folder of the data set")
    parser.add_argument("--count", type=int, help="number of images; default: all")
    parser.add_argument("--out", type=Path, default=Path("photos"), help="the folder")
    parser.add_argument("--labels", type=Path, default=Path("photos.csv"), help="file, label")
    arguments = parser.parse_args()
    for option, path in (("--out", arguments.out), ("--labels", arguments.labels)):
        if path.exists():
            sys.exit(f"error: {path} exists; remove it or give another {option}")
    try:
        splits = load(arguments.dataset, DataRequest(data_dir=arguments.data_dir))
    except InputError as error:
        sys.exit(f"error: {error}")
    train = splits.train
    if train.labels is None:
        sys.exit(f"error: the training images of {arguments.dataset} have no labels to write")
    images = train.images[: arguments.count]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(partial(write, arguments.out), images, range(len(images))))
    write_broken(arguments.out)
    lines = [f"{image_path(n)},{splits.label_names[train.labels[n]]}" for n in range(len(images))]
    atomic_write_text(arguments.labels, "\n".join(["file,label", *lines]) + "\n")
    print(f"{len(images)} images in {arguments.out}, their classes in {arguments.labels}")


if __name__ == "__main__":
    main()

"""Writes a data set's images as people have theirs: mixed formats and sizes, nested, no labels.

    python examples/image_files.py --data_dir=$TFDS_DATA_DIR --out=photos

What docs/TUTORIAL.md trains on: each training image of CIFAR-10, or the first --count of them, as a
JPEG, PNG or WebP file of 32 to 56 pixels a side, one side longer in two thirds of them (the centred
square is the image, what is beside it its mirrored edges), some JPEGs turned and with the EXIF
orientation that says so, in folders of 1,000 by number; and five files that are broken. Each file's
class is written to --labels, outside of the folder, to look at the neighbours by. All of it is a
function of the image's number.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dim_tf.data import Request, load
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text

FORMATS = {"jpg": {"quality": 92}, "png": {}, "webp": {"quality": 92}}
# Written size for a size of 1: more wide than high, more high than wide, square.
EXTENTS = ((4 / 3, 1), (1, 3 / 2), (1, 1))
# How the pixels are turned, with the number of EXIF's orientation that turns them back.
TURNS = ((None, None), (Image.Transpose.ROTATE_90, 6), (Image.Transpose.ROTATE_180, 3))
ORIENTATION = 0x0112


def path_of(number: int) -> str:
    """Of an image's file below the folder, with "/"."""
    suffix = list(FORMATS)[number % len(FORMATS)]
    return f"album {number // 10_000}/día {number % 10_000 // 1_000}/IMG_{number:05d}.{suffix}"


def spread(image: np.ndarray, number: int) -> Image.Image:
    """The image at its number's size, with mirrored edges beside it.

    Args:
        image: uint8 [H, W, 1 or 3], H = W.
        number: of the image.
    """
    side = int(np.random.default_rng(number).integers(32, 57))
    wide, high = EXTENTS[number // len(FORMATS) % len(EXTENTS)]
    colours = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy())
    resized = colours.resize((side, side), Image.Resampling.BICUBIC)
    across, down = (round(side * (share - 1) / 2) for share in (wide, high))
    edges = ((down, down), (across, across), (0, 0))
    return Image.fromarray(np.pad(np.asarray(resized), edges, mode="symmetric"))


def write(folder: Path, image: np.ndarray, number: int) -> None:
    """Writes the image's file; one that is there is written anew."""
    path = folder / path_of(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture, options = spread(image, number), dict(FORMATS[path.suffix[1:]])
    if path.suffix == ".jpg":
        turn, orientation = TURNS[number // 9 % len(TURNS)]
        if turn is not None:
            picture = picture.transpose(turn)
            options["exif"] = Image.Exif()
            options["exif"][ORIENTATION] = orientation
    picture.save(path, **options)


def write_broken(folder: Path) -> None:
    """Five files that are no whole image, and one of another kind."""
    whole = (folder / path_of(0)).read_bytes()
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
    parser.add_argument("--data_dir", default="", help="where its files are")
    parser.add_argument("--count", type=int, help="of images; all of them where left out")
    parser.add_argument("--out", type=Path, default=Path("photos"), help="the folder")
    parser.add_argument("--labels", type=Path, default=Path("photos.csv"), help="file, class")
    arguments = parser.parse_args()
    for option, path in (("--out", arguments.out), ("--labels", arguments.labels)):
        if path.exists():
            sys.exit(f"error: {path} exists; remove it or give another {option}")
    try:
        train = load(arguments.dataset, Request(data_dir=arguments.data_dir)).train
    except InputError as error:
        sys.exit(f"error: {error}")
    if train.labels is None:
        sys.exit(f"error: the training images of {arguments.dataset} have no labels to write")
    images = train.images[: arguments.count]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(partial(write, arguments.out), images, range(len(images))))
    write_broken(arguments.out)
    lines = [f"{path_of(n)},{train.labels[n]}" for n in range(len(images))]
    atomic_write_text(arguments.labels, "\n".join(["file,class", *lines]) + "\n")
    print(f"{len(images)} images in {arguments.out}, their classes in {arguments.labels}")


if __name__ == "__main__":
    main()

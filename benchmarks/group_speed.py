"""Seconds and memory of grouping a large folder's images, and what the scan takes more for it.

    python benchmarks/group_speed.py --images=100000

Prints the milliseconds of one thread for the hash and the thumbnail of an image, by its size; then
the seconds of `group_images` (--group_by=auto) and the growth of peak memory for folders of
--images hashes and thumbnails: of unrelated images; of videos of 100 frames; of pages, which are
all alike. They are drawn as images of 12x12 pixels, without files.
"""

import argparse
import resource
import time

import numpy as np
from interleaved import load, seconds_of
from PIL import Image

from dim_tf.data.folder.groups import group_images
from dim_tf.data.folder.manifest import Manifest
from dim_tf.data.folder.perceptual_hash import THUMBNAIL_SIDE, hash_and_thumbnail

SIDES = (32, 64, 256, 1024)
FRAMES = 100
CELLS = 5  # of color, a side, of a drawn scene
NOISE = 4.0  # gray levels, between frames
BLOCK = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    args = parser.parse_args()
    print(load(), flush=True)
    rng = np.random.default_rng(0)
    print("| image | ms |\n|---|---|")
    for side in SIDES:
        image = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        seconds = seconds_of(lambda image=image: hash_and_thumbnail(image), 0.5)
        print(f"| {side}x{side} | {1e3 * seconds:.2f} |", flush=True)
    print("| folder | seconds | groups | largest | MiB |\n|---|---|---|---|---|")
    folders = {
        "unrelated images": scenes(args.images, 1, 128.0, rng),
        f"videos of {FRAMES} frames": scenes(args.images, FRAMES, 128.0, rng),
        "pages": scenes(args.images, 1, 24.0, rng),
    }
    for title, images in folders.items():
        before = peak_mebibytes()
        began = time.perf_counter()
        groups = group_images("auto", images)
        seconds = time.perf_counter() - began
        sizes = groups.sizes
        print(
            f"| {title} | {seconds:.1f} | {(sizes > 1).sum():,} | {sizes.max():,} | "
            f"{peak_mebibytes() - before:.0f} |",
            flush=True,
        )
    print(load())


def scenes(count: int, frames: int, contrast: float, rng: np.random.Generator) -> Manifest:
    """Manifest of drawn images: a common page, a scene of its own each, and noise.

    Args:
        count: of the images.
        frames: images of each scene.
        contrast: of the scenes, in gray levels; that of the page is 128 less this.
        rng: of all that is drawn.
    """
    names = [f"video_{i // frames:06d}/frame_{i % frames:03d}.png" for i in range(count)]
    images = Manifest.unscanned(names)
    page = rng.uniform(-1, 1, (1, CELLS, CELLS, 3)) * (128 - contrast)
    images.pixel_digests[:] = rng.integers(0, 256, images.pixel_digests.shape, np.uint8)
    scale = np.linspace(0, CELLS - 1.001, THUMBNAIL_SIDE)
    cell, weight = scale.astype(int), scale % 1
    blend = np.zeros((THUMBNAIL_SIDE, CELLS))  # linear interpolation
    blend[np.arange(THUMBNAIL_SIDE), cell] = 1 - weight
    blend[np.arange(THUMBNAIL_SIDE), cell + 1] += weight
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        cells = rng.uniform(-1, 1, (-(-(stop - start) // frames), CELLS, CELLS, 3)) * contrast
        cells = np.repeat(page + cells, frames, axis=0)[: stop - start]
        pixels = np.einsum("yi,nijc,xj->nyxc", blend, cells, blend) + 128
        pixels += rng.normal(0, NOISE, pixels.shape)
        drawn = np.clip(pixels, 0, 255).astype(np.uint8)
        for index, image in enumerate(drawn, start):
            hashed, thumbnail = hash_and_thumbnail(Image.fromarray(image))
            images.hashes[index] = np.frombuffer(hashed, np.uint8)
            images.thumbnails[index] = np.frombuffer(thumbnail, np.uint8)
    return images


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

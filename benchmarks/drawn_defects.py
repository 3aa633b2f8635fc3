"""Draws textures with defects and their masks: a data set for anomaly detection and segmentation.

    python benchmarks/drawn_defects.py --output=defects/

Writes the folders of MVTec AD (https://www.mvtec.com/company/research/datasets/mvtec-ad), so that
what reads that data set reads this one: train/good, test/good, test/scratch, test/blob with
NNN.png, and ground_truth/scratch and ground_truth/blob with NNN_mask.png, white where the defect
is. The same --seed draws the same images.

A texture is a weave of two waves whose direction, phase and colour differ from image to image, with
grain; so no pixel has a value of its own, and a patch is normal by its structure. A scratch is a
bent line of one or two pixels, darker or lighter than what it crosses. A blob is a soft disc in
which the weave is blurred and tinted.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw

NORMAL, SCRATCH, BLOB = 0, 1, 2  # classes of the masks
NAMES = {SCRATCH: "scratch", BLOB: "blob"}
CONTRAST = 0.3  # of a defect, of the range of pixels


@dataclass(frozen=True)
class DrawnImages:
    """Textures.

    Attributes:
        images: uint8 [N, S, S, 3].
        masks: uint8 [N, S, S], the class of each pixel.
    """

    images: np.ndarray
    masks: np.ndarray

    @property
    def kinds(self) -> np.ndarray:
        """The class of each image's defect, uint8 [N]; `NORMAL` where there is none."""
        return self.masks.max(axis=(1, 2))


def draw(kinds: np.ndarray, size: int, seed: int) -> DrawnImages:
    """Draws an image for each kind of defect.

    Args:
        kinds: int [N], of NORMAL, SCRATCH, BLOB.
        size: S, pixels a side.
        seed: Of everything that is drawn.
    """
    images = np.empty((len(kinds), size, size, 3), np.uint8)
    masks = np.zeros((len(kinds), size, size), np.uint8)
    draw_defect = {SCRATCH: draw_scratch, BLOB: draw_blob}
    for number, kind in enumerate(kinds):
        rng = np.random.default_rng([seed, number])
        pixels = draw_texture(rng, size)
        if kind != NORMAL:
            pixels, is_defect = draw_defect[kind](rng, pixels)
            masks[number][is_defect] = kind
        images[number] = np.rint(255 * np.clip(pixels, 0, 1))
    return DrawnImages(images, masks)


def draw_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A weave, float64 [S, S, 3], mostly within [0.2, 0.8]."""
    y, x = np.mgrid[:size, :size]
    angle = rng.uniform(-0.3, 0.3)
    period = rng.uniform(3.5, 4.5)
    phases = rng.uniform(0, 2 * np.pi, 2)
    along = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + phases[0]
    across = 2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period + phases[1]
    weave = np.sin(along) * np.sin(across)
    grain = scipy.ndimage.gaussian_filter(rng.normal(size=(size, size)), 0.7)
    light = 0.5 + 0.15 * weave + 0.08 * grain
    tint = rng.uniform(0.9, 1.1, 3)
    return light[:, :, np.newaxis] * tint


def draw_scratch(rng: np.random.Generator, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels with a bent line, and bool [S, S], where it is."""
    size = len(pixels)
    start = rng.uniform(0.15, 0.85, 2) * size
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    points = [tuple(start)]
    for step in range(4):
        direction = angle + bend * step
        points.append(
            (
                points[-1][0] + np.cos(direction) * size / 12,
                points[-1][1] + np.sin(direction) * size / 12,
            )
        )
    canvas = Image.new("L", (size, size))
    width = int(rng.integers(1, 3)) * max(size // 64, 1)
    ImageDraw.Draw(canvas).line(points, fill=255, width=width)
    is_defect = np.asarray(canvas) > 0
    change = CONTRAST * rng.choice([-1, 1])
    return np.where(is_defect[:, :, np.newaxis], pixels + change, pixels), is_defect


def draw_blob(rng: np.random.Generator, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels with a disc of blurred weave, and bool [S, S], where half of it shows."""
    size = len(pixels)
    center = rng.uniform(0.2, 0.8, 2) * size
    radius = rng.uniform(0.08, 0.14) * size
    y, x = np.mgrid[:size, :size] + 0.5
    distance = np.hypot(y - center[0], x - center[1])
    strength = np.clip(0.5 + (radius - distance) / 2, 0, 1)[:, :, np.newaxis]
    blurred = scipy.ndimage.gaussian_filter(pixels, (2, 2, 0))
    stained = blurred + 0.25 * CONTRAST * rng.choice([-1, 1]) * rng.dirichlet(np.ones(3)) * 3
    return pixels * (1 - strength) + stained * strength, strength[:, :, 0] >= 0.5


def draw_splits(
    normal: int, test_normal: int, test_defects: int, size: int, seed: int
) -> tuple[DrawnImages, DrawnImages]:
    """Normal images to train on, and normal and defective ones to test on.

    Args:
        normal: Images to train on.
        test_normal: Normal images to test on.
        test_defects: Images of each kind of defect.
        size: Pixels a side.
        seed: Of everything that is drawn.
    """
    kinds = np.repeat([NORMAL, SCRATCH, BLOB], [test_normal, test_defects, test_defects])
    train = draw(np.full(normal, NORMAL), size, 2 * seed)
    return train, draw(kinds, size, 2 * seed + 1)


def write_folders(output: Path, train: DrawnImages, test: DrawnImages) -> None:
    """Writes the images and masks as PNG files, in the folders of MVTec AD."""
    for split, drawn in (("train", train), ("test", test)):
        numbers = dict.fromkeys((NORMAL, *NAMES), 0)
        for image, mask, kind in zip(drawn.images, drawn.masks, drawn.kinds, strict=True):
            name, number = NAMES.get(int(kind), "good"), numbers[int(kind)]
            numbers[int(kind)] += 1
            path = output / split / name / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            if kind != NORMAL:
                path = output / "ground_truth" / name / f"{number:03d}_mask.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--normal", type=int, default=1000)
    parser.add_argument("--test_normal", type=int, default=500)
    parser.add_argument("--test_defects", type=int, default=250, help="of each kind")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train, test = draw_splits(
        args.normal, args.test_normal, args.test_defects, args.size, args.seed
    )
    write_folders(args.output, train, test)
    print(f"{len(train.images):,} and {len(test.images):,} images: {args.output}")


if __name__ == "__main__":
    main()

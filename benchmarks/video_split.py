"""What a split by single images hides: nearest neighbours on videos, by hash and by groups.

    python benchmarks/video_split.py

Draws folders of --videos short videos of --frames frames, each of one of five shapes (the classes)
that wanders over a textured scene, with noise and one cut; a few videos are saved in half size a
second time, as copies under other names. Prints a table of each way to split them
(`--group_by`): the pairs of frames of one video that are in one group, the pairs of two videos that
are, the pairs of one video on both sides of the split, and the accuracy of the vote of neighbours
on raw pixels and on an encoder with random weights. Values are means over --folders folders, in
parentheses the lowest and highest. A second table has the same with the frames named at random,
where only their pixels tell which belong together.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image, ImageDraw

from dim_tf import data
from dim_tf.data.splits import Splits
from dim_tf.evaluation import representation
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.experiment import Experiment
from dim_tf.training.model import random_encoder

SHAPES = ("disc", "square", "triangle", "cross", "ring")
SIDE = 64
NOISE = 6.0  # gray levels
STEP = 1.5  # pixels that shape and camera move between frames
SCENE_CELLS = 6  # of color, a side; blurred to a scene
TEST_FRACTION = 0.3  # 15 of 50 videos
DIGITS = (1, 1, 0, 0, 1, 1)  # of each column
MODES = ("none", "near_duplicates", "auto", r"video_(\d+)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=50)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--folders", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for is_named in (True, False):
            rows: dict[str, list[list[float]]] = {}
            for seed in range(args.folders):
                folder = Path(temporary) / f"{'named' if is_named else 'random'}{seed}"
                videos = draw_videos(folder, args.videos, args.frames, seed, is_named)
                for mode in MODES[: len(MODES) if is_named else 3]:
                    rows.setdefault(mode, []).append(measure(folder, videos, mode))
            print_table("frames by number" if is_named else "names at random", rows)


def draw_videos(
    folder: Path, videos: int, frames: int, seed: int, is_named: bool
) -> dict[str, int]:
    """Writes the frames as PNGs in folders of classes.

    Args:
        folder: of the classes.
        videos: how many.
        frames: of each.
        seed: of all that is drawn.
        is_named: by their video and number, or at random.

    Returns:
        The video of each path.
    """
    rng = np.random.default_rng(seed)
    video_of = {}
    for video in range(videos):
        shape = SHAPES[video % len(SHAPES)]
        for number, image in enumerate(video_frames(shape, frames, rng)):
            name = f"video_{video:03d}_frame_{number:04d}"
            copies = {name: image}
            if video % 10 == 0 and number % 10 == 0:
                copies[f"{name}_small"] = image.resize((SIDE // 2, SIDE // 2))
            for copy_name, copy in copies.items():
                stem = copy_name if is_named else f"{rng.bytes(8).hex()}"
                path = folder / shape / f"{stem}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                copy.save(path)
                video_of[f"{shape}/{stem}.png"] = video
    return video_of


def video_frames(shape: str, frames: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    """The frames of one video: a shape wanders over two scenes, one after the other."""
    color = tuple(rng.integers(0, 256, 3).tolist())
    radius = rng.uniform(7, 14)
    cut = rng.integers(frames // 4, 3 * frames // 4)
    for number in range(frames):
        if number in (0, cut):
            cells = rng.integers(0, 256, (SCENE_CELLS, SCENE_CELLS, 3), np.uint8)
            scene = Image.fromarray(cells).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
            camera = rng.uniform(SIDE // 4, 3 * SIDE // 4, 2)
            position = rng.uniform(radius, SIDE - radius, 2)
        camera = np.clip(camera + rng.normal(0, STEP, 2), 0, SIDE)
        position = np.clip(position + rng.normal(0, STEP, 2), radius, SIDE - radius)
        left, top = camera.round().astype(int).tolist()
        frame = scene.crop((left, top, left + SIDE, top + SIDE))
        draw_shape(frame, shape, position, radius, color)
        pixels = np.asarray(frame) + rng.normal(0, NOISE, (SIDE, SIDE, 3))
        yield Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_shape(frame: Image.Image, shape: str, position, radius: float, color) -> None:
    """Draws one of `SHAPES`, centered at a position (x, y)."""
    pen = ImageDraw.Draw(frame)
    (x, y), r = position, radius
    box = (x - r, y - r, x + r, y + r)
    if shape == "disc":
        pen.ellipse(box, fill=color)
    elif shape == "square":
        pen.rectangle(box, fill=color)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=color)
    elif shape == "cross":
        pen.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill=color)
        pen.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill=color)
    else:
        pen.ellipse(box, outline=color, width=round(r / 3))


def measure(folder: Path, videos: dict[str, int], mode: str) -> list[float]:
    """One row: fractions of pairs in one group, pairs on both sides, and two accuracies."""
    request = data.DataRequest(
        data_dir=str(folder),
        cache_dir=str(folder.with_name("cache")),
        image_size=32,
        group_by=mode,
        test_fraction=TEST_FRACTION,
    )
    splits = data.load("folder", request)
    names = [*splits.test.images.names, *splits.train.images.names]
    groups = np.concatenate([splits.test.groups, splits.train.groups])
    video = np.array([videos[name] for name in names])
    is_test = np.arange(len(names)) < len(splits.test)
    same_video, same_group = (x[:, np.newaxis] == x for x in (video, groups))
    pair = np.triu(np.ones_like(same_video), 1)
    both_sides = is_test[:, np.newaxis] != is_test
    return [
        100 * (same_group & same_video & pair).sum() / (same_video & pair).sum(),
        100 * (same_group & ~same_video & pair).sum() / (~same_video & pair).sum(),
        (same_video & both_sides & pair).sum(),
        is_test.sum(),
        *accuracies(splits),
    ]


def accuracies(splits: Splits) -> Iterator[float]:
    """Per cent of the vote of neighbours: raw pixels, and fc of an encoder with random weights."""
    evaluated = EvaluationData.from_splits(splits)
    pixels = representation.from_pixels(evaluated)
    encoder = random_encoder(
        Experiment.of(name="untrained", dataset="folder", image_size=32), splits.train.images
    )
    untrained = representation.from_encoder(encoder, evaluated)
    for features, endpoint in ((pixels, "pixels"), (untrained, "fc")):
        results = NearestNeighbours(features).run()
        yield 100 * next(result.value for result in results if result.endpoint == endpoint)


def print_table(title: str, rows: dict[str, list[list[float]]]) -> None:
    columns = ("pairs of one video in a group, %", "of two videos, %", "pairs on both sides")
    columns += ("test images", "kNN: raw pixels, %", "untrained fc, %")
    print(f"\n| {title}: `--group_by` | {' | '.join(columns)} |")
    print("|---" * 7 + "|")
    for mode, folders in rows.items():
        cells = [
            f"{np.mean(values):,.{n}f} ({min(values):,.{n}f} to {max(values):,.{n}f})"
            for values, n in zip(zip(*folders, strict=True), DIGITS, strict=True)
        ]
        print(f"| `{mode}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

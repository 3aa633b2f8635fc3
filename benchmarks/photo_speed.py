r"""Images/s from a folder of photographs, beside the limit of libjpeg-turbo on the same cores.

    python benchmarks/photo_speed.py --images=200
    python benchmarks/photo_speed.py --folder=photos --saved_model=exported/photos/1

Writes --images JPEGs of 12 megapixels (noise with the spectrum of natural images, shapes, grain;
quality 90) to --folder, where existing ones stay. Then it measures, in --repetitions turns:

    libjpeg-turbo, 1/n   nothing but decoding at 1/n of each side, files in memory, a process for
                         each core (by simplejpeg where it is installed, else by Pillow)
    scan                 `scan_folder` of files that it has not seen
    decode to S          splitting, decoding and writing the cache for images of S pixels
    from the cache, S    the same again, and one pass over the pixels
    embed                --saved_model's features by `embed`, the model loaded before

Prints the medians, the CPU milliseconds for an image (of all threads; other work on the machine
changes them less than images/s), and the ratio of each step to libjpeg-turbo at the scale that it
decodes at, in both. Files are read from the page cache.
"""

import argparse
import functools
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from interleaved import in_turns, load, medians
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 4000, 3000
SCALES = (1, 2, 4, 8)
SCANNED_AT = 4  # where a photograph of 12 megapixels has no more than 2**20
CHUNK = 4  # files that a process of the limit reads before it decodes them


def photograph(number: int) -> Image.Image:
    """Noise of all octaves, amplitudes falling with frequency; shapes; grain."""
    rng = np.random.default_rng(number)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    cells = 4
    while cells <= WIDTH // 2:
        shape = (cells * HEIGHT // WIDTH, cells, 3)
        grid = rng.normal(0, 50 * (4 / cells) ** 0.8, shape).astype(np.float32)
        for channel in range(3):
            octave = Image.fromarray(grid[..., channel])
            pixels[..., channel] += octave.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        cells *= 2
    # Channels of natural images are correlated.
    pixels = 128 + 0.7 * pixels.mean(-1, keepdims=True) + 0.3 * pixels
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for index in range(30):
        x, y, width, height = rng.integers((0, 0, 20, 20), (WIDTH, HEIGHT, 800, 800)).tolist()
        color = tuple(rng.integers(0, 256, 3).tolist())
        shape_of = draw.ellipse if index % 2 else draw.rectangle
        shape_of((x, y, x + width, y + height), fill=color)
    grain = rng.integers(-12, 13, (HEIGHT, WIDTH, 1), np.int16)
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def write_photograph(path: Path, number: int) -> None:
    """Writes one that is not there."""
    if not path.exists():
        photograph(number).save(path, quality=90)


class Stopwatch:
    """Measures that record the processor's seconds beside the seconds that they return.

    Attributes:
        cpu_seconds: by name, a value for each call.
    """

    def __init__(self) -> None:
        self.cpu_seconds: dict[str, list[float]] = {}

    def measure(self, name: str, call: Callable[[], object]) -> Callable[[], float]:
        """The function that calls `call` and returns its seconds."""
        self.cpu_seconds[name] = []

        def seconds():
            began, cpu_began = time.perf_counter(), time.process_time()
            call()
            self.cpu_seconds[name].append(time.process_time() - cpu_began)
            return time.perf_counter() - began

        return seconds


def decode_alone(paths: list[Path], scale: int) -> tuple[float, float]:
    """Seconds of decoding some files at 1/scale of each side, without reading; the processor's."""
    encoded = [path.read_bytes() for path in paths]
    began, cpu_began = time.perf_counter(), time.process_time()
    for data in encoded:
        if find_spec("simplejpeg"):
            import simplejpeg

            simplejpeg.decode_jpeg(data, min_height=HEIGHT // scale, min_width=WIDTH // scale)
        else:
            image = Image.open(io.BytesIO(data))
            image.draft(None, (WIDTH // scale, HEIGHT // scale))
            image.load()
    return time.perf_counter() - began, time.process_time() - cpu_began


def limit(
    processes: ProcessPoolExecutor, paths: list[Path], cpu_seconds: list[float], scale: int
) -> float:
    """Seconds of decoding on all cores at once, as one of them takes for its part."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    seconds = list(processes.map(decode_alone, chunks, [scale] * len(chunks)))
    cpu_seconds.append(sum(cpu for _, cpu in seconds))
    return sum(wall for wall, _ in seconds) / (os.cpu_count() or 1)


def decoded_at(size: int) -> int:
    """The scale at which a photograph is decoded for `size` pixels."""
    from dim_tf.data.image_bounds import JPEG_OVERSAMPLING

    return max(n for n in SCALES if n == 1 or HEIGHT // n >= JPEG_OVERSAMPLING * size)


def folder_measures(folder: Path, sizes: list[int], scratch: Path) -> dict[str, Callable]:
    """The folder's steps by name."""
    from dim_tf.data import DataRequest
    from dim_tf.data import load as load_data
    from dim_tf.data.folder.scan import scan_folder

    caches: list[Path] = []

    def scan():
        caches.append(Path(tempfile.mkdtemp(dir=scratch)))
        scan_folder(folder, caches[-1] / "manifests")

    def open_splits(size):
        splits = load_data("folder", DataRequest(str(folder), size, cache_dir=str(caches[-1])))
        for split in (splits.train, splits.test):
            int(split.images[:].sum())

    measures: dict[str, Callable] = {"scan": scan}
    for size in sizes:
        for name in (f"decode to {size}", f"from the cache, {size}"):
            measures[name] = functools.partial(open_splits, size)
    return measures


def embed_measure(saved_model: Path, folder: Path, scratch: Path) -> Callable[[], object]:
    """The function that embeds the folder."""
    from dim_tf.collection import embed, image_collection
    from dim_tf.export import saved_model as saved_models

    saved_models.load = functools.cache(saved_models.load)
    collection = image_collection.open_collection(str(folder))
    saved_models.load(str(saved_model), embed.SIGNATURE)

    def embed_folder():
        output = Path(tempfile.mkdtemp(dir=scratch)) / "embedded"
        embed.embed(saved_model, collection, output, "parquet", 4096)

    return embed_folder


def table(
    seconds: dict[str, list[float]],
    cpu_seconds: dict[str, list[float]],
    scales: dict[str, int],
    count: int,
) -> str:
    """The rows in Markdown."""

    def ratio(values, name):
        if name not in scales:
            return ""
        pairs = zip(values[limit_name(scales[name])], values[name], strict=True)
        return f"{statistics.median(bound / this for bound, this in pairs):.2f}"

    head = ["step", "images/s", "of libjpeg-turbo's", "CPU ms an image", "libjpeg-turbo's of them"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    cpu_medians = medians(cpu_seconds)
    for name, median in medians(seconds).items():
        cells = [name, f"{count / median:,.1f}", ratio(seconds, name)]
        cells += [f"{1e3 * cpu_medians[name] / count:.1f}", ratio(cpu_seconds, name)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def limit_name(scale: int) -> str:
    """The row of libjpeg-turbo at a scale."""
    return f"libjpeg-turbo, 1/{scale}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the photographs are made, and stay")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 224])
    parser.add_argument("--saved_model", type=Path, help="an export, for the row of embed")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        ProcessPoolExecutor(os.cpu_count()) as processes,  # forked before TensorFlow is imported
    ):
        folder = arguments.folder or Path(temporary) / "images"
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:06d}.jpg" for number in range(arguments.images)]
        list(processes.map(write_photograph, paths, range(len(paths))))
        megabytes = sum(path.stat().st_size for path in paths) / len(paths) / 1e6
        print(f"{len(paths):,} JPEGs of {WIDTH} x {HEIGHT}, {megabytes:.1f} MB each; {load()}")
        decoder = "simplejpeg" if find_spec("simplejpeg") else "Pillow"
        print(f"libjpeg-turbo is called by {decoder}", flush=True)
        steps = folder_measures(folder, arguments.sizes, Path(temporary))
        scales = {f"decode to {size}": decoded_at(size) for size in arguments.sizes}
        scales["scan"] = SCANNED_AT
        if arguments.saved_model:
            metadata = json.loads((arguments.saved_model / "assets/metadata.json").read_text())
            name = f"embed, {metadata['image_size']} pixels"
            scales[name] = decoded_at(metadata["image_size"])
            steps[name] = embed_measure(arguments.saved_model, folder, Path(temporary))
        stopwatch = Stopwatch()
        measures: dict[str, Callable] = {}
        for n in SCALES:
            cpu_seconds = stopwatch.cpu_seconds.setdefault(limit_name(n), [])
            measures[limit_name(n)] = functools.partial(limit, processes, paths, cpu_seconds, n)
        measures |= {name: stopwatch.measure(name, call) for name, call in steps.items()}
        seconds = in_turns(measures, arguments.repetitions)
        print(table(seconds, stopwatch.cpu_seconds, scales, len(paths)))
        print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(
            json.dumps([seconds, stopwatch.cpu_seconds], indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

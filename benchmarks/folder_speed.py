"""Images/s of each step from a folder of JPEGs to batches, and the memory.

    python benchmarks/folder_speed.py --images=20000
    python benchmarks/folder_speed.py --images=100000 --out=folder.json

Writes a folder of small JPEGs (smooth random colours, --side pixels, in folders of 1,000), then
runs in separate processes:

    first    scans, splits and decodes the folder into an empty cache, and takes an epoch of batches
    second   opens the same folder again, like a second run, and takes two epochs
    memory   takes two epochs of as many random images in memory, like CIFAR-10

Prints a table of images/s, and each process's resident memory at its end, without TensorFlow's and
mapped files. Batches are `dim_tf.data.pipeline.training_batches`, without augmentation
unless --augmentation says so; files are read from the page cache, since they were just written.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

PER_FOLDER = 1000
SIZE = 32  # as CIFAR-10's
BATCH = 64


def write_images(folder: Path, count: int, side: int) -> None:
    """Writes `count` JPEGs of side x side pixels; existing ones stay."""

    def write(number):
        path = folder / f"{number // PER_FOLDER:03d}" / f"{number:07d}.jpg"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        few = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        image = Image.fromarray(few).resize((side, side), Image.Resampling.BICUBIC)
        image.save(path, quality=90)

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(write, range(count), chunksize=256))


def resident() -> int:
    """Resident bytes of this process, without mapped files."""
    _, pages, shared = Path("/proc/self/statm").read_text().split()[:3]
    return (int(pages) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def epochs(split, augmentation: str, count: int) -> list[float]:
    """Images/s of each of `count` epochs of batches."""
    from dim_tf.data import pipeline

    batches = iter(pipeline.training_batches(split, BATCH, 3, 0, 0, augmentation))
    steps = pipeline.steps_per_epoch(len(split), BATCH)
    speeds = []
    for _ in range(count):
        began = time.perf_counter()
        for _ in range(steps):
            next(batches)
        speeds.append(steps * BATCH / (time.perf_counter() - began))
    return speeds


def measure(process: str, folder: Path, cache: Path, count: int, augmentation: str) -> dict:
    """The results of one of the three processes."""
    import tensorflow as tf

    from dim_tf.data import DataRequest
    from dim_tf.data import load as load_data
    from dim_tf.data.folder.scan import scan_folder
    from dim_tf.data.splits import Split

    next(iter(tf.data.Dataset.range(1)))
    before = resident()
    results: dict = {}
    if process == "memory":
        images = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
        results["epochs"] = epochs(Split(images, None), augmentation, 2)
    else:
        request = DataRequest(str(folder), SIZE, cache_dir=str(cache))
        began = time.perf_counter()
        scan_folder(folder, cache / "manifests")
        results["scan"] = count / (time.perf_counter() - began)
        began = time.perf_counter()
        splits = load_data("folder", request)
        results["split_and_cache"] = count / (time.perf_counter() - began)
        results["images"] = len(splits.train) + len(splits.test)
        results["after_load_mib"] = (resident() - before) / 2**20
        results["epochs"] = epochs(splits.train, augmentation, 1 if process == "first" else 2)
    results["mib"] = (resident() - before) / 2**20
    return results


def table(results: dict[str, dict]) -> str:
    """The results in Markdown."""
    first, second, memory = results["first"], results["second"], results["memory"]
    rows = {
        "scan: hash and decode each file": first["scan"],
        "split, decode, write the cache": first["split_and_cache"],
        "first epoch of batches": first["epochs"][0],
        "scan of a second run": second["scan"],
        "split and cache of a second run": second["split_and_cache"],
        "second epoch, of the second run": second["epochs"][1],
        "second epoch of images in memory": memory["epochs"][1],
    }
    lines = ["| step | images/s |", "|---|---|"]
    lines += [f"| {name} | {value:,.0f} |" for name, value in rows.items()]
    lines += ["", "| process | resident memory, MiB more than TensorFlow's |", "|---|---|"]
    lines += [f"| {name} | {process['mib']:,.0f} |" for name, process in results.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64, help="pixels a side of the JPEGs")
    parser.add_argument("--augmentation", default="none")
    parser.add_argument("--folder", type=Path, help="where the JPEGs are made, and stay")
    parser.add_argument("--out", type=Path, help="JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        results = measure(
            arguments.worker,
            arguments.folder,
            arguments.cache,
            arguments.images,
            arguments.augmentation,
        )
        print(json.dumps(results))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = arguments.folder or Path(temporary) / "images", Path(temporary) / "cache"
        began = time.perf_counter()
        write_images(folder, arguments.images, arguments.side)
        print(f"{arguments.images:,} JPEGs in {time.perf_counter() - began:.0f} s", flush=True)
        results = {}
        for process in ("first", "second", "memory"):
            command = [sys.executable, __file__, f"--worker={process}", f"--folder={folder}"]
            command += [
                f"--cache={cache}",
                f"--images={arguments.images}",
                f"--augmentation={arguments.augmentation}",
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[process] = json.loads(done.stdout.splitlines()[-1])
        free = shutil.disk_usage(temporary).free / 2**30
        print(table(results))
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {free:.0f} GiB free")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Anomaly detection and segmentation by local features on drawn defects, beside raw patches.

    python benchmarks/anomaly.py --encoders exported/dim_cifar10/1

Draws the images of drawn_defects.py at the size of each encoder. PatchCore's bank is chosen from
--normal normal images, the threshold on --calibration further ones; the other normal ones and the
defects are tested. The segmentation probe (normal, scratch, blob) is trained on half of the test
images of a second seed, so that no image of the detection is used twice. Raw patches, the pixels of
the same grid, go through the same steps. Prints a table, and as JSON to --output.
"""

import argparse
import dataclasses
import functools
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from drawn_defects import NAMES, NORMAL, DrawnImages, draw_splits

from dim_tf.collection.patches import anomaly, anomaly_metrics, heat_maps, segmentation
from dim_tf.collection.patches.pixel_patches import pixel_patches
from dim_tf.collection.patches.threshold import choose_threshold

BATCH = 256
FALSE_ALARM_RATE = 0.05


@functools.cache
def load_encoder(path: str):
    """An export's local maps."""
    from dim_tf.export.local_maps import LocalMaps

    return LocalMaps(path)


def local_maps_of(path: str, images: np.ndarray) -> np.ndarray:
    """Local maps of uint8 [N, h, w, 3] by an export, float16 [N, H, W, D]."""
    import tensorflow as tf

    from dim_tf.export.encoded_input import png_images
    from dim_tf.export.local_maps import LOCAL

    encoder = load_encoder(path)
    maps = np.empty((len(images), *encoder.shape), np.float16)
    for first in range(0, len(images), BATCH):
        files = png_images(images[first : first + BATCH] / 255)
        maps[first : first + BATCH] = encoder(image_bytes=tf.constant(files))[LOCAL].numpy()
    return maps


def image_size_of(path: str) -> int:
    """Pixels a side of the images that an export takes."""
    metadata = json.loads(Path(path, "assets", "metadata.json").read_text(encoding="utf-8"))
    return int(metadata["image_size"])


def detect(
    normal: np.ndarray, calibration: np.ndarray, test: np.ndarray, drawn: DrawnImages
) -> dict[str, float]:
    """AUROCs, and alarms at the threshold, of maps of normal and of test images."""
    bank = anomaly.build_bank(normal)
    threshold = choose_threshold(anomaly.score(bank, calibration).images, FALSE_ALARM_RATE)
    scores = anomaly.score(bank, test)
    pixels = heat_maps.upsample(scores.patches, drawn.masks.shape[1:3])
    is_anomalous = drawn.kinds != NORMAL
    metrics = anomaly_metrics.measure(
        scores.images, is_anomalous, threshold.value, pixels, drawn.masks > 0
    )
    result = dataclasses.asdict(metrics) | {"bank": len(bank.patches)}
    for kind, name in NAMES.items():
        some = np.isin(drawn.kinds, (NORMAL, kind))
        of_kind = anomaly_metrics.measure(scores.images[some], is_anomalous[some], threshold.value)
        result[f"{name}_image_auroc"] = of_kind.image_auroc
    return result


def segment(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The probe's metrics on each second image, trained on the others."""
    probe = segmentation.fit(maps[::2], masks[::2].astype(np.int64), len(NAMES) + 1)
    metrics = segmentation.measure(probe, maps[1::2], masks[1::2].astype(np.int64))
    return {f"probe_{name}": value for name, value in dataclasses.asdict(metrics).items()}


def measure(maps_of, drawn: dict[str, DrawnImages]) -> dict[str, float]:
    """Everything, of a function from images to maps."""
    normal, calibration, test = (
        maps_of(drawn[name].images) for name in ("normal", "calibration", "test")
    )
    result = detect(normal, calibration, test, drawn["test"])
    return result | segment(maps_of(drawn["probe"].images), drawn["probe"].masks)


def draw_all(args: argparse.Namespace, size: int) -> dict[str, DrawnImages]:
    """The images of all steps, none of which is drawn twice."""
    count = args.normal + args.calibration
    train, test = draw_splits(count, args.test_normal, args.test_defects, size, args.seed)
    _, probe = draw_splits(0, 0, args.test_defects, size, args.seed + 1)
    return {
        "normal": DrawnImages(train.images[: args.normal], train.masks[: args.normal]),
        "calibration": DrawnImages(train.images[args.normal :], train.masks[args.normal :]),
        "test": test,
        "probe": probe,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--encoders", nargs="+", required=True, help="exports: exported/NAME/1")
    parser.add_argument("--normal", type=int, default=1000)
    parser.add_argument("--calibration", type=int, default=500)
    parser.add_argument("--test_normal", type=int, default=500)
    parser.add_argument("--test_defects", type=int, default=250, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="of the JSON")
    args = parser.parse_args()
    results = {}
    for path in args.encoders:
        size = image_size_of(path)
        drawn = draw_all(args, size)
        results[path] = measure(lambda images, path=path: local_maps_of(path, images), drawn)
        grid = load_encoder(path).shape[:2]
        name = f"raw patches, {size} pixels, {grid[0]}x{grid[1]}"
        if name not in results:
            results[name] = measure(lambda images, grid=grid: pixel_patches(images, grid), drawn)
    print(table(results))
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def table(results: dict[str, dict[str, float]]) -> str:
    """As Markdown."""
    columns = {
        "image_auroc": "image AUROC",
        "image_interval": "95 %",
        "scratch_image_auroc": "scratches",
        "blob_image_auroc": "blobs",
        "pixel_auroc": "pixel AUROC",
        "false_alarms": f"false alarms (asked: {FALSE_ALARM_RATE:g})",
        "detected": "detected",
        "probe_mean_iou": "probe, mean IoU",
        "probe_mean_iou_interval": "95 %",
    }
    lines = [f"| features | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for name, result in results.items():
        cells = [
            f"{result[key]:.3f}"
            if isinstance(result[key], float)
            else "{:.3f} to {:.3f}".format(*result[key])
            for key in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

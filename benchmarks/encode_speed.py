r"""Images/s of an exported encoder for each way of calling it.

    python benchmarks/encode_speed.py --saved_model=exported/cifar10/1

Prints one table with a row for Keras' `predict`, a call of the SavedModel and the float32 and int8
TFLite files (ai_edge_litert), and a column for each batch size. All of them take and return float32
in the host's memory, are measured in turns in one process, and use all cores (TFLite: --threads).
The Keras encoder is built from the export's metadata and has its weights; the table has the mean
cosine of each row's features with it. Each value is the median of --repetitions turns, with its
ratio to the SavedModel's (the median of the turns' ratios).
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from interleaved import in_turns, load, medians, seconds_of

from dim_tf.data import image_ops
from dim_tf.export import saved_model, tflite
from keras_models import encoders

BASE = "SavedModel"
COMPARED_IMAGES = 64


def keras_encoder(loaded, metadata: dict):
    """The exported encoder as a Keras model, with the export's weights."""
    size = metadata["image_size"]
    overrides = {}
    if not encoders.PRESETS[metadata["encoder"]].several_globals:
        overrides["latent_dim"] = metadata["dimension"]
    if encoders.PRESETS[metadata["encoder"]].image_size is None:
        overrides["image_shape"] = (size, size, 3)
    encoder = encoders.get(metadata["encoder"], **overrides)
    encoder.build()
    for variable, value in zip(encoder.variables, loaded.variables, strict=True):
        variable.assign(value)
    return encoder


def callers(path: Path, threads: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Functions by name: float32 [N, H, W, 3] in [0, 1] -> features [N, D]."""
    loaded = tf.saved_model.load(str(path))
    metadata = json.loads((path / "assets/metadata.json").read_text(encoding="utf-8"))
    encoder = keras_encoder(loaded, metadata)
    channels = encoder.image_shape[-1]

    def predict(pixels):
        images = image_ops.encoder_input(pixels, channels)
        outputs = encoder.predict(images, batch_size=len(pixels), verbose=0)
        return saved_model.global_features(outputs)

    functions = {
        "Keras predict": lambda pixels: np.asarray(predict(pixels)),
        BASE: lambda pixels: loaded(tf.constant(pixels)).numpy(),
    }
    for precision in ("float32", "int8"):
        file = path / f"encoder_{precision}.tflite"
        if not file.exists():
            print(f"not timed: the export has no {file.name}", flush=True)
            continue
        run = tflite.runner(file, threads)
        functions[f"TFLite {precision}"] = lambda pixels, run=run: run(pixels)["global"]
    return functions


def table(rows: dict[str, dict], batches: list[int]) -> str:
    """The rows in Markdown."""
    head = ["way", "mean cosine with Keras"]
    head += [cell for n in batches for cell in (f"images/s, batch {n}", f"of {BASE}'s")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [name, f"{row['cosine']:.4f}"]
        for n in batches:
            timing = row[str(n)]
            cells += [f"{timing['images_per_second']:.0f}", f"{timing['ratio']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--saved_model", type=Path, required=True)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--threads", type=int, default=2, help="of TFLite")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    arguments = parser.parse_args()
    print(load(), flush=True)
    size = json.loads((arguments.saved_model / "assets/metadata.json").read_text())["image_size"]
    rng = np.random.default_rng(0)
    calls = callers(arguments.saved_model, arguments.threads)
    compared = rng.random((COMPARED_IMAGES, size, size, 3), np.float32)
    features = {name: call(compared) for name, call in calls.items()}
    rows = {
        name: {"cosine": float(tflite.cosines(x, features["Keras predict"]).mean())}
        for name, x in features.items()
    }
    for n in arguments.batches:
        pixels = compared[:n] if n <= COMPARED_IMAGES else rng.random((n, size, size, 3), "f4")
        measures = {
            name: lambda call=call, pixels=pixels: seconds_of(lambda: call(pixels))
            for name, call in calls.items()
        }
        in_turns(measures, 1)  # traces and plans
        seconds = in_turns(measures, arguments.repetitions)
        for name, median in medians(seconds).items():
            pairs = zip(seconds[BASE], seconds[name], strict=True)
            rows[name][str(n)] = {
                "images_per_second": n / median,
                "ratio": statistics.median(base / this for base, this in pairs),
                "seconds": seconds[name],
            }
    print(table(rows, arguments.batches))
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

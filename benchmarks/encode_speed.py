r"""Images/s of an exported encoder for each way of calling it.

    python benchmarks/encode_speed.py --saved_model=exported/cifar10/1

Prints one table with a row for each way and a column for each batch size. The ways are Keras'
`predict`, a call of the SavedModel, the same compiled by XLA, the float32 and int8 TFLite files
(ai_edge_litert), ONNX Runtime (with tf2onnx), and OpenVINO in float32 and bfloat16; what is not
installed is left out. All take and return float32 in the host's memory, are measured in turns in
one process, and use all cores (TFLite: --threads). The Keras encoder is built from the export's
metadata and has its weights. The table has the mean cosine of each row's features with it, and
their largest difference from the SavedModel's, relative to the largest feature. Each value is the
median of --repetitions turns, with its ratio to the SavedModel's (the median of the turns' ratios).

    python benchmarks/encode_speed.py --saved_model=exported/cifar10/1 --images=photos

A second table has images/s from a folder of JPEG or PNG files: of `--mode=embed`, of reading and
decoding alone, of encoding alone, and of one signature call after the other, each of 256 images.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from interleaved import in_turns, load, medians, seconds_of

from dim_tf.collection import embed, image_collection
from dim_tf.data import encoded_images, image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.export import saved_model, tflite
from dim_tf.export.feature import Feature
from keras_models import encoders

BASE = "SavedModel"
COMPARED_IMAGES = 64


def keras_encoder(loaded, metadata: dict):
    """The exported encoder as a Keras model, with the export's weights."""
    size = metadata["image_size"]
    overrides = {}
    preset = encoders.PRESETS[metadata["encoder"]]
    if not (preset.several_globals or preset.is_flow):
        outputs = loaded.signatures["endpoints"].structured_outputs
        overrides["latent_dim"] = outputs["global"].shape[-1]
    if preset.image_size is None:
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
    outputs = loaded.signatures["serving_default"].structured_outputs
    feature = Feature(saved_model.feature_in(outputs))

    def predict(pixels):
        images = image_ops.encoder_input(pixels, channels)
        outputs = encoder.predict(images, batch_size=len(pixels), verbose=0)
        return feature(outputs)

    functions = {
        "Keras predict": lambda pixels: np.asarray(predict(pixels)),
        BASE: lambda pixels: loaded(tf.constant(pixels)).numpy(),
    }
    compiled = tf.function(loaded, jit_compile=True, autograph=False)
    functions["SavedModel, XLA"] = lambda pixels: compiled(tf.constant(pixels)).numpy()
    for precision in ("float32", "int8"):
        file = path / f"encoder_{precision}.tflite"
        if not file.exists():
            print(f"not timed: the export has no {file.name}", flush=True)
            continue
        run = tflite.runner(file, threads)
        functions[f"TFLite {precision}"] = lambda pixels, run=run: run(pixels)[feature.name]
    for packages, callers_of in (
        (("onnxruntime", "tf2onnx"), onnx_callers),
        (("openvino",), openvino_callers),
    ):
        if missing := [package for package in packages if not find_spec(package)]:
            print(f"not timed: {' and '.join(missing)} not installed", flush=True)
        else:
            functions |= callers_of(path, loaded, encoder.image_shape[0])
    return functions


def onnx_callers(path: Path, loaded, size: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """ONNX Runtime, of the SavedModel's call converted by tf2onnx."""
    import onnxruntime
    import tf2onnx

    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")
    call = tf.function(lambda images: loaded(images), input_signature=[spec], autograph=False)
    model, _ = tf2onnx.convert.from_function(call, [spec], opset=17)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return {"ONNX Runtime": lambda pixels: session.run(None, {"images": pixels})[0]}


def openvino_callers(
    path: Path, loaded, size: int
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """OpenVINO, of the SavedModel's folder as it is, in float32 and in bfloat16."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    functions = {}
    for precision, name in (("f32", "float32"), ("bf16", "bfloat16")):
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(model, "CPU", settings)
        functions[f"OpenVINO {name}"] = lambda pixels, compiled=compiled: compiled([pixels])[0]
    return functions


def from_files(path: Path, folder: Path, repetitions: int) -> str:
    """Images/s of embedding a folder, and of its parts alone, in Markdown."""
    loaded = saved_model.load(str(path), embed.SIGNATURE)
    signature = loaded.signatures[embed.SIGNATURE]
    metadata = json.loads((path / "assets/metadata.json").read_text(encoding="utf-8"))
    size = metadata["image_size"]
    frame = ImageFrame.of(size)
    collection = image_collection.open_collection(str(folder))
    count = sum(len(ids) for ids, _ in collection.batches_from(0, embed.BATCH))
    decode = tf.function(
        lambda encoded: encoded_images.decode_valid(encoded, frame, metadata["max_pixels"])[1],
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    pixels = tf.random.uniform([embed.BATCH, size, size, 3])
    saved_model.load = lambda *_: loaded  # its seconds do not grow with the images

    def embedding():
        with tempfile.TemporaryDirectory() as scratch:
            embed.embed(path, collection, Path(scratch, "embedded"), "parquet", 4096)

    def decoding():
        with ThreadPoolExecutor(embed.CALLS) as workers:
            batches = collection.batches_from(0, embed.BATCH)
            list(workers.map(lambda batch: decode(batch[1]).numpy(), batches))

    def encoding():
        for _ in range(0, count, embed.BATCH):
            loaded(pixels).numpy()

    def one_after_the_other():
        for _, encoded in collection.batches_from(0, 256):
            signature(image_bytes=encoded)[saved_model.VALID].numpy()

    calls = {
        "`--mode=embed`": embedding,
        "reading and decoding alone": decoding,
        "encoding alone": encoding,
        "one signature call after the other": one_after_the_other,
    }
    measures = {name: lambda call=call: seconds_of(call) for name, call in calls.items()}
    in_turns(measures, 1)
    seconds = in_turns(measures, repetitions)
    lines = [f"| of {count:,} files | images/s |", "|---|---|"]
    lines += [f"| {name} | {count / median:,.0f} |" for name, median in medians(seconds).items()]
    return "\n".join(lines)


def table(rows: dict[str, dict], batches: list[int]) -> str:
    """The rows in Markdown."""
    head = ["way", "mean cosine with Keras", "largest difference from the SavedModel"]
    head += [cell for n in batches for cell in (f"images/s, batch {n}", f"of {BASE}'s")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [name, f"{row['cosine']:.4f}", f"{row['difference']:.0e}"]
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
    parser.add_argument("--images", type=Path, help="folder of JPEG or PNG files, for a 2nd table")
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    arguments = parser.parse_args()
    print(load(), flush=True)
    size = json.loads((arguments.saved_model / "assets/metadata.json").read_text())["image_size"]
    rng = np.random.default_rng(0)
    calls = callers(arguments.saved_model, arguments.threads)
    compared = rng.random((COMPARED_IMAGES, size, size, 3), np.float32)
    features = {name: call(compared) for name, call in calls.items()}
    base = features[BASE]
    rows = {
        name: {
            "cosine": float(tflite.cosines(x, features["Keras predict"]).mean()),
            "difference": float(np.abs(x - base).max() / np.abs(base).max()),
        }
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
    print(table(rows, arguments.batches), flush=True)
    if arguments.images:
        print(from_files(arguments.saved_model, arguments.images, arguments.repetitions))
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

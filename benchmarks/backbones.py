r"""Trains, resumes, measures and exports Keras models from the command line.

    python benchmarks/backbones.py --out=/tmp/backbones --file=net.keras --file_scaling=127,128

Each row is a backbone with random weights (the file: its own) on a folder of drawn images: 20 steps
without interruption; 20 steps that are killed at or soon after step 10 and resumed, whose losses
must be the same; --mode=evaluate (kNN); --mode=export. Then the SavedModel and the TFLite files are
compared with the Keras encoder of the run's checkpoint. Writes OUT/ROW.json for each row and
OUT/backbones.md; a row that has its JSON is not run again.

The row vit needs keras-hub and is left out without it. Speeds depend on other work of the machine.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dim_tf.system.files import atomic_write_text

ROOT = Path(__file__).parents[1]
SIZE, STEPS, BATCH, KILL_AT = 96, 20, 16, 10
IMAGES = 256
CLASSES = ("disc", "square", "line")
ROWS = {
    "ResNet50V2": ["--encoder=keras:ResNet50V2"],
    "MobileNetV3Small": ["--encoder=keras:MobileNetV3Small"],
    "EfficientNetV2B0": ["--encoder=keras:EfficientNetV2B0"],
    "ConvNeXtTiny": ["--encoder=keras:ConvNeXtTiny"],
    "VGG16": ["--encoder=keras:VGG16"],
    "DenseNet121": ["--encoder=keras:DenseNet121"],
}
FILE, VIT = "file", "vit"
COLUMNS = (
    "parameters",
    "local map",
    "images/s",
    "resumed",
    "kNN",
    "SavedModel",
    "TFLite float32",
    "TFLite int8",
)


def draw_images(folder: Path) -> None:
    """Writes drawn images of three classes, a folder each, unless they exist."""
    if folder.is_dir():
        return
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        kind = CLASSES[number % len(CLASSES)]
        image = Image.fromarray(rng.integers(60, 120, (SIZE, SIZE, 3), np.uint8))
        x, y, side = rng.integers(10, 50, 3).tolist()
        box, colour = (x, y, x + side, y + side), tuple(rng.integers(130, 256, 3).tolist())
        pencil = ImageDraw.Draw(image)
        if kind == "disc":
            pencil.ellipse(box, fill=colour)
        elif kind == "square":
            pencil.rectangle(box, fill=colour)
        else:
            pencil.line(box, fill=colour, width=5)
        target = folder.with_suffix(".unfinished") / kind
        target.mkdir(parents=True, exist_ok=True)
        image.save(target / f"{number}.png")
    folder.with_suffix(".unfinished").rename(folder)


def write_vit(path: Path) -> None:
    """Writes a KerasHub ViT with random weights, from its configuration."""
    import keras_hub

    vit = keras_hub.models.ViTBackbone(
        image_shape=(SIZE, SIZE, 3),
        patch_size=8,
        num_layers=6,
        num_heads=3,
        hidden_dim=192,
        mlp_dim=768,
    )
    vit.save(path)


class Command:
    """The command line of a row.

    Args:
        out: Folder of all rows.
        name: Of the run.
        encoder: Flags of the backbone.
    """

    def __init__(self, out: Path, name: str, encoder: list[str]):
        self.run = out / "runs" / name
        self._out = out
        self._log = out / f"{name}-log.txt"
        self._flags = [
            "--dataset=folder",
            "--recipe=paper",
            f"--data_dir={out / 'images'}",
            f"--image_size={SIZE}",
            f"--name={name}",
            f"--run_dir={self.run}",
            f"--export_dir={out / 'exported'}",
            f"--cache_dir={out / 'cache'}",
            f"--batch_size={BATCH}",
            f"--steps={STEPS}",
            "--epochs=100",
            "--critic_units=64",
            "--checkpoint_every=5",
            *encoder,
        ]

    def start(self, mode: str, *flags: str) -> subprocess.Popen:
        """Starts a stage; its output goes to a file in OUT."""
        with self._log.open("a", encoding="utf-8") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "dim_tf.main", f"--mode={mode}", *self._flags, *flags],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": _python_path(), "TF_CPP_MIN_LOG_LEVEL": "3"},
                cwd=self._out,
            )

    def finish(self, mode: str, *flags: str) -> None:
        """Runs a stage to its end.

        Raises:
            RuntimeError: its exit status is not 0.
        """
        status = self.start(mode, *flags).wait()
        if status:
            raise RuntimeError(f"--mode={mode} ended with {status}: {_last_line(self._log)}")

    def lines(self) -> list[dict[str, Any]]:
        """The complete lines of metrics.jsonl."""
        path = self.run / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]

    def resumed_from(self) -> int:
        """The step from which the run was last resumed."""
        log = self._log.read_text(encoding="utf-8")
        return int(re.findall(r"^train: from step (\d+) ", log, re.MULTILINE)[-1])


def _python_path():
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    return lines[-1][:500] if lines else ""


def kill_at(command: Command, step: int) -> int:
    """Trains, kills the process after it has written a step, and returns the last step written."""
    process = command.start("train")
    while process.poll() is None and len(command.lines()) < step:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(command.lines())


def row(out: Path, name: str, encoder: list[str]) -> dict[str, Any]:
    """All measurements of a backbone."""
    straight = Command(out, f"{name}-straight", encoder)
    straight.finish("train", "--noresume")
    killed = Command(out, name, encoder)
    shutil.rmtree(killed.run, ignore_errors=True)  # if this script was stopped before
    killed_at = kill_at(killed, KILL_AT)
    killed.finish("train")
    resumed_lines, straight_lines = (
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in command.lines()]
        for command in (killed, straight)
    )
    if not KILL_AT <= killed_at < STEPS:
        raise RuntimeError(f"the run was killed at step {killed_at}; give the same command again")
    killed.finish("evaluate", "--measures=knn", "--noreferences")
    int8 = ""
    try:
        killed.finish("export", "--tflite=float32,int8")
    except RuntimeError as error:  # too far from the encoder, which the export refuses
        if "encoder_int8.tflite: its features' mean cosine" not in str(error):
            raise
        int8 = str(error).partition("; nothing")[0].partition("error: ")[2]
        killed.finish("export", "--tflite=float32")
    evaluation = json.loads((killed.run / "evaluation.json").read_text(encoding="utf-8"))
    return {
        "killed_at": killed_at,
        "resumed_from": killed.resumed_from(),
        "resume_is_exact": resumed_lines == straight_lines,
        "images_per_second": statistics.median(
            line["images_per_second"] for line in straight.lines()[STEPS // 2 :]
        ),
        "knn": evaluation["knn"]["global"],
        **parity(killed, out / "exported" / name),
        "int8_refused": int8,
    }


def parity(command: Command, exported: Path) -> dict[str, Any]:
    """Compares the newest export with the encoder of the run's checkpoint."""
    import tensorflow as tf

    from dim_tf import data
    from dim_tf.data import image_ops
    from dim_tf.experiment import Experiment
    from dim_tf.export import saved_model, tflite
    from dim_tf.export.version_folders import published_versions
    from dim_tf.system.files import read_text
    from dim_tf.training.model import load_trained

    experiment = Experiment.from_json(read_text(command.run / "experiment.json"))
    splits = data.load(experiment.data.dataset, experiment.data.request)
    encoder = load_trained(experiment, splits)[0].encoder
    pixels = image_ops.to_unit(tf.constant(splits.test.images[:32])).numpy()
    expected = saved_model.keras_features(encoder, pixels)
    version = exported / str(max(published_versions(exported)))
    exported_features = tf.saved_model.load(str(version))(tf.constant(pixels)).numpy()
    cosines = {}
    for precision in ("float32", "int8"):
        file = version / f"encoder_{precision}.tflite"
        if not file.exists():
            continue
        features = tflite.encode(file, pixels)
        cosines[precision] = float(tflite.cosines(features, expected).mean())
    local = encoder.endpoint_shapes()["local"][1:]
    return {
        "parameters": int(encoder.count_params()),
        "local_map": list(local),
        "local_layer": encoder.local_layer,
        "conv_layer": encoder.conv_layer,
        "saved_model": float(np.abs(exported_features - expected).max() / np.abs(expected).max()),
        "tflite_float32": cosines["float32"],
        "tflite_int8": cosines.get("int8"),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A Markdown table with a row for each backbone."""
    lines = ["| backbone | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, measured in rows.items():
        if "failed" in measured:
            lines.append(f"| {name} | {measured['failed']}" + " |" * len(COLUMNS))
            continue
        height, width, channels = measured["local_map"]
        exact = "exactly" if measured["resume_is_exact"] else "NOT exactly"
        cells = (
            f"{measured['parameters']:,}",
            f"{height}x{width}x{channels}, `{measured['local_layer']}`",
            f"{measured['images_per_second']:.1f}",
            f"{exact}, from step {measured['resumed_from']}",
            f"{100 * measured['knn']:.1f} %",
            f"{measured['saved_model']:.0e}",
            f"{measured['tflite_float32']:.6f}",
            measured["int8_refused"] or f"{measured['tflite_int8']:.4f}",
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all outputs")
    parser.add_argument("--rows", default="", help="names separated by commas; empty: all")
    parser.add_argument("--file", type=Path, help="a .keras file, for the row 'file'")
    parser.add_argument("--file_scaling", default="-1..1", help="its --input_scaling")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    draw_images(out / "images")
    rows = dict(ROWS)
    if arguments.file:
        path = arguments.file.resolve()
        rows[FILE] = [f"--encoder={path}", f"--input_scaling={arguments.file_scaling}"]
    if importlib.util.find_spec("keras_hub"):
        rows[VIT] = [f"--encoder={out / 'vit.keras'}", "--input_scaling=-1..1"]
    selected = arguments.rows.split(",") if arguments.rows else list(rows)
    unknown = [name for name in selected if name not in rows]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(rows)}")
    if VIT in selected and not (out / "vit.keras").exists():
        write_vit(out / "vit.keras")
    results: dict[str, dict[str, Any]] = {}
    for name in selected:
        path = out / f"{name}.json"
        if path.exists():
            results[name] = json.loads(path.read_text(encoding="utf-8"))
            continue
        try:
            results[name] = row(out, name, rows[name])
            atomic_write_text(path, json.dumps(results[name], indent=2) + "\n")
        except RuntimeError as error:
            results[name] = {"failed": str(error)}
        print(f"{name}: {results[name]}", flush=True)
    text = table(results)
    atomic_write_text(out / "backbones.md", text)
    print(text)


if __name__ == "__main__":
    main()

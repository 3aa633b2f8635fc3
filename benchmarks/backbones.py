r"""Can this program train, resume, measure and export any Keras model?

    python benchmarks/backbones.py --out=/tmp/backbones --file=net.keras --file_scaling=127,128

Each row is a backbone with random weights (the file: its own) on a folder of drawn images, from the
command line: 20 steps without a stop; 20 steps that are killed at step 10 or soon after and
resumed, whose losses must be equal to those; --mode=evaluate (kNN); --mode=export. Then the
SavedModel and the TFLite files are compared with the Keras encoder of the run's checkpoint. Writes
OUT/ROW.json for each row and OUT/backbones.md; a row that has its JSON is not run again.

The row vit needs keras-hub, and is left out without it. Speeds are of the machine as it was.
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

from dim_tf.files import replace_text

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
    """Writes drawn images of three classes, a folder each; does nothing if they are there."""
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
    """Writes a ViT of KerasHub with random weights, made from its configuration."""
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
        out: folder of all rows.
        name: of the run.
        encoder: the flags of the backbone.
    """

    def __init__(self, out: Path, name: str, encoder: list[str]):
        self.run = out / "runs" / name
        self._out = out
        self._log = out / f"{name}-log.txt"
        self._flags = [
            "--dataset=folder",
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
        """Starts a stage; what it says goes into a file of OUT."""
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
        """The lines of metrics.jsonl that are whole."""
        path = self.run / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]

    def resumed_from(self) -> int:
        """The step from which the run last went on."""
        log = self._log.read_text(encoding="utf-8")
        return int(re.findall(r"^train: from step (\d+) ", log, re.MULTILINE)[-1])


def _python_path():
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    return lines[-1][:500] if lines else ""


def kill_at(command: Command, step: int) -> int:
    """Trains and kills the process when it has written that step; the last step that it wrote."""
    process = command.start("train")
    while process.poll() is None and len(command.lines()) < step:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(command.lines())


def row(out: Path, name: str, encoder: list[str]) -> dict[str, Any]:
    """Everything that is measured of a backbone."""
    straight = Command(out, f"{name}-straight", encoder)
    straight.finish("train", "--noresume")
    killed = Command(out, name, encoder)
    shutil.rmtree(killed.run, ignore_errors=True)  # where this script was stopped itself
    killed_at = kill_at(killed, KILL_AT)
    killed.finish("train")
    numbers = {"images_per_second"}
    ours, theirs = (
        [{k: v for k, v in line.items() if k not in numbers} for line in one.lines()]
        for one in (killed, straight)
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
        "resume_is_exact": ours == theirs,
        "images_per_second": statistics.median(
            line["images_per_second"] for line in straight.lines()[STEPS // 2 :]
        ),
        "knn": evaluation["knn"]["global"],
        **parity(killed, out / "exported" / name),
        "int8_refused": int8,
    }


def parity(command: Command, exported: Path) -> dict[str, Any]:
    """How the newest export compares with the encoder of the run's checkpoint."""
    import tensorflow as tf

    from dim_tf import data
    from dim_tf.data import image_ops
    from dim_tf.experiment import Experiment
    from dim_tf.export import lite, saved_model
    from dim_tf.export.version_folders import published
    from dim_tf.files import read_text
    from dim_tf.training.model import load_trained

    experiment = Experiment.from_json(read_text(command.run / "experiment.json"))
    splits = data.load(experiment.data.dataset, experiment.data.request)
    encoder = load_trained(experiment, splits)[0].encoder
    pixels = image_ops.to_unit(tf.constant(splits.test.images[:32])).numpy()
    wanted = saved_model.expected(encoder, pixels)
    version = exported / str(max(published(exported)))
    found = tf.saved_model.load(str(version))(tf.constant(pixels)).numpy()
    cosines = {}
    for precision in ("float32", "int8"):
        file = version / f"encoder_{precision}.tflite"
        if not file.exists():
            continue
        features = lite.run(file, pixels)
        cosines[precision] = float(lite.cosines(features, wanted).mean())
    local = encoder.endpoint_shapes()["local"][1:]
    return {
        "parameters": int(encoder.count_params()),
        "local_map": list(local),
        "local_layer": encoder.local_layer,
        "conv_layer": encoder.conv_layer,
        "saved_model": float(np.abs(found - wanted).max() / np.abs(wanted).max()),
        "tflite_float32": cosines["float32"],
        "tflite_int8": cosines.get("int8"),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown: a line a backbone."""
    lines = ["| backbone | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, found in rows.items():
        if "failed" in found:
            lines.append(f"| {name} | {found['failed']}" + " |" * len(COLUMNS))
            continue
        height, width, channels = found["local_map"]
        exact = "exactly" if found["resume_is_exact"] else "NOT exactly"
        cells = (
            f"{found['parameters']:,}",
            f"{height}x{width}x{channels}, `{found['local_layer']}`",
            f"{found['images_per_second']:.1f}",
            f"{exact}, from step {found['resumed_from']}",
            f"{100 * found['knn']:.1f} %",
            f"{found['saved_model']:.0e}",
            f"{found['tflite_float32']:.6f}",
            found["int8_refused"] or f"{found['tflite_int8']:.4f}",
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is written")
    parser.add_argument("--rows", default="", help="with commas between; empty: all")
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
    chosen = arguments.rows.split(",") if arguments.rows else list(rows)
    unknown = [name for name in chosen if name not in rows]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(rows)}")
    if VIT in chosen and not (out / "vit.keras").exists():
        write_vit(out / "vit.keras")
    results: dict[str, dict[str, Any]] = {}
    for name in chosen:
        path = out / f"{name}.json"
        if path.exists():
            results[name] = json.loads(path.read_text(encoding="utf-8"))
            continue
        try:
            results[name] = row(out, name, rows[name])
            replace_text(path, json.dumps(results[name], indent=2) + "\n")
        except RuntimeError as error:
            results[name] = {"failed": str(error)}
        print(f"{name}: {results[name]}", flush=True)
    text = table(results)
    replace_text(out / "backbones.md", text)
    print(text)


if __name__ == "__main__":
    main()

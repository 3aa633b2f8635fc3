r"""Speeds of the runtimes that an export is converted for, beside TensorFlow and LiteRT.

    python benchmarks/runtimes.py exported/dim_cifar10/1 --to=onnx,openvino
    python benchmarks/runtimes.py exported/dim_cifar10/1 --to=onnx,openvino,tfjs \
        --tfjs_python=tfjs/bin/python --node_modules=node_modules

Converts the export to a temporary folder, which compares each result with the SavedModel
(`dim_tf.export.convert`), then times all in turns at batch 1 and 64. Prints one table: the median
milliseconds of a call, and images a second as a multiple of TensorFlow's in the same run. Arrays
come from and go to NumPy; of TF.js, in Node with its WebAssembly backend, to JavaScript's arrays.
All compute in float32, but for OpenVINO's default, which is bfloat16 where the processor has it.
"""

import argparse
import contextlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from interleaved import SECONDS, Worker, in_turns, load, medians, seconds_of

from dim_tf.system import cpu, programs
from dim_tf.system.errors import InputError

if __name__ == "__main__":
    programs.import_tensorflow()

from dim_tf.export import convert, tflite
from dim_tf.export.convert import Source
from dim_tf.export.runtimes import openvino_runtime, tfjs
from dim_tf.export.tflite_metadata import embedding

TENSORFLOW = "TensorFlow"
BATCHES = (1, 64)
LITERT = {False: "encoder_float32.tflite", True: "encoder_float32_batch1.tflite"}
VERSIONS = {
    "tensorflow": "TensorFlow",
    "ai-edge-litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}


def litert_calls(source: Source, folder: Path) -> dict[int, Callable[[np.ndarray], object]]:
    """LiteRT's runs by batch size; of one image by the file whose shapes are static."""
    shutil.copytree(source.path, folder)
    variants = [v for v in tflite.VARIANTS if v.file in LITERT.values()]
    tflite.write(folder, variants, source.images, "benchmark", "", embedding("feature"))
    return {batch: tflite.runner(folder / LITERT[batch == 1]) for batch in BATCHES}


def openvino_default(folder: Path) -> Callable[[np.ndarray], object]:
    """OpenVINO in the precision that it chooses."""
    import openvino

    return openvino.Core().compile_model(str(folder / openvino_runtime.FILE), "CPU")


def measure(
    source: Source, names: Sequence[str], runtimes: Sequence, node_modules: str, repetitions: int
) -> dict[tuple[str, int], list[float]]:
    """Seconds of a call, by runtime and batch size, `repetitions` times."""
    shape = source.images.shape[1:]
    images = {n: np.random.default_rng(n).random((n, *shape), np.float32) for n in BATCHES}
    calls: dict[str, dict[int, Callable[[np.ndarray], object]]] = {
        TENSORFLOW: dict.fromkeys(BATCHES, source.run)
    }
    workers = []
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        calls["LiteRT"] = litert_calls(source, Path(scratch, "litert"))
        for name, runtime in zip(names, runtimes, strict=True):
            folder = Path(scratch, name)
            difference = convert.convert(source, runtime, folder)
            print(f"{name}: largest difference from the SavedModel {difference:.1e}", flush=True)
            if name == "tfjs":
                script = Path(__file__).parent / "tfjs_worker.js"
                arguments = (script, tfjs.SCRIPT, folder, SECONDS, *shape)
                words = ["node", *map(str, arguments)]
                path = f"NODE_PATH={Path(node_modules).resolve()}"
                worker = Worker(["env", path, *words] if node_modules else words)
                stack.callback(worker.close)
                workers.append(worker)
            else:
                calls[name] = dict.fromkeys(BATCHES, runtime.load(folder))
            if name == "openvino":
                calls["openvino, default"] = dict.fromkeys(BATCHES, openvino_default(folder))
        measures: dict[tuple[str, int], Callable[[], float]] = {}
        for batch in BATCHES:
            for name, by_batch in calls.items():

                def call(run=by_batch[batch], pixels=images[batch]):
                    return run(pixels)

                call()
                measures[name, batch] = lambda call=call: seconds_of(call)
            for worker in workers:
                worker.seconds(str(batch))  # the first call compiles
                measures["tfjs, WebAssembly", batch] = lambda worker=worker, batch=batch: (
                    worker.seconds(str(batch))
                )
        return in_turns(measures, repetitions)


def table(values: dict[tuple[str, int], list[float]]) -> str:
    """Markdown: a row for each runtime."""
    seconds = medians(values)
    names = list(dict.fromkeys(name for name, _ in seconds))
    head = [f"batch {b}: {x}" for b in BATCHES for x in ("ms", "images/s, times TensorFlow's")]
    lines = ["| runtime | " + " | ".join(head) + " |", "|---" * (1 + len(head)) + "|"]
    for name in names:
        cells = [
            cell
            for b in BATCHES
            for cell in (
                f"{1e3 * seconds[name, b]:.2f}",
                f"{seconds[TENSORFLOW, b] / seconds[name, b]:.2f}",
            )
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@programs.with_status
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 if a conversion fails, 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a version, as exported/digits/2")
    parser.add_argument("--to", default="onnx,openvino", help=f"of {','.join(convert.FORMATS)}")
    parser.add_argument("--tfjs_python", default="", help="as of dim_tf.export.convert")
    parser.add_argument("--node_modules", default="", help="as of dim_tf.export.convert")
    parser.add_argument("--repetitions", type=int, default=5)
    values = parser.parse_args(arguments)
    if values.repetitions < 1:
        raise InputError(f"--repetitions={values.repetitions} times nothing; give 1 or more")
    runtimes = convert.chosen_runtimes(values.to, values.tfjs_python, values.node_modules)
    names = [runtime.name for runtime in runtimes]
    source = Source.load(values.folder)
    timed = measure(source, names, runtimes, values.node_modules, values.repetitions)
    print(f"{cpu.instruction_set()}; {cpu.count()} of {load()}")
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    shown = [x for x in VERSIONS if x in installed]
    print(", ".join(f"{VERSIONS[x]} {importlib.metadata.version(x)}" for x in shown))
    print(table(timed))
    return 0


if __name__ == "__main__":
    programs.run(main)

"""Converts an exported encoder or classifier for other runtimes, and compares each result.

    python -m dim_tf.export.convert --to=onnx,openvino exported/digits/2

writes exported/digits/converted/2/onnx/ and .../openvino/. Each result is loaded by its runtime and
compared with the SavedModel on the images of the export's warm-up requests, one at a time and all
together, before it replaces an earlier one. If the conversion for a runtime fails, its earlier
files are kept and the other runtimes are still converted. docs/howto/convert.md lists the packages
that each runtime needs.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.system import programs
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError

if __name__ == "__main__":
    programs.import_tensorflow()

import tensorflow as tf

from dim_tf.export import saved_model, serving, verify
from dim_tf.export.classifier_saved_model import PROBABILITIES
from dim_tf.export.runtimes.onnx_runtime import OnnxRuntime
from dim_tf.export.runtimes.openvino_runtime import OpenVino
from dim_tf.export.runtimes.runtime import SIGNATURE, Run, Runtime
from dim_tf.export.runtimes.tfjs import TfJs
from dim_tf.export.version_folders import published_versions
from dim_tf.export.whole_version import locked_targets
from dim_tf.system.files import atomic_replace_folder
from dim_tf.system.io_errors import reason, translate_write_errors

FORMATS = ("onnx", "openvino", "tfjs")
TOLERANCE = saved_model.TOLERANCE  # of the largest output; all runtimes compute in float32


@dataclass(frozen=True)
class Source:
    """A loaded version of an export.

    Attributes:
        path: Its folder.
        model: The SavedModel.
        signature: The signature that is converted.
        images: float32 [N, H, W, C], real images.
    """

    path: Path
    model: Any
    signature: str
    images: np.ndarray

    @classmethod
    def load(cls, path: Path) -> "Source":
        """Loads an encoder, to convert its feature, or a classifier, to convert its probabilities.

        Raises:
            InputError: The folder holds neither, or its files differ from its SHA256SUMS.
        """
        _check_is_version(path)
        verify.check(str(path), "DIR")
        try:
            model = tf.saved_model.load(str(path))
        except Exception as error:  # a foreign file makes the parser fail in any way
            raise InputError(
                f"{path} cannot be loaded ({reason(error)}); export again, with --mode=export"
            ) from error
        signature = PROBABILITIES if PROBABILITIES in model.signatures else SIGNATURE
        outputs = getattr(model.signatures.get(signature), "structured_outputs", {})
        if len(outputs) != 1:
            raise InputError(
                f"{path} is neither an encoder nor a classifier that dim_tf exported: its "
                f"signatures are {', '.join(model.signatures) or 'none'}; give one of those"
            )
        return cls(path, model, signature, serving.warmup_images(path, signature))

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs for images, float32 [N, H, W, C]."""
        outputs = self.model.signatures[self.signature](images=tf.constant(images))
        return {name: output.numpy() for name, output in outputs.items()}

    def write(self, folder: Path) -> None:
        """Writes a SavedModel that has only the signature that is converted."""
        signature = self.model.signatures[self.signature]
        (spec,) = signature.structured_input_signature[1].values()
        root = tf.Module()
        root.tracked = list(self.model.variables)
        function = tf.function(
            lambda images: signature(images=images), input_signature=[spec], autograph=False
        )
        tf.saved_model.save(root, str(folder), signatures={SIGNATURE: function})


def _check_is_version(path: Path) -> None:
    if (path / "saved_model.pb").is_file():
        return
    versions = published_versions(path)
    example = path / str(versions[-1]) if versions else "exported/cifar10/1"
    raise InputError(
        f"{path} has no saved_model.pb, so it is no version of an export; give one, as {example}"
    )


def convert(source: Source, runtime: Runtime, target: Path) -> float:
    """Converts for one runtime; its folder appears whole, or stays as it was.

    Args:
        source: The SavedModel.
        runtime: The runtime to convert for.
        target: Folder of the runtime's files; it is replaced. No other process may write to it.

    Returns:
        The largest difference from the SavedModel, relative to its largest output.

    Raises:
        RunError: The model cannot be converted or run, its outputs differ by more than `TOLERANCE`,
            or the disk is full.
    """
    advice = f"what was in {target} is intact; make room and run the command again"
    with (
        translate_write_errors(str(target), target.parent, advice),
        atomic_replace_folder(target) as staging,
    ):
        with tempfile.TemporaryDirectory() as scratch, _failure(runtime, "cannot be converted"):
            source.write(Path(scratch))
            runtime.write(Path(scratch), staging)
        with _failure(runtime, "fails when it is run"):
            difference = largest_difference(source, runtime.load(staging))
        if not difference <= TOLERANCE:
            raise RunError(
                f"{runtime.name}: the converted model differs from the SavedModel by "
                f"{difference:.1e} of its largest output, more than {TOLERANCE}; {target} stays as "
                "it was"
            )
        verify.write_sums(staging)
    return difference


@contextlib.contextmanager
def _failure(runtime: Runtime, what: str) -> Iterator[None]:
    """Raises RunError for an exception of any class, since foreign converters raise any."""
    try:
        yield
    except Exception as error:
        raise RunError(
            f"{runtime.name}: the model {what} ({reason(error)}); what was there stays as it was"
        ) from error


def largest_difference(source: Source, run: Run) -> float:
    """The largest difference of a runtime's outputs, relative to the SavedModel's largest output.

    Args:
        source: The SavedModel, and the images: all together, and the first alone.
        run: The converted model.

    Raises:
        RunError: The outputs have other names or shapes, or are not finite.
    """
    differences = []
    for images in (source.images, source.images[:1]):
        expected, actual = source.run(images), run(images)
        shapes = {name: output.shape for name, output in expected.items()}
        if shapes != {name: output.shape for name, output in actual.items()}:
            raise RunError(
                "its outputs are "
                + ", ".join(f"{name} {list(x.shape)}" for name, x in actual.items())
                + ", not "
                + ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            )
        for name, output in expected.items():
            if not (np.isfinite(actual[name]).all() and np.isfinite(output).all()):
                raise RunError(f"{name} has values that are not finite")
            largest = max(float(np.abs(output).max()), float(np.finfo(np.float32).tiny))
            differences.append(float(np.abs(actual[name] - output).max()) / largest)
    return max(differences)


def convert_all(source: Source, runtimes: Iterable[Runtime], output: Path) -> int:
    """Converts for each runtime in turn, and prints a line for each.

    Args:
        source: The SavedModel.
        runtimes: The runtimes to convert for.
        output: The folder that gets a folder for each runtime.

    Returns:
        The exit status: 1 if any conversion failed, else 0.

    Raises:
        InputError: The folder cannot be created, is in use, is in the version, or holds files where
            this writes its own. Then nothing is written.
    """
    status = 0
    runtimes = list(runtimes)
    names = [runtime.name for runtime in runtimes]
    with locked_targets(source.path, output, names, "--output") as targets:
        for runtime, target in zip(runtimes, targets, strict=True):
            try:
                difference = convert(source, runtime, target)
            except RunError as error:
                status = programs.failed(error)
                continue
            say(
                f"converted: {target} (largest difference from the SavedModel {difference:.1e}, "
                f"limit {TOLERANCE}; {len(source.images)} images)"
            )
    return status


def chosen_runtimes(text: str, tfjs_python: str = "", node_modules: str = "") -> list[Runtime]:
    """The runtimes of --to.

    Args:
        text: Their names, separated by commas.
        tfjs_python: Value of --tfjs_python.
        node_modules: Value of --node_modules.

    Raises:
        InputError: A name is unknown, or something that a runtime needs is not installed.
    """
    runtimes: dict[str, Runtime] = {
        "onnx": OnnxRuntime(),
        "openvino": OpenVino(),
        "tfjs": TfJs(tfjs_python, node_modules),
    }
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in runtimes:
            raise InputError(
                f"--to={text}: {name!r} is no format; expected some of {','.join(FORMATS)}"
            )
    for name in names:
        runtimes[name].check_installed()
    return [runtimes[name] for name in names]


@programs.with_status
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit status: 0, all were converted; 1, some were not and their earlier files are kept;
        2, a wrong argument, or something is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.export.convert",
        description="Converts an exported encoder or classifier for other runtimes; each result "
        "is compared with the SavedModel before it replaces an earlier one.",
        epilog="Exit status: 0, all were converted; 1, some were not and their earlier files are "
        "kept; 2, a wrong argument, or something is not installed.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="a version, as exported/digits/2")
    parser.add_argument("--to", required=True, help=f"some of {','.join(FORMATS)}")
    parser.add_argument(
        "--output",
        type=Path,
        help="gets a folder for each format; default: DIR/../converted/VERSION",
    )
    parser.add_argument("--tfjs_python", default="", help="for tfjs: a Python with tensorflowjs")
    parser.add_argument(
        "--node_modules", default="", help="for tfjs: folder of Node's @tensorflow packages"
    )
    values = parser.parse_args(arguments)
    folder = values.folder.resolve()
    output = values.output or folder.parent / "converted" / folder.name
    runtimes = chosen_runtimes(values.to, values.tfjs_python, values.node_modules)
    return convert_all(Source.load(values.folder), runtimes, output)


if __name__ == "__main__":
    programs.run(main)

"""TF.js' graph models, written by tensorflowjs in its own Python, run by Node with WebAssembly."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dim_tf.export.runtimes.runtime import SIGNATURE, Run
from dim_tf.system.errors import InputError, RunError

SCRIPT = Path(__file__).parent / "tfjs_model.js"
NODE_PACKAGES = ("tfjs-core", "tfjs-converter", "tfjs-backend-wasm")
VERSION = "4.22.0"  # of the converter and of Node's packages, which read what it writes
TIMEOUT = 1800  # seconds; half a minute is usual
# tensorflowjs 4.22 requires tensorflow-decision-forests, which pins TensorFlow 2.19, and takes any
# ydf, of which newer ones need a newer protobuf than that TensorFlow has.
INSTALL_CONVERTER = (
    f"python3.11 -m venv tfjs && tfjs/bin/pip install tensorflowjs=={VERSION} ydf==0.11.0 "
    "'setuptools<81'"
)
INSTALL_RUNTIME = "npm install " + " ".join(f"@tensorflow/{x}@{VERSION}" for x in NODE_PACKAGES)
# Not the program tensorflowjs_converter, which splits paths at spaces.
_CONVERT = "import sys; from tensorflowjs.converters import converter as c; c.convert(sys.argv[1:])"


class TfJs:
    """https://www.tensorflow.org/js.

    Args:
        python: an interpreter with tensorflowjs; empty: none is given.
        node_modules: the folder of that name with the packages; empty: where Node looks itself.
    """

    name = "tfjs"

    def __init__(self, python: str = "", node_modules: str = ""):
        self._python = python
        self._environment = dict(os.environ)
        if node_modules:
            # Resolved, as the script is elsewhere.
            self._environment["NODE_PATH"] = str(Path(node_modules).resolve())

    def check_installed(self) -> None:
        """Raises InputError if the converter, Node or its packages are missing."""
        if not self._python:
            raise InputError(
                "--to=tfjs needs --tfjs_python=PATH, a Python with tensorflowjs, which cannot be "
                f"installed next to this TensorFlow; {INSTALL_CONVERTER}; then "
                "--tfjs_python=tfjs/bin/python"
            )
        # Looked for, not imported, which takes half a minute.
        look = "import importlib.util as u; exit(u.find_spec('tensorflowjs') is None)"
        if not _succeeds([self._python, "-c", look], self._environment):
            raise InputError(
                f"--tfjs_python={self._python} is no Python with tensorflowjs; {INSTALL_CONVERTER}"
            )
        if shutil.which("node") is None:
            raise InputError(
                "--to=tfjs needs Node.js (node), in which the model is run; install it"
            )
        # From the script's place, as Node looks for what the script needs, not from this folder.
        names = ", ".join(f"'@tensorflow/{name}'" for name in NODE_PACKAGES)
        look = f"[{names}].map(require('module').createRequire(process.argv[1]).resolve)"
        if not _succeeds(["node", "-e", look, str(SCRIPT)], self._environment):
            raise InputError(
                "--to=tfjs needs Node's packages "
                + ", ".join(f"@tensorflow/{name}" for name in NODE_PACKAGES)
                + f"; {INSTALL_RUNTIME}; then --node_modules=node_modules"
            )

    def write(self, saved_model: Path, folder: Path) -> None:
        """Writes model.json and the weights, in files of 4 MiB."""
        _run(
            [
                *(self._python, "-c", _CONVERT),
                "--input_format=tf_saved_model",
                f"--signature_name={SIGNATURE}",
                "--saved_model_tags=serve",
                *(str(saved_model), str(folder)),
            ],
            self._environment,
            "the converter",
        )

    def load(self, folder: Path) -> Run:
        """The model in a new process of Node at each call."""

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            with tempfile.TemporaryDirectory() as scratch:
                images_file, outputs = Path(scratch, "images"), Path(scratch, "outputs")
                images_file.write_bytes(images.astype("<f4").tobytes())
                arguments = [SCRIPT, folder, images_file, outputs, *images.shape]
                _run(["node", *map(str, arguments)], self._environment, "Node")
                shapes = json.loads(Path(f"{outputs}.json").read_text(encoding="utf-8"))
                return {
                    name: np.fromfile(f"{outputs}.{name}.bin", "<f4").reshape(shape)
                    for name, shape in shapes.items()
                }

        return run


def _succeeds(command: list[str], environment: dict[str, str]) -> bool:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, check=False, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _run(command: list[str], environment: dict[str, str], name: str) -> None:
    """Runs a command; raises RunError, with its last line, if it fails."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"{name} did not run: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RunError(f"{name} failed: {lines[-1] if lines else f'exit status {done.returncode}'}")

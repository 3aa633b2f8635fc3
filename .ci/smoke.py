"""Uses an installed dim_tf as its users do; run by .ci/release and .ci/matrix.

    python smoke.py ZOO

In an empty folder, apart from the repository: the command's help, the import, an encoder of the
zoo, and a run of the data set that scikit-learn brings, trained for a few steps, exported and
loaded.
"""

import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


def output_of(*command: str) -> str:
    """What a command prints; its errors are printed here."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(zoo: str) -> None:
    """Raises at the first thing that is wrong."""
    program = str(Path(sys.executable).parent / "dim-tf")
    os.environ["DIM_TF_ZOO"] = str(Path(zoo).resolve())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        helps = [output_of(program, "--help")]
        helps.append(output_of(sys.executable, "-m", "dim_tf.main", "--help"))
        assert helps[0] == helps[1], "dim-tf and python -m dim_tf.main differ"
        assert "--flagfile" in helps[0]

        import numpy as np

        import dim_tf

        assert Path(dim_tf.__file__).is_relative_to(sys.prefix), dim_tf.__file__
        encoder = dim_tf.load("zoo:dim_cifar10")
        features = encoder(np.zeros([2, 32, 32, 3], np.uint8))
        assert features.shape == (2, 64)
        assert np.isfinite(features).all()

        run = ("--name=smoke", "--steps=3", "--tflite=none")
        flags = ("--flagfile=flags/digits.cfg", "--mode=train,export", *run)
        output_of(program, *flags)
        exported = dim_tf.load("exported/smoke/1")
        assert np.isfinite(exported(np.zeros([2, 28, 28, 1], np.uint8))).all()
    packages = ("dim_tf", "tensorflow", "keras", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"passed: Python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main(sys.argv[1])

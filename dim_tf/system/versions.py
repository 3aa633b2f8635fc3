"""Versions of the software that computed a result, from package metadata, without TensorFlow."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from dim_tf import __version__

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "tensorflow-probability", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that results depend on, by name."""
    interpreter = {"dim_tf": __version__, "python": platform.python_version()}
    return interpreter | {name: version(name) for name in PACKAGES}


def commit() -> str:
    """The commit of the running checkout, with "-dirty" if files differ; empty without one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

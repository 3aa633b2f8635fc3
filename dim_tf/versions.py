"""Which versions made a figure. Free of TensorFlow: the installed packages' metadata are read."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from dim_tf import __version__

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "tensorflow-probability", "scikit-learn")


def versions() -> dict[str, str]:
    """Of this package, Python and the libraries that figures depend on."""
    ours = {"dim_tf": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in PACKAGES}


def commit() -> str:
    """The commit of the checkout that runs, "-dirty" where files differ; empty: no checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

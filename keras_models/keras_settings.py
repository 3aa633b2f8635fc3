"""Keras settings that the models need; the user's may be meant for other programs.

Keras reads KERAS_BACKEND and keras.json (https://keras.io/api/utils/config_utils/) when it is first
imported. Importing this module imports neither Keras nor TensorFlow.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

BACKEND = "tensorflow"
NEEDED = {"floatx": "float32", "image_data_format": "channels_last"}


def check_backend(environ: Mapping[str, str] = os.environ) -> None:
    """Raises ImportError if Keras has, or will have, a backend other than TensorFlow."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        backend, source = keras.config.backend(), "Keras is imported already"
    else:
        backend, source = configured_backend(environ)
    if backend != BACKEND:
        raise ImportError(
            f"Keras' backend is {backend!r} ({source}); expected {BACKEND!r}: set "
            f"KERAS_BACKEND={BACKEND} in the environment, before Keras is imported"
        )


def configured_backend(environ: Mapping[str, str]) -> tuple[str, str]:
    """The backend that Keras will have, and where it is configured.

    Args:
        environ: Environment variables.
    """
    if environ.get("KERAS_BACKEND"):
        return environ["KERAS_BACKEND"], "the environment's KERAS_BACKEND"
    file = config_file(environ)
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError):  # Keras ignores such a file
        settings = {}
    if isinstance(settings, dict) and "backend" in settings:
        return str(settings["backend"]), str(file)
    return BACKEND, "Keras' default"


def config_file(environ: Mapping[str, str]) -> Path:
    """The path where Keras looks for keras.json."""
    if "KERAS_HOME" in environ:
        return Path(os.path.expanduser(os.path.join(environ["KERAS_HOME"], "keras.json")))
    # Not Path.home, which raises an error if the user has no home folder.
    home = environ.get("HOME") or os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        home = "/tmp"
    return Path(home, ".keras", "keras.json")


def check_numbers() -> None:
    """Raises ValueError if Keras is set to another float type or image data format."""
    import keras

    for name, needed in NEEDED.items():
        value = getattr(keras.config, name)()
        if value != needed:
            raise ValueError(
                f"Keras' {name} is {value!r}; the models need {needed!r}: call "
                f"keras.config.set_{name}({needed!r}) first, or mend {config_file(os.environ)}. "
                "Lower precision is a policy: keras.config.set_dtype_policy('mixed_bfloat16')"
            )

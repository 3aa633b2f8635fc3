"""`.keras` files from untrusted sources, read without running the programs in them."""

import json
import os
import zipfile

import keras

MAX_UNPACKED = 2**34  # bytes of a .keras file, whose weights are not compressed


def load(path: str) -> keras.Model:
    """The model in a .keras file, not compiled.

    It is loaded in safe mode, which refuses Lambda layers, because they are programs
    (https://keras.io/api/models/model_saving_apis/model_saving_and_loading/).

    Args:
        path: Path of the file.

    Raises:
        ValueError: The archive would unpack to another folder, or to too many bytes. For a damaged
            file, Keras and its parsers raise errors of many other types.
    """
    _check_archive(path)
    return keras.models.load_model(path, compile=False, safe_mode=True)


def input_size(path: str) -> tuple[int, int] | None:
    """Height and width of a model's images, if its input fixes them; read without loading it.

    Args:
        path: Path of a .keras file. The result is also None if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        (shape,) = [
            layer["config"]["batch_shape"]
            for layer in config["config"]["layers"]
            if layer["class_name"] == "InputLayer"
        ]
        _, height, width, _ = shape
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return (height, width) if height and width else None


def load_or_value_error(path: str) -> keras.Model:
    """The model in a .keras file, as from `load`; every failure is a ValueError of one line.

    Args:
        path: Path of the file.

    Raises:
        ValueError: The file does not exist or cannot be loaded.
    """
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path!r}")
    try:
        return load(path)
    except Exception as error:  # damaged or hostile files raise errors of every type
        inner: BaseException = error
        while deeper := inner.__cause__ or (not inner.__suppress_context__ and inner.__context__):
            inner = deeper  # Keras wraps the cause once for each level
        raise ValueError(f"{path} cannot be loaded ({first_line(inner)})") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if len(lines) > 1 and lines[0].endswith(":"):  # Keras' "Example error message for object X:"
        lines[0] += " " + lines[1]
    line = lines[0].partition(" Target variable:")[0]  # Keras prints the variable's values there
    return line if len(line) <= 300 else f"{line[:297]}..."


def _check_archive(path):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    strange = [m.filename for m in members if {"", ".."} & set(m.filename.split("/")[:-1])]
    if strange:
        raise ValueError(f"it holds the path {strange[0]!r}, which leaves the archive")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED:
        raise ValueError(f"it unpacks to {unpacked:,} bytes; expected at most {MAX_UNPACKED:,}")

"""`.keras` files, which may come from anywhere, read without running a program that is in them."""

import zipfile

import keras

MAX_UNPACKED = 2**34  # bytes in a .keras file, whose weights are not compressed


def load(path: str) -> keras.Model:
    """The model in a .keras file, not compiled.

    It is loaded in safe mode: no Lambda layer, which is a program, is made of it
    (https://keras.io/api/models/model_saving_apis/model_saving_and_loading/).

    Args:
        path: of the file.

    Raises:
        ValueError: it would unpack to elsewhere, or to more than a disk. A damaged file makes
            Keras and its parsers raise all kinds of errors beside.
    """
    _check_archive(path)
    return keras.models.load_model(path, compile=False, safe_mode=True)


def _check_archive(path):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    strange = [m.filename for m in members if {"", ".."} & set(m.filename.split("/")[:-1])]
    if strange:
        raise ValueError(f"it holds the path {strange[0]!r}, which leaves the archive")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED:
        raise ValueError(f"it unpacks to {unpacked:,} bytes; expected at most {MAX_UNPACKED:,}")

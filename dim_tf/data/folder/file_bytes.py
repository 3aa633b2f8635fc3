"""The bytes of image files: which files are images, and reading them once, bounded in size."""

import hashlib
import os
from pathlib import Path

from dim_tf.data import image_headers
from dim_tf.data.image_bounds import MAX_BYTES
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers import SIGNATURE_BYTES
from dim_tf.system.files import open_for_reading

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf"),
    *(".avif", ".heic", ".heif", ".hif", ".npy"),
)
# Formats that are recognized by content under any name. Not TIFF, because many camera raw formats
# start like it, and not formats whose signature is only two letters.
_RECOGNIZED_BY_CONTENT = ("JPEG", "PNG", "GIF", "AVIF", "HEIF")
DIGEST_BYTES = 16


def is_image_file(path: Path | str) -> bool:
    """Whether a file is meant to be an image, by its suffix or its first bytes.

    Raises:
        OSError: It cannot be read.
    """
    if has_image_suffix(path):
        return True
    with open_for_reading(Path(path)) as file:
        return _is_image(path, file.read(SIGNATURE_BYTES))


def read_image_file(path: Path | str, expected_digest: bytes | None = None) -> bytes:
    """The bytes of an image file.

    Args:
        path: Path of the file.
        expected_digest: `digest_of` its bytes when it was inspected; None: any content.

    Raises:
        UndecodableError: It is empty, too large, not an image, or has changed.
        OSError: It cannot be read.
    """
    with open_for_reading(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise UndecodableError(Fault.EMPTY if has_image_suffix(path) else Fault.OTHER)
        if not _is_image(path, file.read(SIGNATURE_BYTES)):
            raise UndecodableError(Fault.OTHER)
        if size > MAX_BYTES:
            raise UndecodableError(Fault.TOO_MANY_BYTES)
        file.seek(0)
        data = file.read(MAX_BYTES + 1)  # bounded, even if the file grows meanwhile
    if expected_digest is not None and digest_of(data) != bytes(expected_digest):
        raise UndecodableError(Fault.CHANGED)
    return data


def has_image_suffix(path: Path | str) -> bool:
    """Whether a file's name ends in one of `SUFFIXES`, in any case."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def digest_of(data: bytes) -> bytes:
    """BLAKE2b of a file's bytes, `DIGEST_BYTES` long."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _is_image(path, beginning):
    return has_image_suffix(path) or image_headers.format_of(beginning) in _RECOGNIZED_BY_CONTENT

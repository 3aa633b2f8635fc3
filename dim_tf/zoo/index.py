"""The index of a zoo: zoo.json, which lists encoders, where they are, and their SHA-256.

    {"format": 1, "models": {"digits": {
        "url": "digits-2.tar.gz", "sha256": "9f86...", "card": "digits-2.md"}}}

`url` is a path in the zoo's folder or on its server, or a whole URL. It names a .tar.gz archive of
one version of an export or, in a folder, the folder of that version itself; `sha256` is that of the
archive, or of the SHA256SUMS in the version's folder. `card` is the model card.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3

import dim_tf
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, is_inside, make_folder, read_text
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.json_files import parse_json_object

FILE = "zoo.json"
FORMAT = 1
VARIABLE = "DIM_TF_ZOO"
ARCHIVE = ".tar.gz"
MAX_INDEX_BYTES = 2**20
TIMEOUT = 60  # seconds without an answer or a byte
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """An encoder in a zoo.

    Attributes:
        name: The name after "zoo:".
        url: A whole URL, or a path in the zoo.
        sha256: SHA-256 of the archive, or of the version's SHA256SUMS.
        card: A whole URL, or a path in the zoo.
    """

    name: str
    url: str
    sha256: str
    card: str


@dataclass(frozen=True)
class Zoo:
    """A folder or a server of encoders.

    Attributes:
        root: The folder, or its URL.
        entries: The encoders, by name.
    """

    root: str
    entries: dict[str, Entry]

    @classmethod
    def read(cls, root: str = "", cache: Path | None = None) -> "Zoo":
        """Reads an index.

        Args:
            root: A folder, or its URL; empty: $DIM_TF_ZOO, or else the folder `exported` of the
                repository from which this package runs.
            cache: A folder in which the index of a server is kept, to be used when the server does
                not answer; None: it is not kept.

        Raises:
            InputError: There is no index, or it is damaged.
        """
        root = root or os.environ.get(VARIABLE, "") or _of_repository()
        where = locate(root, FILE)
        kept = None
        if cache and is_url(where):
            kept = cache / f"{hashlib.sha256(where.encode()).hexdigest()[:16]}-{FILE}"
        try:
            text = _download_text(where, kept) if is_url(where) else _read(where)
            zoo = cls(root, _entries(parse_json_object(text)))
        except ValueError as error:
            raise InputError(
                f"{where} is no index of encoders ({error}); docs/ZOO.md has its form"
            ) from error
        if kept and not _holds(kept, text):  # a cache that is filled may be read-only
            make_folder(kept.parent, "XDG_CACHE_HOME")
            with translate_write_errors(str(kept), kept.parent, "make room"):
                atomic_write_text(kept, text)
        return zoo

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            InputError: There is none; the error lists the existing names.
        """
        if name not in self.entries:
            raise InputError(
                f"zoo:{name} is unknown; {locate(self.root, FILE)} has "
                f"{', '.join(sorted(self.entries)) or 'no encoder'}"
            )
        return self.entries[name]


def is_url(location: str) -> bool:
    """Whether a location is on a server rather than in the file system.

    Raises:
        InputError: It is neither a URL nor a path.
    """
    try:
        return urlsplit(location).scheme in ("http", "https")
    except ValueError as error:
        raise InputError(f"{location} is no URL and no path ({error}); mend it") from error


def locate(root: str, path: str) -> str:
    """The location of a zoo's file: a URL or a path.

    Args:
        root: The zoo.
        path: A path in the zoo, or a whole URL.
    """
    if is_url(path):
        return path
    if is_url(root):
        return f"{root.rstrip('/')}/{quote(path)}"
    return str(Path(os.path.expanduser(root), path))


def _of_repository() -> str:
    folder = Path(dim_tf.__file__).parents[1] / "exported"
    if (folder / FILE).is_file():
        return str(folder)
    raise InputError(
        f"no zoo is given: set {VARIABLE} to a folder or the URL of one with a {FILE}; a clone of "
        "the repository has exported/, an installed package has none"
    )


def _holds(path: Path, text: str) -> bool:
    try:
        return read_text(path) == text
    except (OSError, ValueError):
        return False


def _read(path: str) -> str:
    try:
        return read_text(Path(path))
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}; set {VARIABLE} to a folder or the URL of one with a {FILE}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _download_text(url: str, kept: Path | None) -> str:
    try:
        chunks = list(download(url, MAX_INDEX_BYTES))
    except InputError as error:
        if not (kept and kept.is_file()):
            raise
        say(f"zoo: {error}; the index of the last time is used")
        return read_text(kept)
    return b"".join(chunks).decode("utf-8")


def download(url: str, max_bytes: int) -> Iterator[bytes]:
    """Yields the bytes of a file on a server, in pieces.

    Args:
        url: The URL of the file.
        max_bytes: A longer file is an error.

    Raises:
        InputError: It cannot be downloaded, or is too long.
    """
    received = 0
    try:
        # The bytes of the file itself: a server may declare .tar.gz as a file with the encoding
        # gzip.
        plain = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=TIMEOUT, headers=plain) as response:
            response.raise_for_status()
            for chunk in response.raw.stream(2**20, decode_content=False):
                received += len(chunk)
                if received > max_bytes:
                    raise InputError(f"{url} has more than {max_bytes:,} bytes; it is refused")
                yield chunk
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise InputError(
            f"{url} cannot be downloaded ({error}); check {VARIABLE} and the network"
        ) from error


def _entries(content: dict[str, Any]) -> dict[str, Entry]:
    if content.get("format") != FORMAT:
        raise ValueError(f'its "format" is {content.get("format")!r}, not {FORMAT}')
    models = content.get("models")
    if not isinstance(models, dict):
        raise ValueError('it has no "models", {"NAME": {...}}')
    return {name: entry_of(name, fields) for name, fields in models.items()}


def entry_of(name: str, fields: Any) -> Entry:
    """An entry, from its name and its fields in JSON.

    Raises:
        ValueError: The fields are not those of an entry.
    """
    check_name(name)
    keys = ("url", "sha256", "card")
    if not isinstance(fields, dict) or not all(isinstance(fields.get(x), str) for x in keys):
        raise ValueError(f"{name} needs the texts {', '.join(keys)}")
    entry = Entry(name, *(fields[key] for key in keys))
    if not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"the sha256 of {name} is no 64 hexadecimal digits in lower case")
    for location in (entry.url, entry.card):
        if not is_url(location) and not is_inside(location):
            raise ValueError(f"{name} names {location!r}, which is no URL and no path in the zoo")
    return entry


def check_name(name: str) -> None:
    """Raises ValueError if an encoder cannot have that name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: letters, digits and ._- alone")

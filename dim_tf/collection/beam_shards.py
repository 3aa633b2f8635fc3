"""The Beam pipeline's work in units that any runner can repeat: one file of embeddings each.

Runners differ in which transforms they execute faithfully, and all of them repeat what a lost
worker had started. So a single step reads, embeds and writes a shard. A shard is written whole or
not at all, under a name that its input determines, and a record beside it says what it was made
from.
"""

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import pyarrow.parquet
from apache_beam.io import tfrecordio
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler
from apache_beam.utils.shared import Shared

from dim_tf.collection import shard_formats
from dim_tf.system.errors import InputError, RunError

ROWS = 4096  # that a worker keeps before it writes them, 4 D bytes each
_TEMPORARY = re.compile(r".*\.[0-9a-f]{32}\.tmp", re.DOTALL)
_NAME = re.compile(r".*-\d{5,}-of-(\d{5,})\.json", re.DOTALL)

Rows = tuple[list[str], np.ndarray]  # ids; float32 [N, D]


@dataclass(frozen=True)
class Shard:
    """The input files whose embeddings one output file holds.

    Attributes:
        number: Its number, from 0.
        count: Number of all shards.
        origin: SHA-256 of everything that the embeddings depend on.
        files: Paths of the files, below the folder that their reader knows.
    """

    number: int
    count: int
    origin: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class ShardRecord:
    """The results of a shard's images.

    Attributes:
        origin: The origin of the shard.
        embedded: How many images were embedded.
        invalid: The ids of the images that could not be decoded.
    """

    origin: str
    embedded: int
    invalid: tuple[str, ...]


class Reader(Protocol):
    """Reads an input file as (id, encoded image)."""

    @property
    def folder(self) -> str:
        """The folder that paths are relative to, with its last slash."""

    def read(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Yields the ids and the encoded images in a file."""


def divide(
    files: Sequence[FileMetadata], size: int, folder: str, origin: Mapping[str, Any]
) -> list[Shard]:
    """Divides input files into shards, in order.

    Args:
        files: N files below `folder`.
        size: Files per shard; the last one may have fewer.
        folder: The folder that paths are relative to.
        origin: What the embeddings depend on besides the files.

    Returns:
        ceil(N / size) shards.
    """
    count = -(-len(files) // size)
    return [
        Shard(number, count, _digest(origin, part), tuple(_below(folder, file) for file in part))
        for number in range(count)
        for part in [files[number * size : (number + 1) * size]]
    ]


def _digest(origin, files):
    about = [[file.path, file.size_in_bytes, file.last_updated_in_seconds] for file in files]
    return hashlib.sha256(json.dumps([origin, about], sort_keys=True).encode()).hexdigest()


def _below(folder, file):
    if not file.path.startswith(folder):
        raise InputError(f"--input below {folder} lists {file.path}; write its folder as listed")
    return file.path.removeprefix(folder)


@dataclass(frozen=True)
class ShardFiles:
    """The location of shards and their records, in any file system that Beam knows.

    Attributes:
        output: What the names of the files start with.
        format_name: "parquet" or "tfrecord".
        size: D, the numbers in an embedding.
    """

    output: str
    format_name: str
    size: int

    def path(self, shard: Shard, suffix: str = "") -> str:
        """The file of a shard; with the suffix "json", its record."""
        return f"{self.output}-{shard.number:05d}-of-{shard.count:05d}.{suffix or self.format_name}"

    def record(self, shard: Shard) -> ShardRecord | None:
        """The record of a shard, if the shard is complete; None if it is not."""
        try:
            if not FileSystems.exists(self.path(shard)):
                return None
            with FileSystems.open(self.path(shard, "json")) as stream:
                content = json.load(stream)
            record = ShardRecord(content["origin"], content["embedded"], tuple(content["invalid"]))
        except (OSError, BeamIOError, ValueError, KeyError, TypeError):
            return None
        return record if record.origin == shard.origin else None

    def check_same_origin(self, shards: Sequence[Shard]) -> None:
        """Checks that the existing files belong to these shards.

        Raises:
            InputError: A record is of another collection, encoder, format or division into shards.
        """
        origins = {self.path(shard, "json"): shard.origin for shard in shards}
        for path in self._matching("-*-of-*.json"):
            if not _NAME.fullmatch(path):
                continue
            with FileSystems.open(path) as stream:
                try:
                    origin = json.load(stream)["origin"]
                except (ValueError, KeyError, TypeError):  # cut off; it is written again
                    origin = origins.get(path)
            if path not in origins or origin != origins[path]:
                raise InputError(
                    f"{path} records embeddings of other images, of another encoder or with other "
                    "flags; give another --output, or remove the files of that one"
                )

    def write(self, shard: Shard, rows: Iterable[Rows], invalid: list[str]) -> ShardRecord:
        """Writes a shard, whole or not at all, and its record.

        Args:
            shard: The shard; its file is replaced if it exists.
            rows: The rows of the shard, as they become known.
            invalid: The ids of the other images; the list is complete after the last row.
        """
        embedded = 0

        def counted() -> Iterator[Rows]:
            nonlocal embedded
            for ids, embeddings in rows:
                embedded += len(ids)
                yield ids, embeddings

        with _replacement(self.path(shard)) as stream:
            _WRITERS[self.format_name](stream, counted(), self.size)
            record = ShardRecord(shard.origin, embedded, tuple(invalid))
            # Before the shard exists, because without a record its origin would be unknown.
            write_text(self.path(shard, "json"), json.dumps(asdict(record)))
        return record

    def remove_temporary_files(self) -> None:
        """Removes what killed workers left behind; no other process may write to the output."""
        _remove([path for path in self._matching("-*.tmp") if _TEMPORARY.fullmatch(path)])

    def _matching(self, pattern):
        files = FileSystems.match([f"{self.output}{pattern}"])[0].metadata_list
        return sorted(file.path for file in files)


def write_text(path: str, text: str) -> None:
    """Writes a text file, whole or not at all, in any file system that Beam knows."""
    with _replacement(path) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def _replacement(path):
    """Yields a stream to a file that appears at `path` on exit, but not after an exception."""
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    try:
        with FileSystems.create(
            temporary, compression_type=CompressionTypes.UNCOMPRESSED
        ) as stream:
            yield stream
        FileSystems.rename([temporary], [path])
    except BaseException:
        _remove([temporary])
        raise


def _remove(paths):
    for path in paths:
        try:
            FileSystems.delete([path])
        except (OSError, BeamIOError):  # not there, or of a file system that refuses
            continue


def _write_parquet(stream, rows, size):
    none = shard_formats.parquet_table([], np.empty((0, size), np.float32))
    with pyarrow.parquet.ParquetWriter(stream, none.schema) as writer:
        for ids, embeddings in rows:
            writer.write_table(shard_formats.parquet_table(ids, embeddings))


def _write_tfrecord(stream, rows, size):
    for ids, embeddings in rows:
        for image_id, embedding in zip(ids, embeddings, strict=True):
            record = shard_formats.serialized_example(image_id, embedding)
            tfrecordio._TFRecordUtil.write_record(stream, record)


_WRITERS: dict[str, Callable[[Any, Iterator[Rows], int], None]] = {
    "parquet": _write_parquet,
    "tfrecord": _write_tfrecord,
}


class EmbedShard(beam.DoFn):
    """Maps a shard to its number, after its embeddings and record are written.

    It needs no side input, grouping or second output, so that all runners can execute it.

    Args:
        handler: An `EncoderHandler`.
        reader: Reader of the input files.
        files: The output files.
        batch_size: Images embedded at once; the end of a shard may have fewer.
    """

    def __init__(self, handler: ModelHandler, reader: Reader, files: ShardFiles, batch_size: int):
        super().__init__()
        self.handler, self.reader, self.files = handler, reader, files
        self.batch_size = batch_size
        self.shared = Shared()  # one model per process, for all its threads

    def setup(self) -> None:
        """Loads the encoder, once per process."""
        self.model = self.shared.acquire(self.handler.load_model)

    def process(self, shard: Shard) -> Iterator[int]:
        """Writes the shard."""
        invalid: list[str] = []
        self.files.write(shard, self._rows(shard, invalid), invalid)
        yield shard.number

    def _rows(self, shard, invalid) -> Iterator[Rows]:
        """Yields up to `ROWS` rows at a time; adds the ids of images without a row to `invalid`."""
        ids: list[str] = []
        embeddings: list[np.ndarray] = []
        examples = (example for path in shard.files for example in self.reader.read(path))
        while batch := list(islice(examples, self.batch_size)):
            results = self.handler.run_inference([encoded for _, encoded in batch], self.model)
            for (image_id, _), result in zip(batch, results, strict=True):
                if result.valid:
                    ids.append(image_id)
                    embeddings.append(result.embedding)
                else:
                    invalid.append(image_id)
            if len(ids) >= ROWS:
                yield ids, np.stack(embeddings)
                ids, embeddings = [], []
        if ids:
            yield ids, np.stack(embeddings)


def summarize(files: ShardFiles, shards: Sequence[Shard]) -> tuple[int, list[str]]:
    """Counts the images in the shards.

    Returns:
        The number of images that were embedded, and the ids of those that could not be decoded.

    Raises:
        RunError: A shard is missing, whatever the runner reported.
    """
    records = [files.record(shard) for shard in shards]
    missing = [files.path(shard) for shard, x in zip(shards, records, strict=True) if not x]
    if missing:
        raise RunError(
            f"{len(missing)} of {len(shards)} files were not written, as {missing[0]}; the same "
            "command goes on with them"
        )
    complete = [record for record in records if record]
    return (
        sum(record.embedded for record in complete),
        [image_id for record in complete for image_id in record.invalid],
    )

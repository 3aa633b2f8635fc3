"""Embeds a large collection of images by an exported encoder; goes on where it was stopped."""

import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.export import saved_model
from dim_tf.export.image_collection import Collection
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import atomic_replace, atomic_write_text, sha256_of
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import json_with_checksum, read_json
from dim_tf.system.locks import locked_folder

SIGNATURE = "serving_bytes_valid"
MANIFEST_FILE = "embeddings.json"
BATCH = 256
_RECORD_EVERY = 64  # shards: embeddings.json grows with them
_RECORDED = re.compile(r"(embeddings|refused)-\d{5,}\.(parquet|tfrecord|txt)")
_EMBED_AGAIN = "embed the images again, into another --embed_output"

Write = Callable[[Path, list[str], np.ndarray], None]


def embed(
    saved_model_path: Path, collection: Collection, out: Path, format: str, shard_size: int
) -> dict[str, Any]:
    """Writes the embeddings of a collection, a file for each `shard_size` images.

    A file has a row for each image: `id`, string, and `embedding`, float32 [D]. Images that cannot
    be decoded have none; their ids are in refused-NNNNN.txt. A file appears whole or not at all; a
    second call goes on after the last one, so that each id is written once, and makes again what is
    not as it was written.

    Args:
        saved_model_path: one version of an exported encoder.
        collection: the images.
        out: folder for the files.
        format: parquet, or tfrecord (tf.train.Example).
        shard_size: images a file.

    Returns:
        What embeddings.json then tells: images, refused, and where they came from.

    Raises:
        InputError: no such encoder, another process writes to the folder, or it holds embeddings of
            another encoder, collection, format or size of file.
        RunError: a file of the collection cannot be read, or one of embeddings not be written.
    """
    write = writer(format)
    encoder = saved_model.load(str(saved_model_path), SIGNATURE)
    with locked_folder(out, "--embed_output"):
        return _embed(saved_model_path, encoder, collection, out, format, write, shard_size)


def _embed(saved_model_path, encoder, collection, out, format, write, shard_size):
    signature = encoder.signatures[SIGNATURE]
    told = {
        "collection": collection.description,
        "collection_fingerprint": collection.fingerprint,
        "saved_model": str(saved_model_path),
        "saved_model_fingerprint": _fingerprint(saved_model_path),
        "weights_fingerprint": saved_model.weights_fingerprint(encoder.variables),
        "format": format,
        "shard_size": shard_size,
    }
    check_same(out / MANIFEST_FILE, told)
    files = _recorded(out)
    _write_manifest(out, told | {"complete": False, "files": files})

    def embedded(first):
        return _embedded(signature, collection, first * shard_size, shard_size)

    def write_shard(shard, rows):
        files.update(_write_shard(out, format, write, shard, rows))
        if shard % _RECORD_EVERY == 0:
            _write_manifest(out, told | {"complete": False, "files": files})

    shards = _finished_shards(out, format, files)
    if shards:
        say(f"embed: {shards:,} files are there; going on after them")
    for shard in range(shards):
        path = _shard_path(out, format, shard)
        if not _is_whole(path, files, shard_size):
            say(f"embed: {path.name} is not as it was written; making it again")
            write_shard(shard, next(embedded(shard)))
    for rows in embedded(shards):
        write_shard(shards, rows)
        shards += 1
        if len(rows) == shard_size:
            say(f"embed: {shards * shard_size:,} images")
    told |= _counts(out, format, shards)
    _write_manifest(out, told | {"complete": True, "files": files})
    return told


def _embedded(signature, collection, first, shard_size):
    """The rows of each shard, from image number `first` on; the last may have fewer."""
    waiting = _Rows([], np.empty(0), np.empty(0))
    for ids, encoded in _read_whole(collection, first, min(BATCH, shard_size)):
        answer = signature(image_bytes=encoded)
        waiting = waiting.and_then(ids, answer["global"].numpy(), answer["valid"].numpy())
        if len(waiting) >= shard_size:
            full, waiting = waiting.split(shard_size)
            yield full
    if len(waiting):
        yield waiting


def _read_whole(collection, first, size):
    try:
        yield from collection.batches_from(first, size)
    except tf.errors.OpError as error:  # an unreadable file, a TFRecord that is cut off
        raise RunError(
            f"{collection.description}: {reason(error)}; mend what cannot be read and call again, "
            "which goes on after the last written file; where files were replaced, embed them "
            "into another --embed_output"
        ) from error


@dataclass(frozen=True)
class _Rows:
    """Embeddings that were computed and not yet written: ids, float32 [N, D], bool [N]."""

    ids: list[str]
    features: np.ndarray
    valid: np.ndarray

    def __len__(self):
        return len(self.ids)

    def and_then(self, ids, features, valid):
        if not self.ids:
            return _Rows(ids, features, valid)
        joined = np.concatenate([self.features, features]), np.concatenate([self.valid, valid])
        return _Rows(self.ids + ids, *joined)

    def split(self, first):
        return (
            _Rows(self.ids[:first], self.features[:first], self.valid[:first]),
            _Rows(self.ids[first:], self.features[first:], self.valid[first:]),
        )


def check_encoder(out: Path, variables: Iterable[Any]) -> None:
    """Checks that the embeddings in a folder are of the encoder with these variables.

    Raises:
        InputError: they are of other weights, among whose embeddings this encoder's neighbours
            are anybody.
    """
    manifest = _manifest(out / MANIFEST_FILE)
    if manifest.get("weights_fingerprint") != saved_model.weights_fingerprint(variables):
        raise InputError(
            f"the embeddings in {out} were made by {manifest.get('saved_model')}, which is an "
            "encoder of other weights; embed the images by an export of this run"
        )


def read(out: Path) -> tuple[list[str], np.ndarray]:
    """The ids and the embeddings, float32 [N, D], that `embed` wrote to a folder.

    Raises:
        InputError: the folder has none, or they are not complete.
    """
    manifest = _manifest(out / MANIFEST_FILE)
    if not manifest.get("complete"):
        raise InputError(
            f"{out} holds no complete embeddings; run --mode=embed --embed_output={out} to its end"
        )
    format = manifest.get("format")
    if not isinstance(format, str) or format not in _READERS:
        raise InputError(f"{out / MANIFEST_FILE} has the format {format!r}; {_EMBED_AGAIN}")
    files = _recorded(out)
    for name, digest in files.items():
        if not _has_digest(out / name, digest):
            raise InputError(
                f"{out / name} is missing or not as it was written; run --mode=embed "
                f"--embed_output={out} again, which makes it again"
            )
    paths = [out / name for name in files] or out.glob("*")
    parts = [
        _read_shard(_READERS[format], path)
        for path in sorted(paths)
        if path.match(f"embeddings-*.{format}")
    ]
    ids = [one for part, _ in parts for one in part]
    filled = [rows for part, rows in parts if part]
    if not filled:
        raise InputError(f"{out} holds no embedding: every image was refused")
    sizes = sorted({rows.shape[1] for rows in filled})
    if len(sizes) > 1:
        raise InputError(f"the embeddings in {out} have {sizes} numbers; {_EMBED_AGAIN}")
    return ids, np.concatenate(filled)


def _read_shard(reader, path):
    try:
        ids, rows = reader(path)
        if not all(isinstance(one, str) for one in ids):
            raise ValueError("an id is no text")
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32, casting="same_kind", copy=False)
        if rows.ndim != 2 or len(ids) != len(rows) or not np.isfinite(rows).all():
            raise ValueError("no numbers that are finite as float32, as many for each id")
    except Exception as error:  # of Parquet's, Arrow's, Protobuf's and TensorFlow's readers
        raise InputError(f"{path} holds no embeddings ({reason(error)}); {_EMBED_AGAIN}") from error
    return ids, rows


def _fingerprint(path: Path) -> str:
    found = hashlib.sha256()
    for file in ("saved_model.pb", "variables/variables.index"):
        found.update(tf.io.gfile.GFile(str(path / file), "rb").read())
    return found.hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    return read_json(path, _EMBED_AGAIN) if path.exists() else {}


def check_same(path: Path, told: dict[str, Any]) -> None:
    """Checks that embeddings, if there are some, were begun by the same encoder and collection.

    Args:
        path: of their embeddings.json, which may be missing.
        told: what it would tell.

    Raises:
        InputError: they were begun with something else, or the file cannot be read.
    """
    there = _manifest(path) or told
    differing = [
        f"{key}: {there.get(key)!r} -> {told[key]!r}"
        for key in ("format", "shard_size")
        if there.get(key) != told[key]
    ] + [
        f"{key}: the content of {there.get(key)} -> that of {told[key]}"
        for key in ("collection", "saved_model")
        if there.get(f"{key}_fingerprint") != told[f"{key}_fingerprint"]
    ]
    if differing:
        raise InputError(
            f"{path.parent} holds embeddings of something else ({'; '.join(differing)}); give "
            "what they were begun with, or another --embed_output"
        )


def _shard_path(out: Path, format: str, shard: int) -> Path:
    return out / f"embeddings-{shard:05d}.{format}"


def _refused_path(shard_path: Path) -> Path:
    return shard_path.with_name(f"{shard_path.stem.replace('embeddings', 'refused')}.txt")


def _recorded(out: Path) -> dict[str, str]:
    """SHA-256 of each file of embeddings or refused ids, by its name; none in an older record.

    Raises:
        InputError: embeddings.json records something else.
    """
    files = _manifest(out / MANIFEST_FILE).get("files", {})
    if not isinstance(files, dict) or not all(
        _RECORDED.fullmatch(name) and isinstance(digest, str) for name, digest in files.items()
    ):
        raise InputError(f"{out / MANIFEST_FILE} records files of other names; {_EMBED_AGAIN}")
    return files


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _finished_shards(out: Path, format: str, files: dict[str, str]) -> int:
    """How many were written; one that is missing by now counts if it is recorded."""
    shard = 0
    while (path := _shard_path(out, format, shard)).exists() or path.name in files:
        shard += 1
    return shard


def _is_whole(path: Path, files: dict[str, str], shard_size: int) -> bool:
    """Whether a shard, with its refused ids, is as it was written.

    One that is not recorded, by an earlier version or as the process was killed, has to be full.
    """
    refused = _refused_path(path)
    if path.name in files:
        recorded = [one for one in (path, refused) if one.name in files]
        return all(_has_digest(one, files[one.name]) for one in recorded)
    try:
        ids, _ = _read_shard(_READERS[path.suffix[1:]], path)
    except InputError:
        return False
    if len(ids) + _count_lines(refused) != shard_size:
        return False
    files.update({one.name: sha256_of(one) for one in (path, refused) if one.exists()})
    return True


def _count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").split("\n")) - 1 if path.exists() else 0


def _write_shard(out, format, write, shard, rows):
    path = _shard_path(out, format, shard)
    refused = [one for one, ok in zip(rows.ids, rows.valid, strict=True) if not ok]
    embedded = [one for one, ok in zip(rows.ids, rows.valid, strict=True) if ok]
    with _writing(path):
        if refused:  # before the embeddings, whose file says that the shard is done
            lines = "".join(one.replace("\n", "\\n") + "\n" for one in refused)
            atomic_write_text(_refused_path(path), lines)
        with atomic_replace(path) as temporary:
            write(temporary, embedded, rows.features[rows.valid])
        return {one.name: sha256_of(one) for one in [path, *[_refused_path(path)] * bool(refused)]}


def _write_manifest(out, told):
    with _writing(out / MANIFEST_FILE):
        atomic_write_text(out / MANIFEST_FILE, json_with_checksum(told))


def _writing(path: Path) -> AbstractContextManager[None]:
    return translate_write_errors(
        str(path), path.parent, "the files before are whole; make room and call again to go on"
    )


def _counts(out, format, shards):
    refused = sum(_count_lines(path) for path in out.glob("refused-*.txt"))
    count = {"parquet": _count_parquet, "tfrecord": _count_records}[format]
    embedded = sum(count(_shard_path(out, format, shard)) for shard in range(shards))
    return {"images": embedded + refused, "refused": refused}


def writer(format: str) -> Write:
    """What writes a file of embeddings of a format.

    Raises:
        InputError: it needs a package that is not installed.
    """
    if format == "tfrecord":
        return _write_records
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow: pip install 'dim_tf[embed]', or give --embed_format=tfrecord"
        ) from error
    return _write_parquet


def _write_parquet(path, ids, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = rows.shape[1]
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1), pa.float32())
    embeddings = pa.FixedSizeListArray.from_arrays(flat, size)
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "embedding": embeddings}), path)


def _read_parquet(path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = table["embedding"].combine_chunks()
    size = column.type.list_size
    return table["id"].to_pylist(), column.flatten().to_numpy().reshape(len(column), size)


def _count_parquet(path):
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).metadata.num_rows


def _write_records(path, ids, rows):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one, row in zip(ids, rows, strict=True):
            writer.write(serialized_example(one, row))


def serialized_example(id: str, embedding: Iterable[float]) -> bytes:
    """A tf.train.Example with the features id, bytes, and embedding, floats [D]."""
    example = tf.train.Example()
    example.features.feature["id"].bytes_list.value.append(id.encode())
    example.features.feature["embedding"].float_list.value.extend(embedding)
    return example.SerializeToString()


def _read_records(path):
    ids, rows = [], []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        ids.append(features["id"].bytes_list.value[0].decode())
        rows.append(np.array(features["embedding"].float_list.value, np.float32))
    return ids, np.array(rows, np.float32)


def _count_records(path):
    return sum(1 for _ in tf.data.TFRecordDataset(str(path)))


_READERS = {"parquet": _read_parquet, "tfrecord": _read_records}

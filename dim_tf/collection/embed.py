"""Embeds a large collection of images with an exported encoder; continues where it was stopped."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.collection import embeddings
from dim_tf.collection.image_collection import ImageCollection
from dim_tf.export import saved_model
from dim_tf.system import cpu
from dim_tf.system.console import say
from dim_tf.system.errors import RunError
from dim_tf.system.io_errors import reason
from dim_tf.system.locks import locked_folder

SIGNATURE = "serving_bytes_valid"
BATCH = 256
# Signature calls at a time: while one decodes, which takes few threads, another one encodes.
CALLS = min(max(cpu.count() // 2, 2), 8)
_SHARDS_PER_MANIFEST = 64  # embeddings.json grows with the shards, so not each rewrites it


def embed(
    saved_model_path: Path,
    collection: ImageCollection,
    folder: Path,
    format_name: str,
    shard_size: int,
) -> dict[str, Any]:
    """Writes the embeddings of a collection, a file for each `shard_size` images.

    A file has a row for each image: `id`, string, and `embedding`, float32 [D]. Images that cannot
    be decoded have none; their ids are in refused-NNNNN.txt. A file appears whole or not at all. A
    second call continues after the last one, so that each id is written once, and rewrites files
    that have changed since.

    Args:
        saved_model_path: one version of an exported encoder.
        collection: the images.
        folder: for the files.
        format_name: parquet, or tfrecord (tf.train.Example).
        shard_size: images a file.

    Returns:
        The content of embeddings.json: images, refused, and where they came from.

    Raises:
        InputError: no such encoder, another process writes to the folder, or it holds embeddings of
            another encoder, collection, format or size of file.
        RunError: a file of the collection cannot be read, or one of embeddings not be written.
    """
    encoder = saved_model.load(str(saved_model_path), SIGNATURE)
    with locked_folder(folder, "--embed_output"):
        return _embed(saved_model_path, encoder, collection, folder, format_name, shard_size)


def _embed(saved_model_path, encoder, collection, folder, format_name, shard_size):
    signature = encoder.signatures[SIGNATURE]
    origin = {
        "collection": collection.description,
        "collection_fingerprint": collection.fingerprint,
        "saved_model": str(saved_model_path),
        "saved_model_fingerprint": encoder_fingerprint(str(saved_model_path)),
        "weights_fingerprint": saved_model.weights_fingerprint(encoder.variables),
        "feature": saved_model.feature_in(signature.structured_outputs),
        "format": format_name,
        "shard_size": shard_size,
    }
    embeddings.check_same_origin(folder, origin)
    digests = embeddings.recorded_digests(folder)
    incomplete = origin | {"complete": False, "files": digests}
    embeddings.write_manifest(folder, incomplete)

    def path_of(shard):
        return embeddings.shard_path(folder, format_name, shard)

    def rows_from(shard):
        return _embedded_shards(signature, collection, shard * shard_size, shard_size)

    def write_shard(shard, rows):
        digests.update(
            embeddings.write_shard(path_of(shard), rows.ids, rows.embeddings, rows.valid)
        )
        if shard % _SHARDS_PER_MANIFEST == 0:
            embeddings.write_manifest(folder, incomplete)

    shards = embeddings.count_shards(folder, format_name, digests)
    if shards:
        say(f"embed: {shards:,} files are there; going on after them")
    for shard in range(shards):
        if not embeddings.is_intact(path_of(shard), digests, shard_size):
            say(f"embed: {path_of(shard).name} is not as it was written; making it again")
            write_shard(shard, next(rows_from(shard)))
    for rows in rows_from(shards):
        write_shard(shards, rows)
        shards += 1
        if len(rows.ids) == shard_size:
            say(f"embed: {shards * shard_size:,} images")
    summary = origin | embeddings.count_images(folder, format_name, shards)
    embeddings.write_manifest(folder, summary | {"complete": True, "files": digests})
    return summary


@dataclass(frozen=True)
class _Rows:
    """Images with their embeddings: ids, float32 [N, D], bool [N]."""

    ids: list[str]
    embeddings: np.ndarray
    valid: np.ndarray

    def append(self, rows: "_Rows") -> "_Rows":
        if not self.ids:
            return rows
        return _Rows(
            self.ids + rows.ids,
            np.concatenate([self.embeddings, rows.embeddings]),
            np.concatenate([self.valid, rows.valid]),
        )

    def split(self, index: int) -> tuple["_Rows", "_Rows"]:
        return (
            _Rows(self.ids[:index], self.embeddings[:index], self.valid[:index]),
            _Rows(self.ids[index:], self.embeddings[index:], self.valid[index:]),
        )


def _embedded_shards(signature, collection, first, shard_size) -> Iterator[_Rows]:
    """The rows of each shard, from image number `first` on; the last may have fewer."""
    pending = _Rows([], np.empty(0), np.empty(0))
    batches = _readable_batches(collection, first, min(BATCH, shard_size))
    for rows in _embedded_batches(signature, batches):
        pending = pending.append(rows)
        if len(pending.ids) >= shard_size:
            full, pending = pending.split(shard_size)
            yield full
    if pending.ids:
        yield pending


def _embedded_batches(signature, batches) -> Iterator[_Rows]:
    """The rows of each batch, in their order; `CALLS` batches are embedded at a time."""

    def embed_batch(ids, encoded):
        outputs = signature(image_bytes=encoded)
        features = outputs[saved_model.feature_in(outputs)].numpy()
        return _Rows(ids, features, outputs[saved_model.VALID].numpy())

    workers = ThreadPoolExecutor(CALLS)
    running: deque = deque()
    try:
        for ids, encoded in batches:
            running.append(workers.submit(embed_batch, ids, encoded))
            if len(running) > CALLS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        workers.shutdown(cancel_futures=True)


def _readable_batches(collection, first, size):
    try:
        yield from collection.batches_from(first, size)
    except tf.errors.OpError as error:  # an unreadable file, a TFRecord that is cut off
        raise RunError(
            f"{collection.description}: {reason(error)}; mend what cannot be read and call again, "
            "which goes on after the last written file; where files were replaced, embed them "
            "into another --embed_output"
        ) from error


def encoder_fingerprint(saved_model_path: str) -> str:
    """A hash of one version of an exported encoder: its graph and its weights' checksums."""
    digest = hashlib.sha256()
    for file in ("saved_model.pb", "variables/variables.index"):
        digest.update(tf.io.gfile.GFile(f"{saved_model_path}/{file}", "rb").read())
    return digest.hexdigest()

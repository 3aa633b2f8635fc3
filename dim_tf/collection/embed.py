"""Embeds a large collection of images with an exported encoder; continues where it stopped."""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.collection import embeddings
from dim_tf.collection.image_collection import ImageCollection
from dim_tf.export import saved_model
from dim_tf.export.local_maps import LOCAL, LocalMaps
from dim_tf.settings.export import AUTO
from dim_tf.system import cpu
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import reason
from dim_tf.system.locks import locked_folder

SIGNATURE = "serving_bytes_valid"
BATCH = 256
# Signature calls at a time: while one decodes, which uses few threads, another one encodes.
CALLS = min(max(cpu.count() // 2, 2), 8)
LOCAL_SHARD_BYTES = 2**27  # of the local maps in a file
LOCAL_BATCH_BYTES = 2**26  # of the local maps of a batch, in float32
_SHARDS_PER_MANIFEST = 64  # embeddings.json grows with the shards, so not every shard rewrites it


def embed(
    saved_model_path: Path,
    collection: ImageCollection,
    folder: Path,
    format_name: str,
    shard_size: int,
    feature: str = AUTO,
) -> dict[str, Any]:
    """Writes the embeddings of a collection, one file for each `shard_size` images.

    A file has a row for each image: `id`, string, and `embedding`, float32 [D], or the local map,
    float16 [H, W, D]. Images that cannot be decoded have no row; their ids are in
    refused-NNNNN.txt. A file appears whole or not at all. A second call continues after the last
    file, so that each id is written only once, and rewrites files that have changed since.

    Memory: for local maps, three files of `LOCAL_SHARD_BYTES` (a file takes fewer images than
        `shard_size` if these would exceed it) and `CALLS` + 2 batches of `LOCAL_BATCH_BYTES`, in
        addition to what the encoder needs for a batch.

    Args:
        saved_model_path: One version of an exported encoder.
        collection: The images.
        folder: Folder for the files.
        format_name: "parquet", or "tfrecord" (tf.train.Example).
        shard_size: Images per file; for local maps, the largest number.
        feature: "auto", the feature of the export; or "local", the local maps.

    Returns:
        The content of embeddings.json: images, refused, and where they came from.

    Raises:
        InputError: The encoder or feature does not exist, another process writes to the folder, or
            it holds embeddings of another encoder, collection, feature, format or size of file.
        RunError: A file of the collection cannot be read, or a file of embeddings cannot be
            written; or a number in a local map is too large for float16.
    """
    encoder = _load(saved_model_path, feature)
    if encoder.map_shape:
        numbers = math.prod(encoder.map_shape)
        shard_size = min(shard_size, max(LOCAL_SHARD_BYTES // (2 * numbers), 1))
    with locked_folder(folder, "--embed_output"):
        return _embed(saved_model_path, encoder, collection, folder, format_name, shard_size)


@dataclass(frozen=True)
class _Encoder:
    """Embeds batches.

    Attributes:
        embed_batch: image_bytes, string [N] -> the feature by its name, and which are valid.
        feature: Name of the feature.
        model: The loaded SavedModel; without a reference to it the function would lose its
            variables.
        map_shape: H, W and D of a local map; None if the feature is a vector.
    """

    embed_batch: Callable
    feature: str
    model: Any
    map_shape: tuple[int, int, int] | None = None

    @property
    def batch_size(self) -> int:
        if self.map_shape is None:
            return BATCH
        return min(BATCH, max(LOCAL_BATCH_BYTES // (4 * math.prod(self.map_shape)), 1))


def _load(path: Path, feature: str) -> _Encoder:
    if feature == LOCAL:
        local_maps = LocalMaps(path)
        return _Encoder(local_maps, LOCAL, local_maps.model, local_maps.shape)
    model = saved_model.load(str(path), SIGNATURE)
    signature = model.signatures[SIGNATURE]
    exported = saved_model.feature_in(signature.structured_outputs)
    if feature not in (AUTO, exported):
        raise InputError(
            f"feature {feature!r}: the encoder in {path} was exported to give {exported!r}; give "
            f"{AUTO!r} or {LOCAL!r}, or export it again with --feature={feature}"
        )
    return _Encoder(signature, exported, model)


def _embed(saved_model_path, encoder, collection, folder, format_name, shard_size):
    origin = {
        "collection": collection.description,
        "collection_fingerprint": collection.fingerprint,
        "saved_model": str(saved_model_path),
        "saved_model_fingerprint": encoder_fingerprint(str(saved_model_path)),
        "weights_fingerprint": saved_model.weights_fingerprint(encoder.model.variables),
        "feature": encoder.feature,
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
        return _embedded_shards(encoder, collection, shard * shard_size, shard_size)

    def write_shard(shard, rows):
        digests.update(
            embeddings.write_shard(path_of(shard), rows.ids, rows.embeddings, rows.valid)
        )
        if shard % _SHARDS_PER_MANIFEST == 0:
            embeddings.write_manifest(folder, incomplete)

    dimensions = 3 if encoder.map_shape else 1
    shards = embeddings.count_shards(folder, format_name, digests)
    if shards:
        are = "file is" if shards == 1 else "files are"
        say(f"embed: {shards:,} {are} there; going on after {'it' if shards == 1 else 'them'}")
    for shard in range(shards):
        if not embeddings.is_intact(path_of(shard), digests, shard_size, dimensions):
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
    """Images with their embeddings: ids, float32 [N, D] or float16 [N, H, W, D], bool [N]."""

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


def _embedded_shards(encoder, collection, first, shard_size) -> Iterator[_Rows]:
    """The rows of each shard, from image number `first` on; the last shard may have fewer."""
    pending = _Rows([], np.empty(0), np.empty(0))
    batches = _readable_batches(collection, first, min(encoder.batch_size, shard_size))
    for rows in _embedded_batches(encoder.embed_batch, batches):
        pending = pending.append(rows)
        if len(pending.ids) >= shard_size:
            full, pending = pending.split(shard_size)
            yield full
    if pending.ids:
        yield pending


def _embedded_batches(embed_batch, batches) -> Iterator[_Rows]:
    """The rows of each batch, in order; `CALLS` batches are embedded at a time."""

    def rows_of(ids, encoded):
        outputs = embed_batch(image_bytes=encoded)
        features = outputs[saved_model.feature_in(outputs)].numpy()
        valid = outputs[saved_model.VALID].numpy()
        if features.dtype == np.float16:
            _check_finite(ids, features, valid)
        return _Rows(ids, features, valid)

    workers = ThreadPoolExecutor(CALLS)
    running: deque = deque()
    try:
        for ids, encoded in batches:
            running.append(workers.submit(rows_of, ids, encoded))
            if len(running) > CALLS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        workers.shutdown(cancel_futures=True)


def _check_finite(ids, maps, valid):
    faulty = np.flatnonzero(valid & ~np.isfinite(maps).all(axis=(1, 2, 3)))
    if len(faulty):
        raise RunError(
            f"the local map of {ids[faulty[0]]!r} has a number beyond 65504, the largest of "
            "float16, or one that is no number; embed by an encoder whose features are smaller"
        )


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
    """A hash of one version of an exported encoder: its graph and the checksums of its weights."""
    digest = hashlib.sha256()
    for file in ("saved_model.pb", "variables/variables.index"):
        digest.update(tf.io.gfile.GFile(f"{saved_model_path}/{file}", "rb").read())
    return digest.hexdigest()

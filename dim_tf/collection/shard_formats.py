"""The two file formats of embeddings, one shard per file: Parquet and TFRecord.

An embedding is a vector, float32 [D], or a local map, float16 [H, W, D]. For a local map, Parquet
has its numbers row by row in the column `embedding` and their shape in the schema's metadata; a
tf.train.Example has the bytes of the numbers, little-endian, as `local`, and `shape`.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class ShardFormat:
    """How one file of embeddings is written and read.

    Attributes:
        write: Writes ids and embeddings, float32 [N, D] or float16 [N, H, W, D], to a path.
        read: Reads them.
        count: Counts them.
    """

    write: Callable[[Path, list[str], np.ndarray], None]
    read: Callable[[Path], tuple[list[str], np.ndarray]]
    count: Callable[[Path], int]


def _write_parquet(path, ids, embeddings):
    import pyarrow.parquet as pq

    pq.write_table(parquet_table(ids, embeddings), path)


def parquet_table(ids: list[str], embeddings: np.ndarray) -> Any:
    """A pyarrow.Table of ids and embeddings, with the columns of a Parquet file.

    Args:
        ids: N texts.
        embeddings: float32 [N, D]; for local maps float16 [N, H, W, D].
    """
    import pyarrow as pa

    embeddings = np.ascontiguousarray(embeddings)
    is_local = embeddings.ndim == 4
    # Not with `to_pandas_dtype`, which imports pandas.
    kind: type = np.float16 if is_local else np.float32
    metadata = {"shape": json.dumps(embeddings.shape[1:])} if is_local else None
    flat = pa.array(embeddings.astype(kind, copy=False).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, math.prod(embeddings.shape[1:]))
    return pa.table({"id": pa.array(ids, pa.string()), "embedding": column}, metadata=metadata)


def _read_parquet(path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = table["embedding"].combine_chunks()
    shape = [column.type.list_size]
    if b"shape" in (table.schema.metadata or {}):
        shape = json.loads(table.schema.metadata[b"shape"])
    return table["id"].to_pylist(), column.flatten().to_numpy().reshape(len(column), *shape)


def _count_parquet(path):
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).metadata.num_rows


def _write_tfrecord(path, ids, embeddings):
    serialize = serialized_map if np.ndim(embeddings) == 4 else serialized_example
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image_id, embedding in zip(ids, embeddings, strict=True):
            writer.write(serialize(image_id, embedding))


def serialized_map(image_id: str, local_map: np.ndarray) -> bytes:
    """A tf.train.Example with the features id, local: bytes of float16 [H, W, D], and shape."""
    example = tf.train.Example()
    example.features.feature["id"].bytes_list.value.append(image_id.encode())
    example.features.feature["local"].bytes_list.value.append(local_map.astype("<f2").tobytes())
    example.features.feature["shape"].int64_list.value.extend(local_map.shape)
    return example.SerializeToString()


def serialized_example(image_id: str, embedding: Iterable[float]) -> bytes:
    """A tf.train.Example with the features id, bytes, and embedding, floats [D]."""
    example = tf.train.Example()
    example.features.feature["id"].bytes_list.value.append(image_id.encode())
    example.features.feature["embedding"].float_list.value.extend(embedding)
    return example.SerializeToString()


def _read_tfrecord(path):
    ids, embeddings = [], []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        ids.append(features["id"].bytes_list.value[0].decode())
        if "local" in features:
            numbers = np.frombuffer(features["local"].bytes_list.value[0], "<f2")
            embeddings.append(numbers.reshape(features["shape"].int64_list.value))
        else:
            embeddings.append(np.array(features["embedding"].float_list.value, np.float32))
    if not ids and path.stat().st_size:
        raise ValueError("no record in a file that is not empty")
    return ids, np.array(embeddings, embeddings[0].dtype if embeddings else np.float32)


def _count_tfrecord(path):
    return sum(1 for _ in tf.data.TFRecordDataset(str(path)))


FORMATS = {
    "parquet": ShardFormat(_write_parquet, _read_parquet, _count_parquet),
    "tfrecord": ShardFormat(_write_tfrecord, _read_tfrecord, _count_tfrecord),
}

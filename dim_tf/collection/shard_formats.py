"""The two file formats of embeddings, one shard a file: Parquet and TFRecord."""

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
        write: writes ids and embeddings, float32 [N, D], to a path.
        read: reads them.
        count: counts them.
    """

    write: Callable[[Path, list[str], np.ndarray], None]
    read: Callable[[Path], tuple[list[str], np.ndarray]]
    count: Callable[[Path], int]


def _write_parquet(path, ids, embeddings):
    import pyarrow.parquet as pq

    pq.write_table(parquet_table(ids, embeddings), path)


def parquet_table(ids: list[str], embeddings: np.ndarray) -> Any:
    """A pyarrow.Table of ids and embeddings [N, D], with the columns that a Parquet file has."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(embeddings, np.float32).reshape(-1), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    return pa.table({"id": pa.array(ids, pa.string()), "embedding": column})


def _read_parquet(path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = table["embedding"].combine_chunks()
    size = column.type.list_size
    return table["id"].to_pylist(), column.flatten().to_numpy().reshape(len(column), size)


def _count_parquet(path):
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).metadata.num_rows


def _write_tfrecord(path, ids, embeddings):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image_id, embedding in zip(ids, embeddings, strict=True):
            writer.write(serialized_example(image_id, embedding))


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
        embeddings.append(np.array(features["embedding"].float_list.value, np.float32))
    return ids, np.array(embeddings, np.float32)


def _count_tfrecord(path):
    return sum(1 for _ in tf.data.TFRecordDataset(str(path)))


FORMATS = {
    "parquet": ShardFormat(_write_parquet, _read_parquet, _count_parquet),
    "tfrecord": ShardFormat(_write_tfrecord, _read_tfrecord, _count_tfrecord),
}

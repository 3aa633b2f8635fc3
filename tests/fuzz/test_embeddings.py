"""Any folder of embeddings: ids and finite rows, or an InputError."""

import json

import fuzzing
import numpy as np
import pytest
from hypothesis import strategies as st

from dim_tf.collection import embeddings, shard_formats
from dim_tf.system.errors import InputError, one_line

MANIFEST = {
    "collection": "10 image files in a",
    "collection_fingerprint": "12",
    "saved_model": "exported/a/1",
    "saved_model_fingerprint": "34",
    "weights_fingerprint": "56",
    "feature": "global",
    "format": "tfrecord",
    "shard_size": 4,
    "images": 2,
    "refused": 0,
    "complete": True,
}


def shard(folder, format):
    """The bytes of a good file of two rows."""
    path = folder / f"made.{format}"
    shard_formats.FORMATS[format].write(path, ["a", "b"], np.ones([2, 3], np.float32))
    return path.read_bytes()


def outcome(folder, format, manifest, content):
    (folder / embeddings.MANIFEST_FILE).write_bytes(manifest.encode("utf-8", "surrogatepass"))
    (folder / f"embeddings-00000.{format}").write_bytes(content)
    try:
        ids, rows = embeddings.read(folder)
        embeddings.check_same_origin(folder, MANIFEST | {"format": format})
        with pytest.raises(InputError, match="other weights"):
            embeddings.check_encoder(folder, [], "global")
    except InputError as error:
        return "refused" if fuzzing.is_one_line(one_line(error)) else f"badly told: {error!r}"
    assert rows.ndim == 2
    assert len(ids) == len(rows)
    assert np.isfinite(rows).all()
    return "accepted"


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
@fuzzing.sizes(2_500, few=20)
def test_any_folder_of_embeddings(cases, format, tmp_path):
    manifest = MANIFEST | {"format": format}
    good = shard(tmp_path, format)
    strategy = st.one_of(
        st.tuples(fuzzing.json_texts(manifest), st.just(good)),
        st.tuples(st.just(json.dumps(manifest)), fuzzing.mutated_bytes([good])),
    )
    fuzzing.run(
        f"embeddings, {format}", strategy, lambda case: outcome(tmp_path, format, *case), cases
    )

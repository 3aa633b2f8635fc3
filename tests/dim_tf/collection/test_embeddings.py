"""A folder of embeddings that another program wrote, or half of one, is refused."""

import numpy as np
import pytest

from dim_tf.collection import embeddings, shard_formats
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("[]", "cannot be read .*no object"),
        ('{"complete": true}', "has the format None"),
        ('{"complete": true, "format": ["parquet"]}', "has the format"),
        ('{"complete": true, "format": "../x"}', "has the format '../x'"),
        ('{"complete": true, "format": "tfrecord"}', "embeddings-0.tfrecord holds no embeddings"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, manifest, says):
    (tmp_path / embeddings.MANIFEST_FILE).write_text(manifest)
    (tmp_path / "embeddings-0.tfrecord").write_bytes(b"what else")
    with pytest.raises(InputError, match=says):
        embeddings.read(tmp_path)


@pytest.mark.parametrize("second", [[1.0, 2.0], [1.0], [np.nan]], ids=str)
def test_rows_that_do_not_fit_are_refused(tmp_path, second):
    (tmp_path / embeddings.MANIFEST_FILE).write_text('{"complete": true, "format": "tfrecord"}')
    for shard, rows in enumerate(([[1.0]], [second])):
        shard_formats.FORMATS["tfrecord"].write(
            tmp_path / f"embeddings-{shard}.tfrecord", ["a"], rows
        )
    if second == [1.0]:
        assert embeddings.read(tmp_path)[1].tolist() == [[1.0], [1.0]]
        return
    with pytest.raises(InputError, match="embed the images again"):
        embeddings.read(tmp_path)


def test_an_incomplete_manifest_is_refused(tmp_path):
    (tmp_path / embeddings.MANIFEST_FILE).write_text('{"format": "parquet"}')
    origin = dict.fromkeys(["collection", "feature", "saved_model", "shard_size"], 1)
    origin |= {"format": "parquet", "collection_fingerprint": 1, "saved_model_fingerprint": 1}
    with pytest.raises(InputError, match=r"something else .*shard_size: None -> 1"):
        embeddings.check_same_origin(tmp_path, origin)

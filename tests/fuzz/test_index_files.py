"""Any folder with an index: rows that can be searched for, or an InputError."""

import json

import fuzzing
import numpy as np
import pytest
from hypothesis import strategies as st

from dim_tf.collection import index_files
from dim_tf.collection.index import Index
from dim_tf.system.errors import InputError, one_line
from dim_tf.system.files import sha256_of
from dim_tf.system.json_files import json_with_checksum

ROWS, SIZE = 1000, 3
KINDS = {"float rows": {"exact_products": 0}, "bytes": {"exact_bytes": 0}}


def contents_of(folder, settings):
    """The manifest and the bytes of each file of a good index, by its name in the manifest."""
    features = np.random.default_rng(0).standard_normal((ROWS, SIZE)).astype(np.float32)
    Index.build(features, [str(row) for row in range(ROWS)], **settings).save(folder)
    manifest = json.loads((folder / index_files.MANIFEST).read_text())
    manifest.pop("sha256")
    files = {
        name: (folder / index_files._file_name(name, digest)).read_bytes()
        for name, digest in manifest["files"].items()
    }
    return manifest, files


def outcome(folder, good_digests, manifest, name, content):
    """Puts a content in a file's place, with its right checksum, and a manifest beside it."""
    path = folder / "changed"
    path.write_bytes(content)
    digest = sha256_of(path)
    path = path.rename(folder / index_files._file_name(name, digest))
    if isinstance(manifest, dict):
        manifest = json_with_checksum(manifest | {"files": manifest["files"] | {name: digest}})
    (folder / index_files.MANIFEST).write_bytes(manifest.encode("utf-8", "surrogatepass"))
    try:
        index = Index.load(folder)
    except InputError as error:
        return "refused" if fuzzing.is_one_line(one_line(error)) else f"badly told: {error!r}"
    finally:
        if digest not in good_digests:
            path.unlink()
    _, rows = index.search(np.eye(index.dimension, dtype=np.float32), min(5, len(index)))
    assert ((rows >= 0) & (rows < len(index))).all()
    for block in index.neighbours(2):
        assert ((block.neighbours >= 0) & (block.neighbours < len(index))).all()
        assert np.isfinite(block.similarities).all()
    return "accepted"


@pytest.mark.parametrize("kind", KINDS)
@fuzzing.sizes(2_500)
def test_any_folder_of_an_index(cases, kind, tmp_path):
    manifest, files = contents_of(tmp_path, KINDS[kind])
    arrays = st.sampled_from(sorted(files)).flatmap(
        lambda name: st.tuples(
            st.just(manifest), st.just(name), fuzzing.mutated_bytes([files[name]])
        )
    )
    manifests = st.tuples(
        fuzzing.json_texts(manifest), st.just("zero_rows"), st.just(files["zero_rows"])
    )
    strategy = st.one_of(arrays, manifests)
    good_digests = set(manifest["files"].values())
    fuzzing.run(
        f"index, {kind}", strategy, lambda case: outcome(tmp_path, good_digests, *case), cases
    )

"""An index in files: whole, damaged, replaced."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dim_tf.collection import index_files
from dim_tf.collection.index import Index
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import sha256_of
from dim_tf.system.json_files import json_with_checksum

KINDS = {
    "exact": {},
    "with float rows": {"exact_products": 0},
    "of bytes": {"exact_bytes": 0},
}
FEATURES = np.random.default_rng(0).standard_normal((1500, 5)).astype(np.float32)
IDS = [f"a b/{number}\n\U0001f600.jpg" for number in range(1500)]


def saved(folder, **settings):
    index = Index.build(FEATURES, IDS, origin="these", **settings)
    index.save(folder)
    return index


def change_manifest(folder, **changes):
    path = folder / index_files.MANIFEST
    content = json.loads(path.read_text()) | changes
    content.pop("sha256")
    path.write_text(json_with_checksum(content))


def replace_array(folder, name, array):
    """Puts another file in the place of an array's, and its checksum into the manifest."""
    path = folder / "new"
    with open(path, "wb") as file:
        if name == "ids":
            pq.write_table(pa.table({"id": array}), file)
        else:
            np.save(file, array)
    files = json.loads((folder / index_files.MANIFEST).read_text())["files"]
    files[name] = sha256_of(path)
    path.rename(folder / index_files._file_name(name, files[name]))
    change_manifest(folder, files=files)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_saved_index_is_read_as_it_was(tmp_path, kind):
    index = saved(tmp_path / "index", **kind)
    read = Index.load(tmp_path / "index")
    assert list(read.ids) == IDS
    assert read.description == index.description
    assert (read.recall, read.origin, read.seed) == (index.recall, "these", 0)
    assert read.has_float_rows == index.has_float_rows
    for one, other in zip(read.search(FEATURES, 9), index.search(FEATURES, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    blocks = zip(read.neighbours(4), index.neighbours(4), strict=True)
    assert all((one.neighbours == other.neighbours).all() for one, other in blocks)


def test_the_zero_rows_are_kept(tmp_path):
    features = FEATURES.copy()
    features[[3, 9]] = 0
    Index.build(features, IDS).save(tmp_path)
    assert Index.load(tmp_path).zero_rows.tolist() == [3, 9]


def test_an_index_of_other_features_is_refused(tmp_path):
    saved(tmp_path)
    assert len(Index.load(tmp_path, origin="these")) == 1500
    with pytest.raises(InputError, match="is of other features; build it again"):
        Index.load(tmp_path, origin="those")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_damaged_file_is_noticed(tmp_path, kind):
    saved(tmp_path, **kind)
    paths = sorted(tmp_path.iterdir())
    assert (
        len(paths)
        == {"exact": 4, "with float rows": 8, "of bytes": 7}[
            next(name for name, value in KINDS.items() if value == kind)
        ]
    )
    for path in paths:
        content = path.read_bytes()
        middle = len(content) // 2
        for damaged in (
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            content[:-2],
            b"",
            None,
        ):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(InputError, match="; build the index again"):
                Index.load(tmp_path)
            path.write_bytes(content)
        assert len(Index.load(tmp_path)) == 1500


def test_a_folder_without_an_index(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=r"holds no index: it has no index\.json"):
            Index.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1499},
        {"rows": "1500"},
        {"metric": "l2"},
        {"recall": 2.0},
        {"probes": 0},
        {"probes": 10**6},
        {"seed": None},
        {"files": {}},
        {"files": {"../../x": "0" * 64}},
        {"files": {"ids": "0" * 64}},
        {"files": []},
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, changes):
    saved(tmp_path, exact_bytes=0)
    change_manifest(tmp_path, **changes)
    with pytest.raises(InputError, match="; build the index again"):
        Index.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("units", np.ones((1500, 5))),
        ("units", np.eye(1500, 5, dtype=np.float32)[:1499]),
        ("units", np.eye(1500, 4, dtype=np.float32)),
        ("units", 2 * np.eye(1500, 5, dtype=np.float32)),
        ("units", np.full((1500, 5), np.nan, np.float32)),
        ("units", np.array([{}], object)),
        ("zero_rows", np.ones(3)),
        ("lists", np.full(1500, 10**6, np.int32)),
        ("lists", np.full(1500, -1, np.int32)),
        ("lists", np.zeros(1499, np.int32)),
        ("codes", np.zeros((1500, 4), np.uint8)),
        ("codes", np.zeros((1500, 5), np.int64)),
        ("centroids", np.full((38, 5), np.nan, np.float32)),
        ("ranges", np.zeros(9, np.float32)),
        ("ranges", np.full(10, np.inf, np.float32)),
        ("other", np.zeros(9, np.float32)),
        ("ids", pa.array(range(1500))),
        ("ids", pa.array(["a"])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, name, array):
    saved(tmp_path, exact_products=0)
    replace_array(tmp_path, name, array)
    with pytest.raises(InputError, match=r"holds no index \(.*; build the index again"):
        Index.load(tmp_path)


def test_a_second_index_replaces_the_first_and_its_files(tmp_path):
    (tmp_path / "notes.npy").write_bytes(b"the user's")
    saved(tmp_path, exact_products=0)
    saved(tmp_path, exact_products=0)  # the same files
    assert len(Index.load(tmp_path)) == 1500
    Index.build(FEATURES[:20], IDS[:20]).save(tmp_path)
    assert len(Index.load(tmp_path)) == 20
    stems = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert stems == ["ids", "index.json", "notes.npy", "units", "zero_rows"]


def test_a_loaded_index_may_be_saved_where_it_is(tmp_path):
    saved(tmp_path)
    Index.load(tmp_path).save(tmp_path)
    assert len(Index.load(tmp_path)) == 1500


@pytest.mark.parametrize("writes", range(4))
def test_an_interrupted_write_leaves_the_earlier_index(tmp_path, monkeypatch, writes):
    saved(tmp_path)
    replace, calls = os.replace, []

    def fail(*paths):
        calls.append(paths)
        if len(calls) > writes:
            raise OSError(28, "No space left on device")
        replace(*paths)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match="could not be written: No space left on device"):
        Index.build(FEATURES[:20], IDS[:20]).save(tmp_path)
    assert not list(tmp_path.glob(".*"))
    assert len(Index.load(tmp_path, origin="these")) == 1500
    monkeypatch.undo()
    Index.build(FEATURES[:20], IDS[:20]).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4

"""Embeddings of a collection that changed, files that were damaged, an index that is none."""

import functools
import json
import os

import numpy as np
import pytest
import small_export
import tensorflow as tf
from PIL import Image

from dim_tf.collection import embed, embeddings, image_collection
from dim_tf.export import encoded_input, saved_model
from dim_tf.system.errors import InputError

COUNT = 8


@pytest.fixture(scope="module")
def exported(small_model):
    """An export, which is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "load", functools.cache(saved_model.load))
        yield small_model


@pytest.fixture
def folder(tmp_path):
    for number in range(COUNT):
        path = tmp_path / "images" / f"{number}.bmp"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(path)
    (tmp_path / "images/7.bmp").write_bytes(b"BM, and no image")
    return tmp_path / "images"


def run(exported, where, out, format="parquet"):
    images = image_collection.open_collection(str(where))
    return embed.embed(exported[0], images, out, format, 4)


def written(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*-0000*"))}


def later(path, content):
    """Replaces a file by one of the same size, changed a second later."""
    assert len(content) == path.stat().st_size
    time = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def test_an_image_that_was_replaced_by_one_of_the_same_size_is_seen(exported, folder, tmp_path):
    out = tmp_path / "out"
    run(exported, folder, out)
    (out / "embeddings-00001.parquet").unlink()
    other = tmp_path / "other.bmp"
    Image.new("RGB", (32, 32), (9, 255, 9)).save(other)
    later(folder / "0.bmp", other.read_bytes())
    with pytest.raises(InputError, match="collection: the content of"):
        run(exported, folder, out)


def test_a_tfrecord_file_that_was_replaced_by_one_of_the_same_size_is_seen(exported, tmp_path):
    def records(name, shade):
        pixels = np.full((1, 8, 8, 3), shade, np.float32)
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            example = tf.train.Example()
            [png] = encoded_input.png_images(pixels)
            example.features.feature["image"].bytes_list.value.append(png)
            writer.write(example.SerializeToString())
        return tmp_path / name

    path, out = records("a.tfrecord", 0.2), tmp_path / "out"
    run(exported, path, out)
    content = records("other", 0.4).read_bytes()
    later(path, content)
    with pytest.raises(InputError, match="collection: the content of"):
        run(exported, path, out)


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_a_file_that_is_not_as_it_was_written_is_rebuilt(
    exported, folder, tmp_path, format, capsys
):
    """Cut off, a bit flipped, empty, away; also the list of what was refused.

    A checksum tells each, so no file is damaged in every way.
    """
    out = tmp_path / "out"
    run(exported, folder, out, format)
    whole = written(out)
    assert list(whole) == [
        f"embeddings-00000.{format}", f"embeddings-00001.{format}", "refused-00001.txt"
    ]  # fmt: skip
    for name, content in whole.items():
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        damages = {
            f"embeddings-00000.{format}": (content[:-10], bytes(flipped)),
            f"embeddings-00001.{format}": (b"", None),
            "refused-00001.txt": (bytes(flipped), None),
        }
        for damaged in damages[name]:
            if damaged is None:
                (out / name).unlink()
            else:
                (out / name).write_bytes(damaged)
            with pytest.raises(InputError, match=rf"{name} is missing or not as it was written"):
                embeddings.read(out)
            run(exported, folder, out, format)
            shard = f"embeddings-{name.split('-')[1][:5]}.{format}"
            assert f"{shard} is not as it was written; making it again" in capsys.readouterr().out
            assert written(out).keys() == whole.keys()
            ids, _ = embeddings.read(out)
            assert ids == [f"{number}.bmp" for number in range(COUNT - 1)]
    run(exported, folder, out, format)
    assert "again" not in capsys.readouterr().out


def test_files_of_a_version_that_recorded_none_are_read_to_know_whether_they_are_whole(
    exported, folder, tmp_path, capsys
):
    out = tmp_path / "out"
    run(exported, folder, out)
    manifest = json.loads((out / embeddings.MANIFEST_FILE).read_text())
    without = {key: value for key, value in manifest.items() if key not in ("files", "sha256")}
    (out / embeddings.MANIFEST_FILE).write_text(json.dumps(without))
    first, second = out / "embeddings-00000.parquet", out / "embeddings-00001.parquet"
    second.write_bytes(second.read_bytes()[:-10])
    before = first.stat().st_mtime_ns
    capsys.readouterr()
    run(exported, folder, out)
    assert first.stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("making it again") == 1
    assert len(embeddings.read(out)[0]) == COUNT - 1


def test_a_record_of_other_files_is_refused(tmp_path):
    for files in ({"../../etc/passwd": "0"}, {"embeddings-00000.parquet": 1}, ["a"]):
        manifest = {"complete": True, "format": "parquet", "files": files}
        (tmp_path / embeddings.MANIFEST_FILE).write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="records files of other names"):
            embeddings.read(tmp_path)


def index(folder, ids, rows, kind=None):
    """A folder of embeddings that another program wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    (folder / embeddings.MANIFEST_FILE).write_text('{"complete": true, "format": "parquet"}')
    flat = pa.array(np.ravel(rows), kind or pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, len(rows[0]))
    table = pa.table({"id": pa.array(ids), "embedding": column})
    pq.write_table(table, folder / "embeddings-00000.parquet")
    return folder


def test_an_index_of_wrong_ids_or_numbers_is_an_error(tmp_path):
    import pyarrow as pa

    ones = np.ones([2, 3])
    for ids in ([1, 2], ["a", None], [None, None], [b"a", b"b"], [1.5, 2.5]):
        with pytest.raises(InputError, match="an id is no text"):
            embeddings.read(index(tmp_path, ids, ones))
    for number in (1e300, np.inf, np.nan):
        rows = [[1.0, 2.0, 3.0], [number, 1.0, 1.0]]
        with pytest.raises(InputError, match="finite as float32"):
            embeddings.read(index(tmp_path, ["a", "b"], rows, pa.float64()))
    _, wide = embeddings.read(index(tmp_path, ["a", "b"], ones, pa.float64()))
    assert wide.dtype == np.float32


def test_neighbours_are_of_rows_that_have_a_direction_and_a_name():
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match=r"the embedding of 'b' is zero, as are 1 of 3"):
        saved_model.NeighboursIndex(("a", "b", "c"), rows * [[1], [0], [1]], 2)
    with pytest.raises(InputError, match="'b' is the id of several"):
        saved_model.NeighboursIndex(("a", "b", "b"), rows, 2)


def test_neighbours_of_the_largest_numbers_are_found(small_model):
    """Their squares are no float32: all cosines would be 0."""
    _, encoder = small_model
    images = small_export.images(4)
    rows = saved_model.keras_features(encoder, images).astype(np.float64)
    rows = (rows / np.abs(rows).max() * 3e38).astype(np.float32)
    ids = tuple("abcd")
    options = saved_model.SavedModelOptions(
        {}, neighbours=saved_model.NeighboursIndex(ids, rows, 1)
    )
    root = saved_model.root_object(encoder)
    signatures = saved_model.signatures(root, options.frame(encoder), options)
    neighbours = signatures["neighbours"](tf.constant(images))
    assert neighbours["id"].numpy()[:, 0].tolist() == [b"a", b"b", b"c", b"d"]
    np.testing.assert_allclose(neighbours["similarity"].numpy(), 1, atol=1e-5)

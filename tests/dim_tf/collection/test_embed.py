"""Every image of a collection is embedded once, however often the work is stopped."""

import dataclasses
import functools
import json
import os
import shutil
import threading

import numpy as np
import pytest
import small_export
import tensorflow as tf
from PIL import Image
from small_export import close

from dim_tf.collection import embed, embeddings, image_collection, shard_formats
from dim_tf.export import encoded_input, saved_model
from dim_tf.system.errors import InputError, RunError

COUNT = 23
BROKEN = (4, 11)


@pytest.fixture(scope="module")
def exported(small_model):
    """An export, which is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "load", functools.cache(saved_model.load))
        yield small_model


def encoded():
    files = encoded_input.png_images(small_export.images(COUNT))
    for index in BROKEN:
        files[index] = files[index][:50]
    return files


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for number, one in enumerate(encoded()):
        path = root / f"class {number % 2}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one)
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def records(tmp_path):
    for name, part in (("a", slice(0, 10)), ("b", slice(10, COUNT))):
        with tf.io.TFRecordWriter(str(tmp_path / f"{name}.tfrecord")) as writer:
            for one in encoded()[part]:
                example = tf.train.Example()
                example.features.feature["image/encoded"].bytes_list.value.append(one)
                writer.write(example.SerializeToString())
    return str(tmp_path / "*.tfrecord")


def move_a_weight(path):
    """Changes one of the variables of a SavedModel; its graph stays."""
    prefix = str(path / "variables/variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    values = [tf.constant(reader.get_tensor(name)) for name in names]
    index = next(n for n, x in enumerate(values) if x.dtype == tf.float32)
    values[index] = values[index] + 1
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


def other_encoder():
    """The same but for one of its variables."""
    other = small_export.small_encoder()
    other.non_trainable_variables[0].assign(other.non_trainable_variables[0] + 1)
    return other


def wanted(encoder):
    return saved_model.keras_features(encoder, small_export.images(COUNT))


def check(out, ids_by_number, encoder, shard=5):
    """All but the broken images once, with the encoder's features."""
    ids, rows = embeddings.read(out)
    kept = [n for n in ids_by_number if n not in BROKEN]
    assert ids == [ids_by_number[n] for n in kept]
    close(rows, wanted(encoder)[kept])
    refused = [
        line for path in sorted(out.glob("refused-*")) for line in path.read_text().splitlines()
    ]
    assert refused == [ids_by_number[n] for n in ids_by_number if n in BROKEN]
    manifest = json.loads((out / "embeddings.json").read_text())
    assert manifest["complete"]
    assert (manifest["images"], manifest["refused"]) == (COUNT, len(BROKEN))
    assert len(list(out.glob("embeddings-0*"))) == -(-COUNT // shard)


def folder_ids():
    ids = {n: f"class {n % 2}/{n:03d}.png" for n in range(COUNT)}
    return dict(sorted(ids.items(), key=lambda item: item[1]))


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_a_folder(exported, folder, tmp_path, format):
    path, encoder = exported
    images = image_collection.open_collection(str(folder))
    embed.embed(path, images, tmp_path / "out", format, 5)
    check(tmp_path / "out", folder_ids(), encoder)


def test_files_of_other_formats_and_with_wrong_names(exported, tmp_path):
    """As training takes them: all that Pillow reads without a loss, by their content."""
    path, encoder = exported
    pixels = np.asarray(tf.io.decode_png(encoded()[0]))
    folder = tmp_path / "images"
    folder.mkdir()
    for name, kind in (("0.webp", "WEBP"), ("1.bmp", "BMP"), ("2.tif", "TIFF"), ("3.jpg", "WEBP")):
        Image.fromarray(pixels).save(folder / name, kind, lossless=True)
    (folder / "4.webp").write_bytes((folder / "0.webp").read_bytes()[:100])
    (folder / "5.gif").write_bytes(b"")
    images = image_collection.open_collection(str(folder))
    embed.embed(path, images, tmp_path / "out", "parquet", 5)
    ids, rows = embeddings.read(tmp_path / "out")
    assert ids == ["0.webp", "1.bmp", "2.tif", "3.jpg"]
    close(rows, wanted(encoder)[[0, 0, 0, 0]])
    refused = sorted((tmp_path / "out").glob("refused-*"))
    assert "".join(file.read_text() for file in refused).split() == ["4.webp", "5.gif"]


def test_tfrecords(exported, records, tmp_path):
    path, encoder = exported
    embed.embed(path, image_collection.open_collection(records), tmp_path / "out", "parquet", 5)
    ids = {n: f"a.tfrecord:{n}" if n < 10 else f"b.tfrecord:{n - 10}" for n in range(COUNT)}
    check(tmp_path / "out", ids, encoder)


@pytest.mark.parametrize("batch", [1, 3])  # the other tests: more than a file's 5
def test_files_do_not_depend_on_the_batch(exported, folder, tmp_path, monkeypatch, batch):
    path, encoder = exported
    monkeypatch.setattr(embed, "BATCH", batch)
    images = image_collection.open_collection(str(folder))
    embed.embed(path, images, tmp_path / "out", "parquet", 5)
    check(tmp_path / "out", folder_ids(), encoder)


@pytest.mark.parametrize("source", ["folder", "records"])
def test_stopped_twice_it_goes_on(exported, tmp_path, monkeypatch, request, source):
    path, _ = exported
    where = str(request.getfixturevalue(source))
    parquet, written = shard_formats.FORMATS["parquet"], []

    def stopped(path, ids, rows):
        if len(written) in (1, 4):
            written.append(None)
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        written.append(ids)
        parquet.write(path, ids, rows)

    stopping = dataclasses.replace(parquet, write=stopped)
    monkeypatch.setitem(shard_formats.FORMATS, "parquet", stopping)
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            embed.embed(path, image_collection.open_collection(where), out, "parquet", 5)
        with pytest.raises(InputError, match="no complete embeddings"):
            embeddings.read(out)
    embed.embed(path, image_collection.open_collection(where), out, "parquet", 5)
    assert len(written) == 2 + 5  # no file was written twice
    ids, _ = embeddings.read(out)
    assert len(ids) == len(set(ids)) == COUNT - len(BROKEN)
    # Done already: nothing more is written.
    embed.embed(path, image_collection.open_collection(where), out, "parquet", 5)
    assert len(written) == 7


def test_another_collection_encoder_or_format_is_refused(exported, folder, tmp_path):
    path, _ = exported
    out = tmp_path / "out"
    embed.embed(path, image_collection.open_collection(str(folder)), out, "parquet", 5)
    for format, size in (("tfrecord", 5), ("parquet", 6)):
        images = image_collection.open_collection(str(folder))
        with pytest.raises(InputError, match="something else"):
            embed.embed(path, images, out, format, size)
    move_a_weight(shutil.copytree(path, tmp_path / "2"))
    images = image_collection.open_collection(str(folder))
    with pytest.raises(InputError, match="saved_model: the content of"):
        embed.embed(tmp_path / "2", images, out, "parquet", 5)
    first = folder / "class 0/000.png"
    first.write_bytes(first.read_bytes() + b"more")
    with pytest.raises(InputError, match="collection: the content of"):
        embed.embed(path, image_collection.open_collection(str(folder)), out, "parquet", 5)


def test_embeddings_know_the_weights_that_they_are_of(exported, folder, tmp_path):
    """Those of another encoder have the same size, and would be neighbours of nothing."""
    path, encoder = exported
    out = tmp_path / "out"
    embed.embed(path, image_collection.open_collection(str(folder)), out, "parquet", 5)
    embeddings.check_encoder(out, encoder.variables, "global")
    with pytest.raises(InputError, match="an encoder of other weights"):
        embeddings.check_encoder(out, other_encoder().variables, "global")
    with pytest.raises(InputError, match=r"are the feature 'global', .* to give 'conv'; embed"):
        embeddings.check_encoder(out, encoder.variables, "conv")


def test_a_record_that_is_cut_off_is_named_and_work_goes_on(exported, records, tmp_path):
    path, _ = exported
    second = tmp_path / "b.tfrecord"
    whole = second.read_bytes()
    times = second.stat().st_mtime_ns, second.stat().st_mtime_ns
    damaged = bytearray(whole)
    damaged[-20] ^= 255  # of the same size and time, so of the same fingerprint
    second.write_bytes(bytes(damaged))
    os.utime(second, ns=times)
    out = tmp_path / "out"
    with pytest.raises(RunError, match=r"TFRecord files .* mend what cannot be read"):
        embed.embed(path, image_collection.open_collection(records), out, "parquet", 5)
    second.write_bytes(whole)
    os.utime(second, ns=times)
    embed.embed(path, image_collection.open_collection(records), out, "parquet", 5)
    assert len(embeddings.read(out)[0]) == COUNT - len(BROKEN)


def test_another_path_to_the_same_goes_on(exported, folder, tmp_path, monkeypatch):
    path, _ = exported
    out = tmp_path / "out"
    embed.embed(path, image_collection.open_collection(str(folder)), out, "parquet", 5)
    monkeypatch.chdir(folder.parent)
    embed.embed(path, image_collection.open_collection(folder.name), out, "parquet", 5)


def test_batches_overlap_and_keep_their_order():
    second_is_called = threading.Event()

    def signature(image_bytes):
        number = int(image_bytes.numpy()[0])
        if number == 1:
            second_is_called.set()
        assert second_is_called.wait(20)
        return {"global": tf.constant([[float(number)]]), "valid": tf.constant([number != 2])}

    batches = (([f"{n}"], tf.constant([str(n)])) for n in range(5))
    rows = list(embed._embedded_batches(signature, batches))
    assert [row.ids for row in rows] == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert [float(row.embeddings[0, 0]) for row in rows] == [0, 1, 2, 3, 4]
    assert [bool(row.valid[0]) for row in rows] == [True, True, False, True, True]


def test_features_equal_the_signatures(exported, folder, tmp_path):
    """To 1e-5 of the largest, whatever the batches."""
    path, _ = exported
    embed.embed(path, image_collection.open_collection(str(folder)), tmp_path / "out", "parquet", 7)
    ids, rows = embeddings.read(tmp_path / "out")
    signature = saved_model.load(str(path), embed.SIGNATURE).signatures[embed.SIGNATURE]
    files = [(folder / image_id).read_bytes() for image_id in ids]
    wanted = signature(image_bytes=tf.constant(files))["global"].numpy()
    assert np.abs(rows - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_wrong_encoders(folder, tmp_path):
    images = image_collection.open_collection(str(folder))
    with pytest.raises(InputError, match="cannot be loaded"):
        embed.embed(tmp_path / "none", images, tmp_path / "out", "parquet", 5)
    module = tf.Module()
    module.f = tf.function(lambda: 1.0, input_signature=[])
    tf.saved_model.save(module, str(tmp_path / "other"))
    with pytest.raises(InputError, match="and not serving_bytes_valid"):
        embed.embed(tmp_path / "other", images, tmp_path / "out", "parquet", 5)


def test_all_refused(exported, tmp_path):
    path, _ = exported
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"no")
    images = image_collection.open_collection(str(tmp_path / "images"))
    summary = embed.embed(path, images, tmp_path / "out", "parquet", 2)
    assert (summary["images"], summary["refused"]) == (3, 3)
    with pytest.raises(InputError, match="every image was refused"):
        embeddings.read(tmp_path / "out")
    assert np.size(list((tmp_path / "out").glob("*.parquet"))) == 2

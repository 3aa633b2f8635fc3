"""Every image of a collection is embedded once, however often the work is stopped."""

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_export
import tensorflow as tf
from PIL import Image
from small_export import close

from dim_tf.data import encoded_images, manifest
from dim_tf.data.image_faults import Fault
from dim_tf.export import embed, image_collection, saved_model
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
    found = saved_model.png_images(small_export.images(COUNT))
    for place in BROKEN:
        found[place] = found[place][:50]
    return found


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "images"
    for number, one in enumerate(encoded()):
        path = made / f"class {number % 2}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one)
    (made / "notes.txt").write_text("no image")
    return made


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
    place = next(n for n, x in enumerate(values) if x.dtype == tf.float32)
    values[place] = values[place] + 1
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


def other_encoder():
    """The same but for one of its variables."""
    other = small_export.small_encoder()
    other.non_trainable_variables[0].assign(other.non_trainable_variables[0] + 1)
    return other


def wanted(encoder):
    return saved_model.expected(encoder, small_export.images(COUNT))


def check(out, ids_by_number, encoder, shard=5):
    """All but the broken images once, with the encoder's features."""
    found, rows = embed.read(out)
    kept = [n for n in ids_by_number if n not in BROKEN]
    assert found == [ids_by_number[n] for n in kept]
    close(rows, wanted(encoder)[kept])
    refused = [
        line for path in sorted(out.glob("refused-*")) for line in path.read_text().splitlines()
    ]
    assert refused == [ids_by_number[n] for n in ids_by_number if n in BROKEN]
    told = json.loads((out / "embeddings.json").read_text())
    assert told["complete"]
    assert (told["images"], told["refused"]) == (COUNT, len(BROKEN))
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
    found, rows = embed.read(tmp_path / "out")
    assert found == ["0.webp", "1.bmp", "2.tif", "3.jpg"]
    close(rows, wanted(encoder)[[0, 0, 0, 0]])
    refused = sorted((tmp_path / "out").glob("refused-*"))
    assert "".join(file.read_text() for file in refused).split() == ["4.webp", "5.gif"]


def test_the_files_are_those_that_training_takes(tmp_path):
    folder = tmp_path / "images"
    for name in ("a.png", "IMG_0001", ".hidden.png", "run/x.png", "below/b.png", ".tmp/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(folder / name, "PNG")
    (folder / "run/experiment.json").touch()
    (folder / "notes").write_text("no image")
    (folder / "broken.jpg").write_text("no image")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere/linked.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "nowhere.png").symlink_to(tmp_path / "nothing")
    found = manifest.scan(folder, tmp_path / "cache")
    training = [
        name for name, fault in zip(found.names, found.faults, strict=True) if fault != Fault.OTHER
    ]
    ids, encoded = next(image_collection.open_collection(str(folder)).batches_from(0, 99))
    assert ids == training
    assert ids == [
        "IMG_0001", "a.png", "below/b.png", "broken.jpg", "link/linked.png", "nowhere.png"
    ]  # fmt: skip
    assert [bool(one) for one in encoded.numpy()] == [True, True, True, False, True, False]


def test_tfrecords(exported, records, tmp_path):
    path, encoder = exported
    embed.embed(path, image_collection.open_collection(records), tmp_path / "out", "parquet", 5)
    ids = {n: f"a.tfrecord:{n}" if n < 10 else f"b.tfrecord:{n - 10}" for n in range(COUNT)}
    check(tmp_path / "out", ids, encoder)


def test_files_of_one_name_in_two_folders_have_ids_of_their_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / folder / "all.tfrecord")) as writer:
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(b"")
            writer.write(example.SerializeToString())
    images = image_collection.open_collection(str(tmp_path / "*/all.tfrecord"))
    ids, _ = next(images.batches_from(0, 5))
    assert ids == ["a/all.tfrecord:0", "b/all.tfrecord:0"]


@pytest.mark.slow
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set")
def test_splits_of_tfds():
    """Ids count on in each split, from wherever the reading begins."""
    tfds_dir = os.environ["TFDS_DATA_DIR"]
    images = image_collection.open_collection("tfds:cifar10:train+test", tfds_dir)
    assert "60,000 images" in images.description
    for first, ids in (
        (0, ["train:0", "train:1", "train:2"]),
        (49_998, ["train:49998", "train:49999", "test:0"]),
        (59_999, ["test:9999"]),
    ):
        found, encoded = next(images.batches_from(first, 3))
        assert found == ids
        assert all(one[:2] == b"\xff\xd8" for one in encoded.numpy())
    assert next(images.batches_from(60_000, 3), None) is None
    with pytest.raises(InputError, match="no split 'none'; it has"):
        image_collection.open_collection("tfds:cifar10:none", tfds_dir)


@pytest.mark.parametrize("batch", [1, 3, 5, 7, 256])
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
    write, written = embed._write_parquet, []

    def stopped(path, ids, rows):
        if len(written) in (1, 4):
            written.append(None)
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        written.append(ids)
        write(path, ids, rows)

    monkeypatch.setattr(embed, "_write_parquet", stopped)
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            embed.embed(path, image_collection.open_collection(where), out, "parquet", 5)
        with pytest.raises(InputError, match="no complete embeddings"):
            embed.read(out)
    embed.embed(path, image_collection.open_collection(where), out, "parquet", 5)
    assert len(written) == 2 + 5  # no file was written twice
    ids, _ = embed.read(out)
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
    embed.check_encoder(out, encoder.variables)
    with pytest.raises(InputError, match="an encoder of other weights"):
        embed.check_encoder(out, other_encoder().variables)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("", "needs --embed_input"),
        ("no/such", "matches no file"),
        ("tfds:cifar10", "expected tfds:NAME:SPLIT"),
    ],
)
def test_wrong_collections(where, says):
    with pytest.raises(InputError, match=says):
        image_collection.open_collection(where)


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
    assert len(embed.read(out)[0]) == COUNT - len(BROKEN)


def test_another_path_to_the_same_goes_on(exported, folder, tmp_path, monkeypatch):
    path, _ = exported
    out = tmp_path / "out"
    embed.embed(path, image_collection.open_collection(str(folder)), out, "parquet", 5)
    monkeypatch.chdir(folder.parent)
    embed.embed(path, image_collection.open_collection(folder.name), out, "parquet", 5)


def test_records_without_images(tmp_path):
    """They would else all be refused, one by one, as images that cannot be decoded."""
    path = str(tmp_path / "a.tfrecord")
    example = tf.train.Example()
    example.features.feature["picture"].bytes_list.value.append(b"")
    for record, says in (
        (example.SerializeToString(), "has the features picture; one of image, image/encoded"),
        (b"text", "is no file of tf.train.Example"),
    ):
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(record)
        with pytest.raises(InputError, match=says):
            image_collection.open_collection(path)
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(InputError, match="TFRecord without compression"):
        image_collection.open_collection(path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="holds no image: no file ending in"):
        image_collection.open_collection(str(tmp_path))


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
    told = embed.embed(path, images, tmp_path / "out", "parquet", 2)
    assert (told["images"], told["refused"]) == (3, 3)
    with pytest.raises(InputError, match="every image was refused"):
        embed.read(tmp_path / "out")
    assert np.size(list((tmp_path / "out").glob("*.parquet"))) == 2


def test_names_that_are_no_text_are_ids_too(tmp_path):
    """A file system's names are bytes; ids are text, and a line each."""
    made = tmp_path / "images"
    made.mkdir()
    for name in (b"\xff.png", b"a\nb.png"):
        Path(os.fsdecode(os.fsencode(made) + b"/" + name)).write_bytes(encoded()[0])
    collection = image_collection.open_collection(str(made))
    [(ids, images)] = list(collection.batches_from(0, 9))
    assert sorted(ids) == ["\\xff.png", "a\nb.png"]
    assert images.numpy().tolist() == [encoded()[0]] * 2


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded_images, "MAX_BYTES", 10)
    (tmp_path / "a.png").write_bytes(b"\xff\xd8\xff" + b"x" * 7)
    (tmp_path / "b.png").write_bytes(b"x" * 11)
    collection = image_collection.open_collection(str(tmp_path))
    [(ids, images)] = list(collection.batches_from(0, 9))
    assert (ids, images.numpy().tolist()) == (["a.png", "b.png"], [b"\xff\xd8\xff" + b"x" * 7, b""])


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
def test_a_folder_that_holds_something_else_is_told(tmp_path, manifest, says):
    (tmp_path / embed.MANIFEST_FILE).write_text(manifest)
    (tmp_path / "embeddings-0.tfrecord").write_bytes(b"what else")
    with pytest.raises(InputError, match=says):
        embed.read(tmp_path)


@pytest.mark.parametrize("second", [[1.0, 2.0], [1.0], [np.nan]], ids=str)
def test_rows_that_do_not_fit_are_told(tmp_path, second):
    (tmp_path / embed.MANIFEST_FILE).write_text('{"complete": true, "format": "tfrecord"}')
    for shard, rows in enumerate(([[1.0]], [second])):
        embed.writer("tfrecord")(tmp_path / f"embeddings-{shard}.tfrecord", ["a"], rows)
    if second == [1.0]:
        assert embed.read(tmp_path)[1].tolist() == [[1.0], [1.0]]
        return
    with pytest.raises(InputError, match="embed the images again"):
        embed.read(tmp_path)


def test_a_manifest_that_tells_half_is_of_something_else(tmp_path):
    (tmp_path / embed.MANIFEST_FILE).write_text('{"format": "parquet"}')
    told = dict.fromkeys(["collection", "saved_model", "shard_size"], 1)
    told |= {"format": "parquet", "collection_fingerprint": 1, "saved_model_fingerprint": 1}
    with pytest.raises(InputError, match=r"something else .*shard_size: None -> 1"):
        embed.check_same(tmp_path / embed.MANIFEST_FILE, told)

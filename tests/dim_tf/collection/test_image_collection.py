"""Which images a collection has, in which order and under which ids."""

import os
from pathlib import Path

import pytest
import small_export
import tensorflow as tf
from PIL import Image

from dim_tf.collection import image_collection
from dim_tf.data import encoded_images
from dim_tf.data.folder import scan
from dim_tf.data.image_faults import Fault
from dim_tf.export import encoded_input
from dim_tf.system.errors import InputError

[PNG] = encoded_input.png_images(small_export.images(1))


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
    scanned = scan.scan_folder(folder, tmp_path / "cache")
    training = [
        name
        for name, fault in zip(scanned.names, scanned.faults, strict=True)
        if fault != Fault.OTHER
    ]
    ids, encoded = next(image_collection.open_collection(str(folder)).batches_from(0, 99))
    assert ids == training
    assert ids == [
        "IMG_0001", "a.png", "below/b.png", "broken.jpg", "link/linked.png", "nowhere.png"
    ]  # fmt: skip
    assert [bool(one) for one in encoded.numpy()] == [True, True, True, False, True, False]


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
        actual_ids, encoded = next(images.batches_from(first, 3))
        assert actual_ids == ids
        assert all(one[:2] == b"\xff\xd8" for one in encoded.numpy())
    assert next(images.batches_from(60_000, 3), None) is None
    with pytest.raises(InputError, match="no split 'none'; it has"):
        image_collection.open_collection("tfds:cifar10:none", tfds_dir)


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


def test_names_that_are_no_text_are_ids_too(tmp_path):
    """A file system's names are bytes; ids are text, and a line each."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (b"\xff.png", b"a\nb.png"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(PNG)
    collection = image_collection.open_collection(str(folder))
    [(ids, images)] = list(collection.batches_from(0, 9))
    assert sorted(ids) == ["\\xff.png", "a\nb.png"]
    assert images.numpy().tolist() == [PNG] * 2


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded_images, "MAX_BYTES", 10)
    (tmp_path / "a.png").write_bytes(b"\xff\xd8\xff" + b"x" * 7)
    (tmp_path / "b.png").write_bytes(b"x" * 11)
    collection = image_collection.open_collection(str(tmp_path))
    [(ids, images)] = list(collection.batches_from(0, 9))
    assert (ids, images.numpy().tolist()) == (["a.png", "b.png"], [b"\xff\xd8\xff" + b"x" * 7, b""])


def test_batches_of_large_images_have_fewer(tmp_path, monkeypatch):
    names = [f"{number}.png" for number in range(10)]
    for name in names:
        (tmp_path / name).write_bytes(PNG)
    images = image_collection.open_collection(str(tmp_path))
    monkeypatch.setattr(image_collection, "_PART", 2)
    assert [len(ids) for ids, _ in images.batches_from(0, 5)] == [4, 4, 2]
    monkeypatch.setattr(image_collection, "BATCH_BYTES", 5 * len(PNG))
    batches = list(images.batches_from(1, 100))
    assert [len(encoded) for _, encoded in batches] == [6, 3]
    assert [image_id for ids, _ in batches for image_id in ids] == names[1:]

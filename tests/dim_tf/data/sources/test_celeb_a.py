"""CelebA from its authors' files is CelebA as TFDS makes it of them."""

import csv
import zipfile

import numpy as np
import pytest
import sample_files
import tensorflow as tf

from dim_tf import data
from dim_tf.system.errors import InputError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("celeb_a_files")
    return folder, sample_files.celeb_a(folder)


def load(folder, size=64):
    return data.load("celeb_a", data.DataRequest(str(folder), size, download=False))


def test_files_and_tfds_give_identical_tensors_and_splits(files, tmp_path, monkeypatch):
    folder, downloads = files
    sample_files.build(monkeypatch, "celeb_a", tmp_path, downloads, num_shards=3)
    from_files, from_tfds = load(folder), load(tmp_path)
    sample_files.same(from_files, from_tfds)
    assert (len(from_files.train), len(from_files.test)) == (18, 7)
    assert from_files.train.labels.shape == (18, 40)
    assert from_files.label_names == tuple(sorted(sample_files.ATTRIBUTES))
    assert from_files.multi_label


@pytest.mark.slow
def test_labels_belong_to_their_images(files):
    folder, downloads = files
    splits = load(folder, 178)
    lines = downloads["list_attr_celeba"].read_text().splitlines()
    smiling = lines[1].split().index("Smiling")
    truth = {}
    for number, line in enumerate(lines[2:]):
        pixels = tf.io.decode_jpeg(sample_files.jpeg(number, 218, 178)).numpy()[20:198]
        truth[pixels.tobytes()] = int(line.split()[1 + smiling] == "1")
    column = splits.label_names.index("Smiling")
    smiling = [truth[image.tobytes()] for image in splits.train.images]
    assert smiling == list(splits.train.labels[:, column])
    assert len(set(smiling)) == 2


@pytest.mark.slow
def test_kaggles_layout_and_the_authors_folders_are_the_same(files, tmp_path):
    folder, downloads = files
    kaggle, authors = tmp_path / "kaggle", tmp_path / "authors" / "celeba"
    with zipfile.ZipFile(downloads["img_align_celeba"]) as archive:
        archive.extractall(kaggle / "img_align_celeba")
        archive.extractall(authors / "Img")
    lines = downloads["list_attr_celeba"].read_text().splitlines()
    table = [["image_id", *lines[1].split()], *(line.split() for line in lines[2:])]
    parts = [line.split() for line in downloads["list_eval_partition"].read_text().splitlines()]
    for name, rows in (
        ("list_attr_celeba", table),
        ("list_eval_partition", [["image_id", "partition"], *parts]),
    ):
        with (kaggle / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    for name, at in (("list_attr_celeba", "Anno"), ("list_eval_partition", "Eval")):
        (authors / at).mkdir()
        (authors / at / f"{name}.txt").write_text(downloads[name].read_text())
    expected = load(folder, 16)
    sample_files.same(load(kaggle, 16), expected)
    sample_files.same(load(authors.parent, 16), expected)


def test_missing_pieces_are_named_in_one_error(files, tmp_path):
    _, downloads = files
    (tmp_path / "list_attr_celeba.txt").write_text(downloads["list_attr_celeba"].read_text())
    with pytest.raises(InputError) as error:
        load(tmp_path)
    assert "the images (img_align_celeba/" in str(error.value)
    assert "nor the partition (list_eval_partition.txt" in str(error.value)
    assert "the attributes" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("list_attr_celeba", "28\n", "27\n", "expected the number of its images, 28"),
        ("list_attr_celeba", " 1 ", " 7 ", "40 values 1 or -1"),
        ("list_eval_partition", "000001.jpg", "../../secret.jpg", "expected a file NAME.jpg"),
        ("list_eval_partition", "000002.jpg", "000001.jpg", "each once"),
        ("list_eval_partition", "000003.jpg", "000099.jpg", "no attributes of 1 images"),
        ("list_eval_partition", "  2", "  1", "no images of test"),
    ],
)
def test_broken_lists_are_refused(files, tmp_path, name, old, new, says):
    _, downloads = files
    for piece in ("list_attr_celeba", "list_eval_partition"):
        text = downloads[piece].read_text()
        (tmp_path / f"{piece}.txt").write_text(text.replace(old, new) if piece == name else text)
    (tmp_path / "img_align_celeba.zip").symlink_to(downloads["img_align_celeba"])
    with pytest.raises(InputError, match=says):
        load(tmp_path, 8)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (None, "has no file 000004.jpg"),
        (b"no image", "000004.jpg in .* is no JPEG of 178x218"),
        (sample_files.jpeg(1, 30, 20), "000004.jpg in .* is no JPEG of 178x218"),
        (sample_files.jpeg(1, 218, 178)[:-3000], "000004.jpg in .* is no JPEG of 178x218"),
    ],
)
def test_a_broken_image_is_named(files, tmp_path, image, says):
    _, downloads = files
    for piece in ("list_attr_celeba", "list_eval_partition"):
        (tmp_path / f"{piece}.txt").write_text(downloads[piece].read_text())
    with zipfile.ZipFile(downloads["img_align_celeba"]) as archive:
        archive.extractall(tmp_path)
    path = tmp_path / "img_align_celeba" / "000004.jpg"
    path.unlink()
    if image:
        path.write_bytes(image)
    with pytest.raises(InputError, match=says):
        load(tmp_path, 8)


def test_a_broken_archive_is_refused(files, tmp_path):
    _, downloads = files
    for piece in ("list_attr_celeba", "list_eval_partition"):
        (tmp_path / f"{piece}.txt").write_text(downloads[piece].read_text())
    whole = np.frombuffer(downloads["img_align_celeba"].read_bytes(), np.uint8)
    flipped = whole.copy()
    flipped[len(whole) // 3 : len(whole) // 3 + 2000] ^= 255
    for broken, says in ((whole[:-100], "no zip archive"), (flipped, "get it anew")):
        (tmp_path / "img_align_celeba.zip").write_bytes(broken.tobytes())
        with pytest.raises(InputError, match=says):
            load(tmp_path, 8)

"""Broken, hostile and unusual files of data sets by name: one line that names the file."""

import gzip
import struct
import time
import zipfile

import numpy as np
import pytest
import sample_files

from dim_tf.data import DataRequest
from dim_tf.data.sources import celeb_a_files, fashion_mnist, idx
from dim_tf.data.sources.file_tree import FileTree
from dim_tf.system.errors import InputError


def one_line(caught, path):
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert len(message) < 500 + len(str(path))


def head(*shape):
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


def fashion(folder, images, labels, suffix=".gz"):
    for prefix in ("train", "t10k"):
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            octets = gzip.compress(content) if suffix else content
            (folder / f"{prefix}-{kind}-ubyte{suffix}").write_bytes(octets)
    return DataRequest(data_dir=str(folder), image_size=28)


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((4, 0, 28), "has 4x0x28 values; expected Nx28x28"),
        ((4, 28, 0), "has 4x28x0 values; expected Nx28x28"),
        ((0, 28, 28), "has 0x28x28 values; expected Nx28x28"),
        ((4, 32, 32), "has 4x32x32 values; expected Nx28x28"),
        ((2**32 - 1, 0, 28), "expected Nx28x28"),
    ],
    ids=str,
)
def test_images_of_another_shape_are_refused(tmp_path, shape, says, suffix):
    request = fashion(tmp_path, head(*shape), head(4) + bytes(4), suffix)
    with pytest.raises(InputError, match=says) as caught:
        fashion_mnist.load(request)
    one_line(caught, tmp_path)


def test_millions_of_tiny_images_are_refused_before_they_are_read(tmp_path):
    millions = 8_000_000
    content = head(millions, 1, 1) + bytes(millions)
    request = fashion(tmp_path, content, head(millions) + bytes(millions))
    began = time.monotonic()
    with pytest.raises(InputError, match="has 8000000x1x1 values; expected Nx28x28"):
        fashion_mnist.load(request)
    assert time.monotonic() - began < 1


def test_labels_are_as_many_as_images_before_they_are_read(tmp_path):
    images = sample_files.idx(np.zeros((4, 28, 28)))
    request = fashion(tmp_path, images, head(2**30) + bytes(10))
    with pytest.raises(InputError, match="has 1073741824 values; expected 4") as caught:
        fashion_mnist.load(request)
    one_line(caught, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: octets[:40],
        lambda octets: octets[:-8] + b"\0\0\0\0" + octets[-4:],  # the checksum
        lambda octets: octets[:10] + b"\xff" * 40,
        lambda octets: octets[:3] + b"\x04\0\0\0\0\0\xff" + b"\xff\xff",  # a long extra field
    ],
    ids=["cut off", "another checksum", "no deflate", "a field cut off"],
)
def test_damaged_gzip_is_refused(tmp_path, damage):
    rng = np.random.default_rng(0)
    whole = gzip.compress(sample_files.idx(rng.integers(0, 256, (4, 28, 28))))
    path = tmp_path / "images.gz"
    path.write_bytes(damage(whole))
    with pytest.raises(InputError, match="broken") as caught:
        idx.read_idx(path, (None, 28, 28))
    one_line(caught, path)


def test_a_folder_in_place_of_a_file_is_reported(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="cannot be read") as caught:
        idx.read_idx(tmp_path / "images", (None, 28, 28))
    one_line(caught, tmp_path / "images")


# Zip archives.


def archive(folder, compress_type=zipfile.ZIP_DEFLATED, name="a.txt"):
    path = folder / "files.zip"
    with zipfile.ZipFile(path, "w", compress_type) as out:
        out.writestr(name, bytes(range(256)) * 40)
    return path


def change(path, *changes):
    octets = bytearray(path.read_bytes())
    for where, behind, value in changes:
        begin = octets.index(where) + behind
        octets[begin : begin + len(value)] = value
    path.write_bytes(octets)
    return path


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def version_9_9(folder):
    return change(archive(folder), (CENTRAL, 6, b"\x63\0"))


def damaged_lzma(folder):
    path = archive(folder, zipfile.ZIP_LZMA)
    return change(path, (LOCAL, 30 + len("a.txt") + 12, b"\xff" * 20))


def damaged_bzip2(folder):
    path = archive(folder, zipfile.ZIP_BZIP2)
    return change(path, (LOCAL, 30 + len("a.txt") + 4, b"\xff" * 20))


def name_that_is_no_utf_8(folder):
    path = archive(folder, name="ä.txt")
    return change(path, (CENTRAL, 46, b"\xff\xff"))


def local_name_that_is_no_utf_8(folder):
    return change(archive(folder, name="ä.txt"), (LOCAL, 30, b"\xff\xff"))


def read_all(path):
    files = FileTree(path)
    return [files.read(name) for name in files.names()]


@pytest.mark.parametrize(
    "write_zip",
    [
        version_9_9,
        damaged_lzma,
        damaged_bzip2,
        name_that_is_no_utf_8,
        local_name_that_is_no_utf_8,
    ],
)
def test_a_zip_that_cannot_be_read_is_refused(tmp_path, write_zip):
    path = write_zip(tmp_path)
    with pytest.raises(InputError, match=r"no zip archive|is broken") as caught:
        read_all(path)
    one_line(caught, path)


def test_a_file_that_cannot_be_opened_is_reported(tmp_path):
    (tmp_path / "files/a.txt").mkdir(parents=True)
    with pytest.raises(InputError, match=r"a\.txt in .* cannot be read") as caught:
        FileTree(tmp_path / "files").read("a.txt")
    one_line(caught, tmp_path)
    with pytest.raises(InputError, match=r"none\.zip cannot be read"):
        FileTree(tmp_path / "none.zip")


# CelebA's tables.


@pytest.mark.parametrize("file", ["list_attr_celeba.csv", "list_eval_partition.csv"])
@pytest.mark.parametrize(
    "line",
    ["x" * 200_000 + ",1", '000001.jpg,"1', '000001.jpg,"1"2'],
    ids=["long", "open quote", "text behind a quote"],
)
def test_a_table_that_csv_cannot_read_is_refused(tmp_path, file, line):
    (tmp_path / "img_align_celeba").mkdir()
    attributes = "image_id,Smiling\n000001.jpg,1\n"
    parts = "image_id,partition\n000001.jpg,0\n"
    (tmp_path / "list_attr_celeba.csv").write_text(attributes)
    (tmp_path / "list_eval_partition.csv").write_text(parts)
    (tmp_path / file).write_text((tmp_path / file).read_text() + line + "\n")
    with pytest.raises(InputError, match="is no table of commas") as caught:
        celeb_a_files.find_files(str(tmp_path))
    one_line(caught, tmp_path / file)

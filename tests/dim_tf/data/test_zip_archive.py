"""Zip archives: their members, and one error for all that is wrong with them."""

import os
import zipfile

import pytest

from dim_tf.data.zip_archive import DamagedZipError, ZipArchive


@pytest.fixture
def path(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("folder/", b"")
        out.writestr("stored.txt", b"stored")
        out.writestr("small.txt", bytes(10_000), zipfile.ZIP_DEFLATED)
    return tmp_path / "a.zip"


def test_its_members(path):
    with ZipArchive(path) as archive:
        assert archive.names() == ["stored.txt", "small.txt"]
        assert archive.read("stored.txt", 100) == b"stored"
        assert archive.read("small.txt", 99) == bytes(100)  # one more: it is larger
        with pytest.raises(KeyError):
            archive.read("none", 1)


def test_what_may_grow_is_not_read_as_stored(path):
    with ZipArchive(path) as archive:
        assert archive.read_stored("stored.txt") == b"stored"
        with pytest.raises(DamagedZipError, match="compressed"):
            archive.read_stored("small.txt")


def test_what_is_no_archive(tmp_path):
    (tmp_path / "words").write_text("words")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DamagedZipError):
        ZipArchive(tmp_path / "words")
    with pytest.raises(OSError, match="no regular file"):
        ZipArchive(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        ZipArchive(tmp_path / "none")


@pytest.mark.parametrize(
    ("where", "behind", "value"),
    [
        (b"PK\x01\x02", 6, b"\x63\0"),  # the version needed
        (b"PK\x01\x02", 8, b"\x01\0"),  # encrypted
        (b"PK\x01\x02", 10, b"\x63\0"),  # the compression
        (b"PK\x01\x02", 24, b"\xfe\xff\xff\xff"),  # the size
        (b"PK\x01\x02", 42, b"\xff\xff\xff\x7f"),  # the offset
        (b"PK\x05\x06", 12, b"\xfe\xff\xff\xff"),  # the directory's size
    ],
    ids=["version", "encrypted", "compression", "size", "offset", "directory"],
)
def test_a_directory_that_tells_otherwise(tmp_path, where, behind, value):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("a.txt", bytes(range(256)))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    begin = content.index(where) + behind
    content[begin : begin + len(value)] = value
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DamagedZipError), ZipArchive(tmp_path / "a.zip") as archive:
        archive.read_stored("a.txt")

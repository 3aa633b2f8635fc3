"""What is kept of a folder of images: never another image's pixels, and whatever lies there."""

import io
import json
import os
import time
import zipfile

import numpy as np
import pytest
import sample_folders
from PIL import Image
from sample_images import pixels, save, tree

from dim_tf.data.folder import cache_entry, manifest
from dim_tf.data.folder.decoded_cache import GIB, DecodedCache
from dim_tf.data.image_faults import Fault
from dim_tf.data.sources import folder as folder_source
from dim_tf.system.errors import RunError


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""
    return sample_folders.loader(tmp_path)


def wrong(splits):
    """Files whose pixels are not those that the data set has."""
    return [
        name
        for split in (splits.train, splits.test)
        for name, image in zip(split.images.names, split.images[:], strict=True)
        if not np.array_equal(image, pixels(int(name[:3])))
    ]


# Files that change.


@pytest.mark.parametrize("cache_gib", [20.0, 0.0])
def test_a_file_that_changes_between_scan_and_decoding_is_never_kept(
    tmp_path, load, monkeypatch, cache_gib
):
    folder = tree(tmp_path / "images", 30)
    victim = folder / "007.png"
    original, scan = victim.read_bytes(), folder_source.scan_folders

    def scan_and_change(*arguments):
        entries = scan(*arguments)
        save(victim, 99)
        return entries

    with monkeypatch.context() as patch:
        patch.setattr(folder_source, "scan_folders", scan_and_change)
        with pytest.raises(RunError, match=r"007\.png .* has changed while it was in use"):
            wrong(load(image_size=24, cache_gib=cache_gib))
    victim.write_bytes(original)
    assert wrong(load(image_size=24)) == []


def test_a_file_beyond_the_cache_that_changes_in_an_epoch_is_reported(tmp_path, load):
    folder = tree(tmp_path / "images", 30)
    splits = load(image_size=24, cache_gib=15 * 24 * 24 * 3 / GIB)
    assert wrong(splits) == []
    save(folder / splits.train.images.names[-1], 99)
    with pytest.raises(RunError, match="has changed while it was in use"):
        splits.train.images[:]


def test_a_replaced_file_of_the_same_size_and_time_is_seen(tmp_path, load):
    """As `cp -p` and rsync leave it."""
    folder = tmp_path / "images"
    for number in range(30):
        save(folder / f"{number:03d}.bmp", number)
    load(image_size=24)
    before = os.stat(folder / "007.bmp")
    save(folder / "007.bmp", 99)
    os.utime(folder / "007.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(folder / "007.bmp").st_size == before.st_size
    assert wrong(load(image_size=24)) == ["007.bmp"]


def test_a_moved_file_that_takes_anothers_place_is_seen(tmp_path, load):
    folder = tmp_path / "images"
    for number in range(30):
        save(folder / f"{number:03d}.bmp", number)
        os.utime(folder / f"{number:03d}.bmp", (1e9, 1e9))
    other = save(tmp_path / "other.bmp", 99)
    os.utime(other, (1e9, 1e9))
    load(image_size=24)
    os.replace(other, folder / "007.bmp")
    assert wrong(load(image_size=24)) == ["007.bmp"]


def test_pixels_of_an_earlier_version_are_not_taken_over(tmp_path, monkeypatch):
    """It kept what it decoded under the digest of another content."""
    digests = np.arange(32, dtype=np.uint8).reshape(2, 16)

    def open_with(value, count):
        return DecodedCache(tmp_path, 1.0).open(
            digests[:count], (8, 8, 3), lambda rows: np.full((len(rows), 8, 8, 3), value, np.uint8)
        )

    with monkeypatch.context() as patch:
        patch.setattr(cache_entry, "VERSION", 1)
        assert (open_with(1, 1) == 1).all()
    assert (open_with(2, 2) == 2).all()


# Entries of the cache that are good.


def test_an_entry_of_another_size_is_not_damaged(tmp_path, capsys):
    cache = DecodedCache(tmp_path, 1.0)

    def open_of(count, size, seed):
        digests = np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)
        decoded = []

        def decode(rows):
            decoded.extend(rows)
            return np.zeros((len(rows), size, size, 3), np.uint8)

        cache.open(digests, (size, size, 3), decode)
        return decoded

    for count, size, seed in ((30, 64, 0), (30, 32, 1), (31, 32, 2)):
        assert len(open_of(count, size, seed)) == count
    assert open_of(30, 64, 0) == []
    assert "damaged" not in capsys.readouterr().out


# Damaged ones.

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry.json", DEEP),
        ("entry.json", '{"version": 3, "shape": ' + DEEP),
        ("partial.json", DEEP),
    ],
    ids=["deep", "deep inside", "deep note"],
)
def test_a_damaged_file_of_an_entry_is_rebuilt(tmp_path, load, file, content, capsys):
    tree(tmp_path / "images", 30)
    load(image_size=24)
    (entry,) = (tmp_path / "cache/images").glob("*/")
    if file == "partial.json":
        (entry / "entry.json").unlink()
        os.replace(entry / "pixels.npy", entry / "pixels.partial")
    (entry / file).write_text(content)
    capsys.readouterr()
    assert wrong(load(image_size=24)) == []
    if file == "entry.json":
        assert f"{entry} is damaged" in capsys.readouterr().out
    json.loads((entry / "entry.json").read_text())


@pytest.mark.parametrize("damage", ["shape", "header", "swapped", "pipe"])
def test_damaged_digests_of_another_entry_give_it_no_pixels(tmp_path, load, damage, capsys):
    tree(tmp_path / "images", 30)
    load(image_size=24)
    (entry,) = (tmp_path / "cache/images").glob("*/")
    path = entry / "digests.npy"
    if damage == "shape":  # of a terabyte
        path.write_bytes(npy_header("|u1", (2**36, 16)) + path.read_bytes()[128:])
    elif damage == "header":
        path.write_bytes(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"(" * 10_000)
    elif damage == "swapped":
        np.save(path, np.load(path)[::-1])
    else:
        path.unlink()
        os.mkfifo(path)
    save(tmp_path / "images/030.png", 30)
    capsys.readouterr()
    assert wrong(load(image_size=24)) == []
    assert f"{entry} is damaged" in capsys.readouterr().out


def npy_header(descr, shape):
    file = io.BytesIO()
    described = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


def fill_column(kept, name, value):
    with np.load(kept) as columns:
        changed = {**columns, name: np.full_like(columns[name], value)}
    with open(kept, "wb") as file:
        np.savez(file, **changed)


def with_member(kept, name, content, **settings):
    with zipfile.ZipFile(kept) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(kept, "w") as archive:
        for member, octets in (members | {name: content}).items():
            archive.writestr(member, octets, **(settings if member == name else {}))


DAMAGES = {
    "a fault that there is not": lambda kept: fill_column(kept, "faults", 77),
    "a format that there is not": lambda kept: fill_column(kept, "formats", 200),
    "sizes below 0": lambda kept: fill_column(kept, "image_sizes", -5),
    "a terabyte claimed": lambda kept: with_member(
        kept, "file_sizes.npy", npy_header("<i8", (2**37,)) + bytes(100)
    ),
    "another compression": lambda kept: with_member(
        kept, "names.npy", b"x" * 1000, compress_type=zipfile.ZIP_LZMA
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_rebuilt(tmp_path, load, damage, capsys):
    tree(tmp_path / "images", 30)
    load(image_size=24)
    (kept,) = (tmp_path / "cache/manifests").iterdir()
    DAMAGES[damage](kept)
    capsys.readouterr()
    began = time.monotonic()
    assert wrong(load(image_size=24)) == []
    assert time.monotonic() - began < 5
    output = capsys.readouterr().out
    assert f"{kept} is damaged" in output
    assert output.count("\n") == 1
    np.testing.assert_array_equal(manifest.read_manifest(kept).faults, Fault.NONE)


def test_a_pipe_in_place_of_a_manifest_is_not_waited_for(tmp_path, load):
    tree(tmp_path / "images", 30)
    load(image_size=24)
    (kept,) = (tmp_path / "cache/manifests").iterdir()
    kept.unlink()
    os.mkfifo(kept)
    assert wrong(load(image_size=24)) == []


def test_another_max_pixels_looks_again(tmp_path, load):
    """What was refused as too large is not refused for good."""
    tree(tmp_path / "images", 25)
    large = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    save(tmp_path / "images/large.png", image=Image.fromarray(large))
    for max_pixels, count in ((1000, 25), (2**20, 26), (1000, 25)):
        splits = load(max_pixels=max_pixels, max_unreadable_fraction=0.1)
        assert len(splits.train) + len(splits.test) == count

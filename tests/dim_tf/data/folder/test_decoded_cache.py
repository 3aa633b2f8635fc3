"""The cache of decoded images: bounded, whole or not taken for whole."""

import errno
import json
import os
import zlib

import numpy as np
import pytest

from dim_tf.data.folder import cache_entry, decoded_cache
from dim_tf.data.folder.decoded_cache import GIB, DecodedCache
from dim_tf.system.errors import InputError

SIZE = 8
SHAPE = (SIZE, SIZE, 3)
ROW = SIZE * SIZE * 3


class Source:
    """Images that count how often they are decoded; number n is all n."""

    def __init__(self, numbers):
        self.numbers = np.asarray(numbers)
        self.digests = self.numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
        self.asked = []

    def decode(self, rows):
        self.asked += self.numbers[rows].tolist()
        shape = (len(rows), SIZE, SIZE, 3)
        return np.broadcast_to(self.numbers[rows][:, None, None, None], shape).astype(np.uint8)


def opened(folder, source, images=100):
    pixels = DecodedCache(folder, images * ROW / GIB).open(source.digests, SHAPE, source.decode)
    assert pixels.shape == (min(images, len(source.numbers)), SIZE, SIZE, 3)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], source.numbers[: len(pixels)])
    assert (pixels == pixels[:, :1, :1, :1]).all()
    return pixels


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr(cache_entry, "CHUNK", 4)


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_images_are_decoded_once(tmp_path):
    source = Source(range(10))
    opened(tmp_path, source)
    assert source.asked == list(range(10))
    again = Source(range(10))
    pixels = opened(tmp_path, again)
    assert again.asked == []
    assert not pixels.flags.writeable
    (entry,) = tmp_path.glob("*/")
    assert {path.name for path in entry.iterdir()} == {"pixels.npy", "digests.npy", "entry.json"}


def test_what_does_not_fit_is_left_out(tmp_path):
    source = Source(range(10))
    assert len(opened(tmp_path, source, images=7)) == 7
    assert source.asked == list(range(7))
    none = Source(range(3))
    assert len(opened(tmp_path / "none", none, images=0)) == 0
    assert none.asked == []
    assert not (tmp_path / "none").exists()


def test_more_images_take_over_those_of_before(tmp_path):
    opened(tmp_path, Source(range(0, 20, 2)))
    more = Source(range(20))
    opened(tmp_path, more)
    assert more.asked == list(range(1, 20, 2))


def test_those_not_used_for_longest_are_removed_first(tmp_path):
    opened(tmp_path, Source(range(10)), images=25)
    opened(tmp_path, Source(range(20, 30)), images=25)
    for age, name in enumerate(entries(tmp_path)):
        os.utime(tmp_path / name / "entry.json", (1000 + age, 1000 + age))
    opened(tmp_path, Source(range(10)), images=25)  # now the newest
    opened(tmp_path, Source(range(40, 50)), images=25)
    kept = Source(range(10))
    opened(tmp_path, kept, images=25)
    assert kept.asked == []
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: os.truncate(entry / "pixels.npy", 500),
        lambda entry: (entry / "pixels.npy").unlink(),
        lambda entry: flip(entry / "pixels.npy", 3),
        lambda entry: flip(entry / "pixels.npy", 1000),
        lambda entry: reshape(entry, (10, 3, SIZE, SIZE), np.uint8),
        lambda entry: reshape(entry, (10, SIZE, SIZE, 3), np.int8),
        lambda entry: reshape(entry, (11, SIZE, SIZE, 3), np.uint8),
        lambda entry: (entry / "entry.json").write_text("{"),
        lambda entry: (entry / "entry.json").write_text("[]"),
        lambda entry: (entry / "entry.json").write_text('{"shape": [1, 2], "checksums": []}'),
        lambda entry: record(entry, {"0": 1}),
        lambda entry: record(entry, []),
        lambda entry: record(entry, "1"),
        lambda entry: (entry / "entry.json").write_bytes(b"\xff"),
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path, damage, capsys):
    opened(tmp_path, Source(range(10)))
    (entry,) = tmp_path.glob("*/")
    damage(entry)
    again = Source(range(10))
    opened(tmp_path, again)
    assert len(again.asked) == 10
    assert f"{entry} is damaged" in capsys.readouterr().out


def record(entry, checksums):
    values = {"version": cache_entry.VERSION, "shape": [10, SIZE, SIZE, 3], "dtype": "uint8"}
    (entry / "entry.json").write_text(json.dumps(values | {"checksums": checksums}))


def reshape(entry, shape, dtype):
    """Other pixels, of which the record has the right checksums."""
    np.save(entry / "pixels.npy", np.zeros(shape, dtype))
    record(entry, [zlib.crc32((entry / "pixels.npy").read_bytes())])


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_an_entry_that_was_not_finished_is_gone_on_with(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache_entry, "SAVE_EVERY", -1.0)
    source = Source(range(10))

    def ends(rows):
        if rows[0] == 8:
            raise KeyboardInterrupt
        return source.decode(rows)

    cache = DecodedCache(tmp_path, 1.0)
    with pytest.raises(KeyboardInterrupt):
        cache.open(source.digests, SHAPE, ends)
    again = Source(range(10))
    opened(tmp_path, again)
    assert again.asked == [8, 9]
    assert "8 of 10 images are decoded; going on" in capsys.readouterr().out


@pytest.mark.parametrize("note", ["9", "-1", "true", "{", "[3]", "100"])
def test_a_note_that_does_not_fit_the_file_is_not_believed(tmp_path, note, monkeypatch):
    source = Source(range(10))
    monkeypatch.setattr(cache_entry, "SAVE_EVERY", -1.0)

    def ends(rows):
        if rows[0] == 4:
            raise KeyboardInterrupt
        return source.decode(rows)

    with pytest.raises(KeyboardInterrupt):
        DecodedCache(tmp_path, 1.0).open(source.digests, SHAPE, ends)
    (entry,) = tmp_path.glob("*/")
    assert json.loads((entry / "partial.json").read_text()) == 4
    (entry / "partial.json").write_text(note)
    again = Source(range(10))
    opened(tmp_path, again)
    assert again.asked == list(range(10))


def test_only_those_who_need_the_same_images_wait(tmp_path):
    """While an entry is made, others are opened and made, and it is not removed for them."""
    opened(tmp_path, Source(range(10)), images=25)
    slow = Source(range(20, 30))

    def decode(rows):
        if rows[0] == 4:
            (lock,) = {path.stem for path in tmp_path.glob("*.lock")} - before
            with pytest.raises(BlockingIOError), decoded_cache._locked(lock_of(lock), wait=False):
                pass
            ready = Source(range(10))
            opened(tmp_path, ready, images=25)
            assert ready.asked == []
            opened(tmp_path, Source(range(40, 60)), images=25)  # the ready one goes for it
            assert lock in entries(tmp_path)
            assert before.isdisjoint(entries(tmp_path))
        return slow.decode(rows)

    def lock_of(name):
        return tmp_path / f"{name}.lock"

    before = set(entries(tmp_path))
    DecodedCache(tmp_path, 25 * ROW / GIB).open(slow.digests, SHAPE, decode)
    opened(tmp_path, slow, images=25)
    assert slow.asked == list(range(20, 30))
    assert len(entries(tmp_path)) == len(list(tmp_path.glob("*.lock"))) == 1


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    kept = Source(range(20, 25))
    opened(tmp_path, kept)

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache_entry, "_flush_to_disk", full)
        with pytest.raises(InputError, match=r"no room in .* --cache_gib"):
            opened(tmp_path, Source(range(10)))
    assert len(entries(tmp_path)) == 1
    kept.asked.clear()
    opened(tmp_path, kept)
    assert kept.asked == []


def test_too_little_room_is_told_before_the_work(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr(cache_entry.shutil, "disk_usage", lambda _: usage)
    source = Source(range(10))
    with pytest.raises(InputError, match="no room"):
        opened(tmp_path, source)
    assert source.asked == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another --cache_dir"):
        opened(tmp_path / "file" / "cache", Source(range(3)))

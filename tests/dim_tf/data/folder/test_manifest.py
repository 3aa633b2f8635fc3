"""Scanning a tree of files, and remembering it."""

import os
import threading

import numpy as np
import pytest
from sample_images import save, tree

from dim_tf.data.folder import manifest, scan
from dim_tf.data.image_faults import Fault
from dim_tf.system import cpu


@pytest.fixture
def inspected(monkeypatch):
    """The files that were looked at."""
    names = []
    real = scan.inspect_file

    def inspect(path, **settings):
        names.append(path.name)
        return real(path, **settings)

    monkeypatch.setattr(scan, "inspect_file", inspect)
    return names


def test_a_second_scan_looks_at_what_changed(tmp_path, inspected):
    folder, cache = tree(tmp_path / "images", 5), tmp_path / "cache"
    first = scan.scan_folder(folder, cache)
    assert first.names == [f"{n:03d}.png" for n in range(5)]
    assert (first.faults == Fault.NONE).all()
    assert len({digest.tobytes() for digest in first.digests}) == 5
    inspected.clear()
    again = scan.scan_folder(folder, cache)
    assert inspected == []
    for name, column in first.columns.items():
        np.testing.assert_array_equal(again.columns[name], column)

    save(folder / "002.png", 77)
    save(folder / "b" / "new.png", 78)
    (folder / "004.png").unlink()
    third = scan.scan_folder(folder, cache)
    assert sorted(inspected) == ["002.png", "new.png"]
    assert third.names == ["000.png", "001.png", "002.png", "003.png", "b/new.png"]
    np.testing.assert_array_equal(third.digests[:2], first.digests[:2])
    assert third.digests[2].tobytes() != first.digests[2].tobytes()
    inspected.clear()
    assert scan.scan_folder(folder, cache).names == third.names
    assert inspected == []


def test_names_of_all_kinds(tmp_path):
    folder, cache = tmp_path / "images", tmp_path / "cache"
    names = [
        "ä ö.png",
        "猫/写真 1.png",
        "new\nline.png",
        os.fsdecode(b"caf\xe9.png"),
        "a/b/c/d.png",
    ]
    for number, name in enumerate(names):
        save(folder / name, number)
    for _ in range(2):
        assert scan.scan_folder(folder, cache).names == sorted(names)


def test_what_is_no_image_is_left_out(tmp_path):
    folder = tree(tmp_path / "images", 2)
    for name in (".hidden.png", "._000.png", ".git/a.png", "runs/x/tensorboard/sprite.png"):
        save(folder / name, 9)
    (folder / "runs/x/experiment.json").write_text("{}")
    (folder / "notes.txt").write_text("words")
    os.mkfifo(folder / "pipe.png")
    cache = save(folder / "cache" / "a.png").parent
    scanned = scan.scan_folder(folder, cache, (cache,))
    assert scanned.names == ["000.png", "001.png", "notes.txt"]
    assert list(scanned.faults) == [Fault.NONE, Fault.NONE, Fault.OTHER]


def test_links_are_followed_and_circles_end(tmp_path):
    folder, elsewhere = tree(tmp_path / "images", 1, "z/{}.png"), tree(tmp_path / "other", 1)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a_link_to_z").symlink_to(folder / "z")
    (folder / "z" / "circle").symlink_to(folder)
    (folder / "file.png").symlink_to(elsewhere / "000.png")
    (folder / "broken.png").symlink_to(tmp_path / "nothing")
    (folder / "itself.png").symlink_to(folder / "itself.png")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    scanned = scan.scan_folder(folder, tmp_path / "cache")
    assert scanned.names == ["broken.png", "file.png", "itself.png", "linked/000.png", "z/0.png"]
    expected = [Fault.UNREADABLE, Fault.NONE, Fault.UNREADABLE, Fault.NONE, Fault.NONE]
    assert list(scanned.faults) == expected


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, inspected):
    folder = tree(tmp_path / "images", 1, "closed/{}.png")
    save(folder / "a.png", 5)
    real = os.scandir

    def scandir(path):
        if path == folder / "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        scanned = scan.scan_folder(folder, tmp_path / "cache")
    assert scanned.names == ["a.png", "closed"]
    assert list(scanned.faults) == [Fault.NONE, Fault.UNREADABLE]
    assert scan.scan_folder(folder, tmp_path / "cache").names == ["a.png", "closed/0.png"]


def test_a_damaged_manifest_is_made_again(tmp_path, inspected, capsys):
    folder, cache = tree(tmp_path / "images", 3), tmp_path / "cache"
    first = scan.scan_folder(folder, cache)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for damage in (whole[:100], b"", whole[:90] + b"\xff" * 60 + whole[150:], b"PK words"):
        kept.write_bytes(damage)
        inspected.clear()
        scanned = scan.scan_folder(folder, cache)
        assert len(inspected) == 3
        assert "damaged" in capsys.readouterr().out
        np.testing.assert_array_equal(scanned.digests, first.digests)


def test_columns_of_other_shapes_are_damage(tmp_path, capsys):
    whole = manifest.Manifest.unscanned(["a", "b"])
    short = manifest.Manifest(["a", "b"], **{n: c[:1] for n, c in whole.columns.items()})
    manifest.write_manifest(tmp_path / "m.npz", short)
    assert len(manifest.read_manifest(tmp_path / "m.npz")) == 0
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        {"count": np.array(10**15)},
        {"count": np.array("many")},
        {"file_sizes": np.full(2, 1e300)},
        {"names": np.zeros(5, np.uint8)},
        {"highs": np.full(2, -1, np.int32)},
        {"bits": np.full(2, 9, np.uint8)},
    ],
    ids=["many", "no number", "no int", "more names", "below 0", "9 bits"],
)
def test_columns_of_other_values_are_damage(tmp_path, changes, capsys):
    path = tmp_path / "m.npz"
    manifest.write_manifest(path, manifest.Manifest.unscanned(["a", "b"]))
    assert len(manifest.read_manifest(path)) == 2
    with np.load(path) as columns:
        changed = dict(columns) | changes
    np.savez(path, **changed)
    assert len(manifest.read_manifest(path)) == 0
    assert f"{path} is damaged" in capsys.readouterr().out


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    with open(tmp_path / "m.npz", "wb") as file:
        np.savez(file, version=np.array(manifest.VERSION), count=np.array([Evil()], object))
    assert len(manifest.read_manifest(tmp_path / "m.npz")) == 0
    assert not (tmp_path / "pwned").exists()


def test_a_scan_that_ends_early_is_gone_on_with(tmp_path, monkeypatch, inspected):
    folder, cache = tree(tmp_path / "images", 6), tmp_path / "cache"
    monkeypatch.setattr(scan, "CHUNK", 1)
    monkeypatch.setattr(scan, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(cpu, "count", lambda: 1)
    counting = scan.inspect_file

    def ends(path, **settings):
        if path.name == "004.png":
            raise KeyboardInterrupt
        return counting(path, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(scan, "inspect_file", ends)
        with pytest.raises(KeyboardInterrupt):
            scan.scan_folder(folder, cache)
    inspected.clear()
    assert (scan.scan_folder(folder, cache).faults == Fault.NONE).all()
    assert sorted(inspected) == ["004.png", "005.png"]


def test_threads_share_a_scan_of_16_files(tmp_path, monkeypatch):
    """So few photographs take as long as 2,000 small images."""
    monkeypatch.setattr(cpu, "count", lambda: 2)
    both_inspect = threading.Barrier(2, timeout=20)
    real, thread = scan.inspect_file, threading.local()

    def inspect(path, **settings):
        if not hasattr(thread, "has_begun"):
            thread.has_begun = True
            both_inspect.wait()
        return real(path, **settings)

    monkeypatch.setattr(scan, "inspect_file", inspect)
    scanned = scan.scan_folder(tree(tmp_path / "images", 16), tmp_path / "cache")
    assert (scanned.faults == Fault.NONE).all()

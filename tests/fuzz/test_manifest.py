"""Any file as the manifest of a folder: its entries, or none and a line that says so."""

import fuzzing
import pytest

from dim_tf.data.folder import manifest


def outcome(path, content):
    path.write_bytes(content)
    return "read" if len(manifest.read_manifest(path)) else "empty"


def good(path):
    manifest.write_manifest(path, manifest.Manifest.unscanned(["a.png", "b/c.jpg", "\udcff.png"]))
    return path.read_bytes()


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_each_byte_in_turn(tmp_path, stride):
    """Random changes miss the flags of the archive.

    With a stride, each byte of the first file in the archive and of its entry in the directory, and
    of the directory's end.
    """
    path = tmp_path / "manifest.npz"
    content = good(path)
    directory, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    second = content.index(b"PK\3\4", 1)
    places = [*range(second), *range(directory, directory + 60), *range(end, len(content))]
    for place in {*places, *range(second, end, stride)}:
        outcome(path, content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])


@fuzzing.sizes(10_000)
def test_any_manifest(cases, tmp_path):
    path = tmp_path / "manifest.npz"
    changed = fuzzing.mutated_bytes([good(path)])
    fuzzing.run("manifest", changed, lambda content: outcome(path, content), cases)

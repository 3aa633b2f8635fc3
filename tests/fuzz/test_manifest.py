"""Any file as the manifest of a folder: its entries, or none and a line that says so."""

import fuzzing

from dim_tf.data.folder import manifest


def outcome(path, content):
    path.write_bytes(content)
    return "read" if len(manifest.read_manifest(path)) else "empty"


def good(path):
    manifest.write_manifest(path, manifest.Manifest.unscanned(["a.png", "b/c.jpg", "\udcff.png"]))
    return path.read_bytes()


def test_each_byte_in_turn(tmp_path):
    """Random changes miss the flags of the archive."""
    path = tmp_path / "manifest.npz"
    content = good(path)
    for place in range(len(content)):
        outcome(path, content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])


@fuzzing.sizes(10_000)
def test_any_manifest(cases, tmp_path):
    path = tmp_path / "manifest.npz"
    changed = fuzzing.mutated_bytes([good(path)])
    fuzzing.run("manifest", changed, lambda content: outcome(path, content), cases)

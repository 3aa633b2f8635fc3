"""The files of a version of an export, which only a loader would find too small."""

import json
from pathlib import Path

from dim_tf.export import verify

CARD = "# Käfer photos\n\nAn image encoder.\n"


def write(
    folder: Path, name="Käfer photos", license="CC-BY-4.0", signature="serving_default", **more
):
    """Writes them, and a hidden file; `more` are entries of metadata.json."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(bytes(range(256)))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    metadata = {
        "name": name,
        "license": license,
        "training_data": 'Photos of "beetles".',
        "signatures": {signature: {}},
        **more,
    }
    (folder / "assets" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    verify.write_sums(folder)
    (folder / ".hidden").touch()
    return folder

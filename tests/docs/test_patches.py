"""The code of docs/PATCHES.md runs, on a small export and a folder of images."""

import re
from pathlib import Path

import numpy as np
import pytest
import small_export

from dim_tf.export import encoded_input

PAGE = Path(__file__).parents[2] / "docs/PATCHES.md"
COUNT = 40


@pytest.mark.slow
def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_export.save(tmp_path / "exported/photos/1")
    images = small_export.images(COUNT)
    (tmp_path / "photos/a").mkdir(parents=True)
    for number, content in enumerate(encoded_input.png_images(images)):
        (tmp_path / f"photos/a/{number:03d}.png").write_bytes(content)
    photographs = np.rint(images * 255).astype(np.uint8)
    masks = (photographs.mean(axis=3) > 127).astype(np.int64)
    names = {"images": images[:8], "photographs": photographs, "masks": masks}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["maps"].shape == (COUNT, 4, 4, 4)
    np.testing.assert_array_equal(names["first_file"], names["maps"][:])
    assert names["names"] == names["maps"].ids
    assert names["similarity"].shape == (8, 4, 4)
    np.testing.assert_allclose(names["similarity"][0, 1, 2], 1, rtol=1e-5)
    lines = (tmp_path / "anomalies.csv").read_text().splitlines()
    assert len(lines) == 11
    assert {line.split(",")[0] for line in lines[1:]} == {f"a/{n:03d}.png" for n in range(10)}

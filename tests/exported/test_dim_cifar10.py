"""The encoder that comes with the repository: what its card says is so, from a clone."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dim_tf.export import tflite, verify

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "exported" / "dim_cifar10" / "1"


def card():
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def evaluation():
    metadata = json.loads((FOLDER / "assets" / "metadata.json").read_text(encoding="utf-8"))
    return metadata["evaluation"]


def test_it_is_small_enough_for_a_clone():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40 * 2**20
    assert {path.name for path in files} >= {"saved_model.pb", "encoder_int8.tflite", "README.md"}


def test_a_clone_has_it_as_it_was_exported():
    assert not verify.differences(FOLDER)


def test_the_card_and_the_documents_load_only_files_that_it_has():
    has = {path.name for path in FOLDER.glob("*.tflite")}
    assert set(re.findall(r"encoder_\w+\.tflite", card())) == has
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        named = re.findall(r"dim_cifar10/1/(encoder_\w+\.tflite)", path.read_text("utf-8"))
        assert set(named) <= has


def test_the_cards_python_runs(monkeypatch):
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    monkeypatch.chdir(ROOT / "exported")
    scope = {"images": images}
    exec(card().split("```python\n")[1].split("```")[0].replace("VERSION", "1"), scope)
    assert scope["endpoints"]["fc"].shape == (4, 1024)
    loaded = tf.saved_model.load(str(FOLDER))(images)
    assert loaded.shape == (4, 64)
    np.testing.assert_allclose(scope["endpoints"]["global"], loaded, rtol=1e-4, atol=1e-5)
    # Noise is none of the images that int8's ranges come from.
    quantized = tflite.runner(FOLDER / "encoder_int8.tflite")(images)["global"]
    cosine = tf.reduce_sum(tf.math.l2_normalize(loaded, 1) * tf.math.l2_normalize(quantized, 1), 1)
    assert tf.reduce_min(cosine) > 0.9


def test_the_card_has_the_accuracies_and_they_are_above_the_papers():
    """Hjelm et al. 2019, table 1: infonce, conv, fc and Y."""
    accuracies = evaluation()["mlp_probe"]
    for endpoint, of_paper in (("conv", 0.7521), ("fc", 0.7557), ("global", 0.6913)):
        assert accuracies[endpoint] > of_paper
        assert f"| mlp_probe | {endpoint} | {100 * accuracies[endpoint]:.1f} % |" in card()
    assert "re-encoding" in card()


@pytest.mark.slow
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set")
def test_the_cards_command_gives_its_neighbours_again(tmp_path):
    command = re.search(r"^python -m dim_tf.main .*", card(), re.MULTILINE).group()
    words = shlex.split(command.replace("dim_cifar10/VERSION", str(FOLDER)))[1:]
    data = ["--nodownload", f"--data_dir={os.environ['TFDS_DATA_DIR']}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words, *data], cwd=tmp_path, env=environment, check=True)
    measured = json.loads((tmp_path / "runs/again/evaluation.json").read_text(encoding="utf-8"))
    for endpoint, accuracy in evaluation()["knn"].items():
        assert measured["knn"][endpoint] == pytest.approx(accuracy, abs=2e-3)

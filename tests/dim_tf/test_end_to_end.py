"""The whole way as a user goes it, in processes of their own."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_export
import tensorflow as tf
from PIL import Image

from dim_tf import data
from dim_tf.collection import embeddings
from dim_tf.export.feature import GLOBAL
from dim_tf.export.version_folders import published_versions
from dim_tf.stages import export as export_stage
from dim_tf.system.errors import InputError
from dim_tf.training import checkpoint_files

pytestmark = pytest.mark.slow

SMALL = [
    "--batch_size=16",
    "--probe_epochs=1",
    "--probe_seeds=1",
    "--name=small",
]


@pytest.fixture(scope="module", autouse=True)
def this_checkout():
    """The processes run in other folders; they import this tree, not an installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


def command(*arguments):
    critic_flags = [] if "--model=generator" in arguments else ["--critic_units=16"]
    return [sys.executable, "-m", "dim_tf.main", *SMALL, *critic_flags, *arguments]


def run(*arguments, cwd):
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, check=False, timeout=900
    )


def entries(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def without_speed(folder):
    return [{k: v for k, v in e.items() if k != "images_per_second"} for e in entries(folder)]


@pytest.fixture(scope="module")
def whole_way(tmp_path_factory):
    """A run of all stages: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    done = run("--steps=8", "--checkpoint_every=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_leaves_the_files_that_the_design_lists(whole_way):
    folder, printed = whole_way
    run_folder = folder / "runs/small"
    for name in ("experiment.json", "evaluation.json", "report.html", "metrics.jsonl"):
        assert (run_folder / name).stat().st_size > 0
    assert list((run_folder / "tensorboard").glob("events*"))
    assert [e["step"] for e in entries(run_folder)] == list(range(1, 9))
    evaluation = json.loads((run_folder / "evaluation.json").read_text())
    chosen = evaluation["feature"]["name"]
    assert set(evaluation["mlp_probe"]) == {"conv", "fc", "global", chosen}
    metadata = json.loads((folder / "exported/small/1/assets/metadata.json").read_text())
    assert metadata["feature"] == evaluation["feature"]
    assert metadata["dimension"] == evaluation["feature"]["dimensions"][chosen]
    assert evaluation["protocol"]["step"] == 8
    for whose in ("encoder", "random_weights", "pixels"):
        assert f"{whose:>14}  linear_probe" in printed
    report = (run_folder / "report.html").read_text()
    assert f"{100 * evaluation['mlp_probe']['conv']:.1f}" in report
    addresses = set(re.findall(r"https?://[^\s\"']*", report))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name of a kind of element: not asked for


def test_saved_model_cli_gives_the_same_features(whole_way, tmp_path):
    folder, _ = whole_way
    export = folder / "exported/small/1"
    pixels = (
        data.load("digits", data.DataRequest()).test.images[:5].repeat(3, -1).astype(np.float32)
        / 255
    )
    np.save(tmp_path / "images.npy", pixels)
    cli = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")
    subprocess.run(
        [cli, "run", "--dir", str(export), "--tag_set", "serve"]
        + ["--signature_def", "serving_default", "--inputs", f"images={tmp_path}/images.npy"]
        + ["--outdir", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    wanted = tf.saved_model.load(str(export))(pixels)
    (written,) = set(tmp_path.glob("*.npy")) - {tmp_path / "images.npy"}
    np.testing.assert_allclose(np.load(written), wanted, rtol=1e-4, atol=1e-5)


def test_stages_run_again_by_themselves(whole_way):
    folder, _ = whole_way
    done = run("--mode=export", "--tflite=none", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "exported/small/2/saved_model.pb").exists()
    assert not (folder / "exported/small/3").exists()


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """A folder of 120 PNG files and one that is cut off."""
    folder = tmp_path_factory.mktemp("digits")
    for number, image in enumerate(data.load("digits", data.DataRequest()).train.images[:120]):
        (folder / f"{number:03d}.png").write_bytes(tf.io.encode_png(image).numpy())
    (folder / "broken.png").write_bytes((folder / "000.png").read_bytes()[:60])
    return folder


def test_embedding_killed_twice_goes_on_to_an_index(whole_way, digit_files):
    folder, _ = whole_way
    out = folder / "embedded"
    newest = f"small/{max(published_versions(folder / 'exported/small'))}"
    flags = ["--mode=embed", f"--embed_input={digit_files}", f"--embed_output={out}"]
    for shards in (2, 5):
        process = subprocess.Popen(
            command(*flags, "--embed_shard=1"),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list(out.glob("*.parquet"))) < shards:
            assert process.poll() is None, "it ended early"
            time.sleep(0.01)
        process.kill()
        process.wait()
    done = run(*flags, "--embed_shard=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "121 images, 1 refused" in done.stdout
    assert "files are there; going on" in done.stdout
    assert json.loads((out / "embeddings.json").read_text())["saved_model"] == f"exported/{newest}"
    ids, features = embeddings.read(out)
    assert ids == [f"{number:03d}.png" for number in range(120)]
    assert (out / "refused-00120.txt").read_text() == "broken.png\n"

    index = ["--tflite=none", f"--neighbours_index={out}", "--neighbours=3"]
    done = run("--mode=export", *index, cwd=folder)
    assert done.returncode == 0, done.stderr
    newest = max((folder / "exported/small").glob("[0-9]*"), key=lambda path: int(path.name))
    loaded = tf.saved_model.load(str(newest))
    pixels = (
        data.load("digits", data.DataRequest()).train.images[:20].repeat(3, -1).astype(np.float32)
        / 255
    )
    np.testing.assert_allclose(loaded(pixels), features[:20], rtol=1e-3, atol=1e-4)
    neighbours = loaded.signatures["neighbours"](images=tf.constant(pixels))
    assert neighbours["similarity"].shape == (20, 3)
    assert [row[0].decode() for row in neighbours["id"].numpy()] == ids[:20]

    other = small_export.small_encoder()
    export = SimpleNamespace(neighbours_index=str(out), neighbours=3)
    with pytest.raises(InputError, match="an encoder of other weights"):
        export_stage._neighbours_index(SimpleNamespace(export=export), other, GLOBAL, None)


def test_everything_on_request(whole_way):
    folder, _ = whole_way
    flags = ["--quantized", "--tflite_endpoints", "--neighbours_index=train", "--license=CC0-1.0"]
    flags += ["--max_pixels=784", "--card_note=Of a test.", "--tflite=none"]
    done = run("--mode=export", "--name=small", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    newest = max((folder / "exported/small").glob("[0-9]*"), key=lambda path: int(path.name))
    loaded = tf.saved_model.load(str(newest))
    signatures = loaded.signatures
    assert {"quantized", "neighbours"} <= set(signatures)
    assert (newest / "encoder_endpoints.tflite").exists()
    assert (newest / "assets/labels.txt").read_text().split() == [str(n) for n in range(10)]
    card = (newest / "README.md").read_text()
    assert "**Licence**: CC0-1.0\n- **Note**: Of a test.\n" in card
    evaluation = json.loads((folder / "runs/small/evaluation.json").read_text())
    accuracy = evaluation["mlp_probe"]["conv"]
    assert f"| mlp_probe | conv | {100 * accuracy:.1f} % |" in card
    large = [tf.io.encode_png(np.zeros((29, 28, 3), np.uint8))]
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
        signatures["serving_bytes"](image_bytes=large)
    assert "scikit-learn" in card
    words = shlex.split(re.search(r"^python -m dim_tf.main .*", card, re.MULTILINE).group())
    arguments = [word.replace("VERSION", newest.name) for word in words[3:]]
    done = run(*arguments, "--data_dir=", cwd=folder / "exported")
    assert done.returncode == 0, done.stderr
    again = json.loads((folder / "exported/runs/again/evaluation.json").read_text())
    assert again["knn"]["global"] == pytest.approx(evaluation["knn"]["global"], abs=2e-3)


def test_figures_of_another_step_are_not_the_exports(whole_way):
    run_folder = SimpleNamespace(run_path=whole_way[0] / "runs/small")
    assert "mlp_probe" in export_stage._evaluation_of(run_folder, 8)
    assert export_stage._evaluation_of(run_folder, 9) == {}


def test_a_changed_experiment_is_refused(whole_way):
    folder, _ = whole_way
    done = run("--estimator=dv", cwd=folder)
    assert done.returncode == 2
    assert "estimator: 'jsd' -> 'dv'" in done.stderr


def test_a_generator_leaves_its_samples(tmp_path):
    flags = ["--model=generator", "--steps=4", "--latent_dim=8"]
    done = run(*flags, "--mode=train,evaluate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "runs/small/report.html").read_text()
    assert "64 generated images" in report


def start_and_wait(folder, steps, *arguments):
    process = subprocess.Popen(
        command(*arguments), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    metrics = folder / "runs/small/metrics.jsonl"
    for _ in range(3000):
        if metrics.exists() and len(metrics.read_text().splitlines()) >= steps:
            return process
        assert process.poll() is None, "the run ended early"
        time.sleep(0.1)
    raise AssertionError("the run took too long")


def test_a_killed_run_goes_on_with_the_same_losses(tmp_path):
    """Killed in mid-epoch (74 steps each), some steps after the last checkpoint."""
    flags = ["--mode=train", "--steps=90", "--checkpoint_every=20", "--augmentation=natural"]
    for folder in ("straight", "killed"):
        (tmp_path / folder).mkdir()
    process = start_and_wait(tmp_path / "killed", 45, *flags)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(entries(tmp_path / "killed/runs/small")) < 90
    for folder in ("straight", "killed"):
        done = run(*flags, cwd=tmp_path / folder)
        assert done.returncode == 0, done.stderr
    straight = without_speed(tmp_path / "straight/runs/small")
    assert [e["step"] for e in straight] == list(range(1, 91))
    assert without_speed(tmp_path / "killed/runs/small") == straight


def test_sigterm_saves_and_ends_with_143(tmp_path):
    process = start_and_wait(tmp_path, 3, "--mode=train", "--steps=500")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    stopped = entries(tmp_path / "runs/small")[-1]["step"]
    newest = checkpoint_files.newest_intact(tmp_path / "runs/small/checkpoints")
    assert newest == (stopped, [])


def test_replicas_train_like_one_device(tmp_path):
    """Adam's first step is the gradient's sign, which roundoff can turn, so later steps drift."""
    metrics = {}
    for count in ("0", "2"):
        folder = tmp_path / count
        folder.mkdir()
        done = run("--mode=train", "--steps=3", f"--replicas={count}", cwd=folder)
        assert done.returncode == 0, done.stderr
        metrics[count] = entries(folder / "runs/small")
    one, two = metrics["0"], metrics["2"]
    assert one[0].keys() == two[0].keys()
    for name in set(one[0]) - {"images_per_second"}:
        assert two[0][name] == pytest.approx(one[0][name], rel=1e-4), name
        if name != "online_probe":  # one answer of 16 more or less is a jump
            assert two[2][name] == pytest.approx(one[2][name], rel=5e-2), name
    exported = run("--mode=export", "--replicas=2", "--tflite=none", cwd=tmp_path / "2")
    assert exported.returncode == 0, exported.stderr


def test_a_folder_of_images_without_labels(tmp_path):
    """Of several formats and sizes, nested; by its defaults, but for the batch and the schedule."""
    rng = np.random.default_rng(0)
    for number in range(90):
        few = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        suffix, side = ("jpg", "png", "webp")[number % 3], 60 + number
        path = tmp_path / "pictures" / str(number // 40) / "deep" / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        few.resize((side, side + 9), Image.Resampling.BICUBIC).save(path)
    (tmp_path / "pictures/0/broken.png").write_bytes(b"")
    flags = [f"--data_dir={tmp_path / 'pictures'}", f"--cache_dir={tmp_path / 'cache'}"]
    flags += ["--batch_size=16", "--schedule=constant"]  # which can be gone on with
    wanted = [*flags, "--dataset=folder", "--steps=3", "--name="]  # its own name
    few = ["--measures=knn,linear,geometry", "--tflite=float32"]
    done = run(*wanted, *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "90 images of the folder pictures" in done.stdout
    assert "resized to 64x64 pixels" in done.stdout
    assert "train: recipe two_views: --views=2 " in done.stdout
    folder = tmp_path / "runs/pictures"
    assert (folder / "bad_images.txt").read_text() == "0/broken.png\tempty file\n"
    assert "online_probe" not in entries(folder)[0]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["protocol"]["linear"] == "left out: needs labels; these images have none"
    assert set(evaluation["uniformity"]) == {"conv", "fc", "global"}
    assert "Nearest neighbours" in (folder / "report.html").read_text()
    assert (tmp_path / "exported/pictures/1/encoder_float32.tflite").exists()
    shutil.rmtree(tmp_path / "cache")
    again = run(*flags, "--dataset=folder", "--steps=4", "--mode=train", "--name=", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "from step 3 to step 4" in again.stdout


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set")
def test_celeb_a_attributes(tmp_path):
    flags = ["--dataset=celeb_a", f"--data_dir={os.environ['TFDS_DATA_DIR']}", "--nodownload"]
    flags += ["--measures=linear,knn", "--noreferences", "--tflite=none", "--steps=3"]
    # Choosing a feature by 40 attributes of more images takes minutes.
    few = "from dim_tf import main; from dim_tf.evaluation import feature_choice"
    few += "; feature_choice.MAX_IMAGES = 500; main.run()"
    words = [sys.executable, "-c", few, *command(*flags)[3:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "runs/small/evaluation.json").read_text())
    assert 0.5 < evaluation["linear_probe_auc"]["fc"] < 1.0
    assert len(evaluation["attributes"]["global"]) == 40
    assert (tmp_path / "exported/small/1/saved_model.pb").exists()

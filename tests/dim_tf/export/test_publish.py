"""A version is published whole and checked, or not at all."""

import itertools
import json
import os
import shutil
import threading
import time
from multiprocessing import Event, Process

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_export import images, small_encoder

import dim_tf
from dim_tf.data.pixel_range import PixelRange
from dim_tf.evaluation import card_metrics
from dim_tf.export import card, publish, saved_model, tflite, verify, version_folders
from dim_tf.system.errors import InputError, RunError

ALL_VARIANTS = tflite.VARIANTS


@pytest.fixture(scope="module", autouse=True)
def few_variants():
    """Each TFLite file takes seconds, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "VARIANTS", (tflite.VARIANTS[0], tflite.VARIANTS[4]))
        yield


@pytest.fixture(scope="module")
def published(few_variants, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "small"
    evaluation = {
        "linear_probe": {"global": 0.75, "fc": None},
        "measures": {"linear_probe": {"unit": "fraction", "better": "higher", "title": "linear"}},
        "cost": {"linear": 3.0},
        "uncertainty": {},
        "references": {"random_weights": {"linear_probe": {"global": 0.5}}},
        "protocol": {"step": 1234},
    }
    info = card.ModelCardInfo(
        training_data="drawn images",
        objective="jsd",
        license="CC0-1.0",
        note="Drawn by <hand>.",
        steps=1234,
        experiment={"seed": 5},
        evaluation=evaluation,
        metrics=card_metrics.render(evaluation),
    )
    options = publish.ExportOptions(
        label_names=("cat", "dog"),
        pixel_range=PixelRange(0, 4095),
        quantized=True,
        tflite_endpoints=True,
    )
    path, difference = publish.publish(small_encoder(), folder, images(), info, options)
    assert difference < 1e-5
    return path


def test_everything_a_team_needs_is_there(published):
    files = {str(p.relative_to(published)) for p in published.rglob("*") if p.is_file()}
    wanted = {
        "README.md",
        "SHA256SUMS",
        "saved_model.pb",
        "variables/variables.index",
        "assets/metadata.json",
        "assets/labels.txt",
        "assets.extra/tf_serving_warmup_requests",
        tflite.ENDPOINTS.file,
        *(variant.file for variant in tflite.VARIANTS),
    }
    assert wanted <= files
    assert published.stat().st_mode & 0o777 == 0o755  # a server may be another user
    serving = {p.name for p in (published.parent.parent / "serving").iterdir()}
    assert serving == {"models.config", "batching.config", "monitoring.config", "compose.yaml"}


def test_a_version_is_as_its_sums_say_until_a_file_changes(published, tmp_path):
    assert not verify.differences(published)
    copied = shutil.copytree(published, tmp_path / "1")
    (copied / tflite.ENDPOINTS.file).unlink()
    assert verify.differences(copied).missing == (tflite.ENDPOINTS.file,)


def test_metadata_name_the_versions_that_exported(published):
    versions = json.loads((published / "assets/metadata.json").read_text())["versions"]
    assert versions["tensorflow"] == tf.__version__
    assert versions["keras"] == keras.__version__
    assert versions["dim_tf"] == dim_tf.__version__


def test_the_card_describes_the_folder(published):
    card = (published / "README.md").read_text()
    for line in ("# small", "drawn images", "CC0-1.0", "1,234 steps", "| `quantized` |"):
        assert line in card
    assert "CC0-1.0\n- **Note**: Drawn by \\<hand\\>.\n\n## Input" in card
    assert "| linear_probe | global | 75.0 % |  | 50.0 % |" in card
    assert "| linear_probe | fc |  |  |" in card
    assert "the values 0 to 4095 become 0 to 255" in card
    for variant in (*tflite.VARIANTS, tflite.ENDPOINTS):
        size = (published / variant.file).stat().st_size / 1e6
        assert f"| `{variant.file}` | {size:.2f} |" in card
    for path in published.rglob("*.tflite"):
        assert path.name in card


def test_the_cards_python_runs(published, monkeypatch):
    """Its lines, with its own paths, from the folder that they are written for."""
    card = (published / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("VERSION", "1")
    monkeypatch.chdir(published.parent.parent)
    scope = {"images": images()}
    exec(code, scope)
    wanted = tf.saved_model.load(str(published))(images())
    np.testing.assert_allclose(scope["features"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scope["layer"](images())["global"], wanted, rtol=1e-4, atol=1e-5)
    assert set(scope["endpoints"]) == {"local", "conv", "fc", "global"}


def test_the_cards_keras_layer_works_under_a_head_that_learns(published, monkeypatch):
    monkeypatch.chdir(published.parent.parent)
    code = (published / "README.md").read_text().split("import keras\n")[1].split("# TFLite")[0]
    scope = {"keras": keras}
    exec(code.replace("VERSION", "1"), scope)
    inputs = keras.Input([8, 8, 3])
    head = keras.layers.Dense(2)
    model = keras.Model(inputs, head(scope["layer"](inputs)["global"]))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = head.kernel.numpy()
    model.fit(images(), np.array([0, 1] * 3), verbose=0)
    assert (head.kernel.numpy() != before).any()


def test_metadata_hold_the_settings_and_the_quantization(published):
    metadata = json.loads((published / "assets/metadata.json").read_text())
    assert metadata["experiment"] == {"seed": 5}
    assert metadata["pixel_range"] == [0, 4095]
    assert metadata["parameters"] == small_encoder().count_params()
    loaded = tf.saved_model.load(str(published))
    stored = loaded.signatures["quantized"](images=tf.constant(images()))["global_bytes"].numpy()
    scale, offset = (np.array(metadata["quantization"][name]) for name in ("scale", "offset"))
    wanted = loaded(images()).numpy()
    assert (np.abs(offset + scale * stored - wanted) <= 0.51 * scale).all()


def test_an_unmeasured_encoder_has_a_card_too(published, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "VARIANTS", ())
    monkeypatch.setattr(saved_model, "check", lambda *_: 0.0)

    def save(encoder, path, options):
        shutil.copytree(published, path, dirs_exist_ok=True)
        signatures = json.loads((path / "assets/metadata.json").read_text())["signatures"]
        return options.metadata | {"signatures": signatures}

    monkeypatch.setattr(saved_model, "save", save)  # the card only reads what it returns
    path, _ = publish.publish(small_encoder(), tmp_path / "small", images())
    card = (path / "README.md").read_text()
    assert "Not measured" in card
    assert "TFLite" not in card
    assert "not stated; ask whoever gave you this folder\n\n## Input" in card
    assert "Note" not in card


def test_versions_count_up(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_write_version", lambda *_: 0.0)  # only folders matter
    encoder = small_encoder()
    for wanted in ("1", "2"):
        path, _ = publish.publish(encoder, tmp_path / "name", images())
        assert path.name == wanted
    (tmp_path / "name" / "10").mkdir()
    (tmp_path / "name" / "notes").mkdir()
    path, _ = publish.publish(encoder, tmp_path / "name", images())
    assert path.name == "11"
    assert version_folders.published_versions(tmp_path / "name") == [1, 2, 10, 11]


def test_two_at_a_time_get_two_versions(tmp_path):
    folders = []
    for number in range(8):
        staging = tmp_path / f".unpublished-{number}"
        staging.mkdir()
        (staging / "saved_model.pb").write_text(str(number))
        folders.append(staging)
    threads = [
        threading.Thread(target=version_folders.rename_to_next, args=(staging, tmp_path))
        for staging in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert version_folders.published_versions(tmp_path) == list(range(1, 9))
    read = {(tmp_path / str(n) / "saved_model.pb").read_text() for n in range(1, 9)}
    assert read == {str(n) for n in range(8)}


def old_versions(folder, count):
    for version in range(1, count + 1):
        (folder / str(version)).mkdir(parents=True)


def test_old_versions_go_when_no_reader_can_be_at_them(tmp_path, monkeypatch):
    old_versions(tmp_path, 5)
    version_folders.remove_old_versions(tmp_path, 0)
    version_folders.remove_old_versions(tmp_path, 2)
    assert version_folders.published_versions(tmp_path) == [
        1,
        2,
        3,
        4,
        5,
    ]  # all were replaced a moment ago
    now = time.time()
    monkeypatch.setattr(
        version_folders.time, "time", lambda: now + version_folders.GRACE_SECONDS + 1
    )
    version_folders.remove_old_versions(tmp_path, 7)
    assert version_folders.published_versions(tmp_path) == [1, 2, 3, 4, 5]
    version_folders.remove_old_versions(tmp_path, 2)
    assert version_folders.published_versions(tmp_path) == [4, 5]
    version_folders.remove_old_versions(tmp_path, 1)
    assert version_folders.published_versions(tmp_path) == [5]
    assert [p.name for p in tmp_path.iterdir()] == ["5"]


def test_what_a_stopped_run_left_half_deleted_goes_too(tmp_path):
    old_versions(tmp_path, 2)
    (tmp_path / ".removed-0" / "variables").mkdir(parents=True)
    version_folders.remove_old_versions(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_two_runs_may_remove_old_versions(tmp_path, monkeypatch):
    """Another run has just removed what this one has listed."""
    old_versions(tmp_path, 5)
    listed = version_folders.published_versions(tmp_path)
    for version in (1, 2, 3):
        (tmp_path / str(version)).rmdir()
    now = time.time()
    monkeypatch.setattr(
        version_folders.time, "time", lambda: now + version_folders.GRACE_SECONDS + 1
    )
    monkeypatch.setattr(version_folders, "published_versions", lambda _: listed)
    version_folders.remove_old_versions(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["5"]


@pytest.mark.slow
def test_int8_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "VARIANTS", ALL_VARIANTS)
    options = publish.ExportOptions(tflite=("int8",))
    path, _ = publish.publish(small_encoder(), tmp_path / "small", images(), options=options)
    assert [file.name for file in path.glob("*.tflite")] == ["encoder_int8.tflite"]
    text = (path / "README.md").read_text()
    assert "float32_batch1" not in text
    assert f"come from {len(images())} images" in text
    code = text.split("```python\n")[1].split("```")[0].replace("VERSION", "1")
    monkeypatch.chdir(tmp_path)
    scope = {"images": images()}
    exec(code, scope)
    wanted = tf.saved_model.load(str(path))(images()).numpy()
    lost = 1 - np.sum(scope["features"] * wanted, 1) / (
        np.linalg.norm(scope["features"], axis=1) * np.linalg.norm(wanted, axis=1)
    )
    assert lost.mean() < tflite.MAX_COSINE_LOSS["int8"]


def test_a_wrong_export_is_not_published(published, tmp_path, monkeypatch):
    """Not even one that was right a moment ago."""
    encoder = small_encoder()

    def copied(encoder, path, options):
        shutil.copytree(published, path, dirs_exist_ok=True)

    monkeypatch.setattr(saved_model, "save", copied)
    monkeypatch.setattr(tflite, "VARIANTS", ())  # which are checked too
    (tmp_path / "1").mkdir()
    right = saved_model.keras_endpoints(encoder, images())
    wrong = right | {"global": right["global"] + 0.01}
    monkeypatch.setattr(saved_model, "keras_endpoints", lambda *_: wrong)
    with pytest.raises(RunError, match="nothing was published"):
        publish.publish(encoder, tmp_path, images())
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


def test_what_a_killed_export_left_goes_and_what_another_writes_stays(tmp_path):
    (tmp_path / ".unpublished-killed" / "variables").mkdir(parents=True)
    with (
        version_folders.staging_folder(tmp_path) as first,
        version_folders.staging_folder(tmp_path) as second,
    ):
        assert set(tmp_path.iterdir()) == {first, second}
        os.rename(second, tmp_path / "1")
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


def test_an_export_that_fails_leaves_no_empty_folder(tmp_path):
    (tmp_path / "old" / "1").mkdir(parents=True)
    for name in ("old", "new"):
        with pytest.raises(RunError), version_folders.staging_folder(tmp_path / name):
            raise RunError("TFLite cannot")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["old", "old/1"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another --export_dir"):
        publish.publish(small_encoder(), tmp_path / "file" / "name", images())


def test_an_encoder_serves_images_of_its_own_size(tmp_path):
    options = publish.ExportOptions(max_pixels=63)
    with pytest.raises(InputError, match=r"--max_pixels=63 .* give at least 64"):
        publish.publish(small_encoder(), tmp_path, images(), options=options)
    assert not list(tmp_path.iterdir())


def publish_again(model, folder, stop):
    """Publishes a finished SavedModel, as fast as it can be copied, until `stop` is set."""
    for number in itertools.count():
        staging = folder / f".unpublished-{number}"
        shutil.copytree(model, staging)
        version_folders.rename_to_next(staging, folder)
        version_folders.remove_old_versions(folder, 3)
        if stop.is_set():
            return
        time.sleep(0.05)


@pytest.mark.slow
def test_a_reader_of_the_newest_never_meets_half_a_version(published, tmp_path):
    """Versions are published under a reader that loads the newest until it has met 10 of them."""
    folder = tmp_path / "small"
    folder.mkdir()
    stop = Event()
    stop.set()
    publish_again(published, folder, stop)  # one
    stop.clear()
    writer = Process(target=publish_again, args=(published, folder, stop))
    writer.start()
    wanted = tf.saved_model.load(str(published))(images()).numpy()
    loaded = set()
    try:
        while len(loaded) < 10 and writer.is_alive():
            newest = version_folders.published_versions(folder)[-1]
            model = tf.saved_model.load(str(folder / str(newest)))
            np.testing.assert_array_equal(model(images()), wanted)
            loaded.add(newest)
    finally:
        stop.set()
        writer.join()
    assert writer.exitcode == 0
    assert len(loaded) == 10
    versions = version_folders.published_versions(folder)
    assert versions == list(range(1, len(versions) + 1))
    assert not [name for name in os.listdir(folder) if name.startswith(".")]

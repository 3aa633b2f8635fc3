"""SIGTERM and SIGINT in every stage: 143, nothing half written, and the next call completes."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import fault_injection as faults
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf.collection import embeddings

pytestmark = pytest.mark.long

MOMENTS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    faults.run_to_success(folder, *faults.TRAIN, "--steps=20")
    faults.run_to_success(folder, *faults.EXPORT)
    images = folder / "images"
    images.mkdir()
    for number, image in enumerate(data.load("digits", data.DataRequest()).train.images[:200]):
        (images / f"{number:03d}.png").write_bytes(tf.io.encode_png(image).numpy())
    return folder


def stopped_times(folder, seconds, *arguments, line=faults.DATA_LINE):
    """Signals a run at random moments after a line; how it ended, and how long each took to end."""
    records = []
    for n in range(MOMENTS):
        moment = random.Random(n).uniform(0, seconds)
        number = (signal.SIGTERM, signal.SIGINT)[n % 2]
        process = faults.start(folder, *arguments)
        faults.wait_for(process, folder, line)
        time.sleep(moment)
        began = time.monotonic()
        process.send_signal(number)
        status = process.wait(timeout=faults.END_SECONDS)
        took = time.monotonic() - began
        printed = (folder / "printed.txt").read_text()
        assert status == 143, (folder / "errors.txt").read_text()[-3000:]
        assert "stopped" in printed
        assert "Traceback" not in (folder / "errors.txt").read_text()
        records.append({"seconds": round(moment, 2), "ended_after": round(took, 2)})
    return records


def catches_sigterm(pid):
    """Whether the program has begun; before, a signal ends Python itself."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("SigCgt:")
    ]
    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_before_anything_is_there(tmp_path):
    """While TensorFlow is imported."""
    records = []
    for n in range(MOMENTS):
        process = faults.start(tmp_path, *faults.TRAIN)
        while not catches_sigterm(process.pid):
            time.sleep(0.005)
        moment = random.Random(n).uniform(0, 3)
        time.sleep(moment)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=faults.END_SECONDS) == 143
        records.append({"seconds": round(moment, 2)})
        assert not faults.leftovers(tmp_path)
    faults.record_fault("SIGTERM while TensorFlow is imported", signals=records, status=143)


def test_training(tmp_path):
    arguments = [*faults.TRAIN, "--checkpoint_every=1000"]
    before = stopped_times(tmp_path / "run", 0.5, *arguments)  # while the model is made
    records = stopped_times(tmp_path / "run", 2, *arguments, line="train: ")
    step = faults.newest_step(tmp_path / "run")
    assert faults.losses(tmp_path / "run")[-1]["step"] == step
    for folder in ("run", "straight"):
        faults.run_to_success(tmp_path / folder, *arguments)
    assert faults.losses(tmp_path / "run") == faults.losses(tmp_path / "straight")
    assert faults.leftovers(tmp_path) == []
    faults.record_fault(
        "signals in training", signals=before + records, status=143, losses="as undisturbed"
    )


def test_evaluation(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    seconds = faults.run_timed(folder, *faults.EVALUATE)
    before = faults.files_of(faults.run_folder(folder))
    wanted = faults.metrics(folder)
    records = stopped_times(folder, 0.7 * seconds, *faults.EVALUATE)
    assert faults.files_of(faults.run_folder(folder)) == before
    faults.run_to_success(folder, *faults.EVALUATE)
    assert faults.metrics(folder) == wanted
    faults.record_fault(
        "signals in evaluation", signals=records, status=143, figures="as undisturbed"
    )


def test_export(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    seconds = faults.run_timed(folder, *faults.EXPORT)
    before = faults.files_of(folder / "exported")
    records = stopped_times(folder, 0.7 * seconds, *faults.EXPORT)
    assert faults.files_of(folder / "exported") == before
    assert faults.leftovers(folder) == []
    faults.run_to_success(folder, *faults.EXPORT)
    assert (folder / "exported/small/3/saved_model.pb").exists()
    faults.record_fault("signals in export", signals=records, status=143, versions="as before")


def test_embedding(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    arguments = ["--mode=embed", "--embed_input=images", "--embed_output=out", "--embed_shard=1"]
    records = []
    for files, number in ((3, signal.SIGTERM), (40, signal.SIGINT)):
        process = faults.start(folder, *arguments)
        while len(list((folder / "out").glob("*.parquet"))) < files:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait(timeout=faults.END_SECONDS) == 143
        assert faults.leftovers(folder) == []
        records.append({"files": len(list((folder / "out").glob("*.parquet")))})
    faults.run_to_success(folder, *arguments)
    assert embeddings.read(folder / "out")[0] == sorted(os.listdir(folder / "images"))
    faults.record_fault(
        "signals in embedding", signals=records, status=143, embeddings="each id once"
    )

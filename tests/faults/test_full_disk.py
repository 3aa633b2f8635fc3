"""A small file system that is full: one line, what was there is whole, and with room it goes on."""

import os
import shutil
import subprocess

import fault_injection as faults
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf.collection import embeddings

pytestmark = pytest.mark.long

MIB = 2**20
SHORT = [*faults.TRAIN, "--steps=40"]


class Disk:
    """A file system of its own, of a size that can be changed."""

    def __init__(self, folder, mib):
        self.folder = folder
        self._mount(f"size={round(mib * MIB)}")

    def resize(self, mib):
        self._mount(f"remount,size={round(mib * MIB)}")

    def leave(self, size):
        """Fills it up to `size` bytes."""
        free = shutil.disk_usage(self.folder).free
        (self.folder / "filler").write_bytes(bytes(free - size))

    def make_room(self):
        (self.folder / "filler").unlink()

    def unmount(self):
        subprocess.run(["umount", str(self.folder)], check=True)

    def _mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    small_disk = Disk(folder, 400)
    yield small_disk
    small_disk.unmount()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "run"
    faults.run_to_success(folder, *SHORT)
    return folder


def failed(folder, *arguments, says):
    status, _, errors = faults.run(folder, *arguments)
    error = faults.error_line(errors)
    assert status == 1, error
    assert says in error
    assert "could not be written" in error
    assert "MiB are free" in error
    return error


def test_checkpoint(disk, straight, tmp_path):
    folder = tmp_path / "run"
    flags = [*SHORT, f"--run_dir={disk.folder}/small"]
    files = (straight / "runs/small/checkpoints").glob("ckpt-40*")
    size = sum(file.stat().st_size for file in files) / MIB
    disk.resize(2.5 * size)  # two are kept, there is no room for a third
    error = failed(folder, *flags, says="the checkpoint of step 30")
    assert "ckpt-20, is intact" in error
    assert faults.leftovers(disk.folder) == []
    disk.resize(4 * size)
    printed = faults.run_to_success(folder, *flags)
    assert "from step 20 to step 40" in printed
    (folder / "runs").symlink_to(disk.folder)
    assert faults.losses(folder) == faults.losses(straight)
    faults.record_fault("full disk, checkpoint", error=error, losses="as undisturbed")


def test_metrics(disk, straight, tmp_path):
    folder = tmp_path / "run"
    flags = [*SHORT, f"--run_dir={disk.folder}/small", "--checkpoint_every=1000"]
    faults.run_to_success(folder, *flags, "--steps=3")
    disk.leave(12 * 1024)
    error = failed(folder, *flags, says=" of step ")  # metrics.jsonl or TensorBoard's events
    disk.make_room()
    printed = faults.run_to_success(folder, *flags)
    assert "from step 3 to step 40" in printed
    (folder / "runs").symlink_to(disk.folder)
    assert faults.losses(folder) == faults.losses(straight)
    faults.record_fault("full disk, metrics", error=error, losses="as undisturbed")


@pytest.mark.parametrize(("left", "says"), [(8, "evaluation.json"), (128, "report.html")])
def test_evaluation(disk, straight, tmp_path, left, says):
    folder = tmp_path / "run"
    shutil.copytree(straight / "runs/small", disk.folder / "small")
    flags = [*faults.EVALUATE, f"--run_dir={disk.folder}/small"]
    flags = [flag.replace(",projection", "") for flag in flags]  # TensorBoard's files come between
    faults.run_to_success(folder, *flags)
    before = faults.files_of(disk.folder / "small")
    disk.leave(left * 1024)
    error = failed(folder, *flags, "--probe_learning_rate=1e-3", says=says)
    after = faults.files_of(disk.folder / "small")
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed <= {"evaluation.json"}  # which is whole, where the report has no room
    assert before.keys() == after.keys()
    disk.make_room()
    faults.run_to_success(folder, *flags)
    faults.record_fault(f"full disk, {says}", error=error, files_before="whole")


def test_export(disk, straight, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    flags = [*faults.EXPORT, f"--export_dir={disk.folder}"]
    faults.run_to_success(folder, *flags)
    before = faults.files_of(disk.folder)
    size = sum(len(content) for content in before.values())
    errors = []
    for fraction in (0.1, 0.5, 0.9):
        disk.leave(round(fraction * size))
        errors.append(failed(folder, *flags, says=f"the export to {disk.folder}/small"))
        disk.make_room()
        assert faults.files_of(disk.folder) == before
        assert faults.leftovers(disk.folder) == []
    faults.run_to_success(folder, *flags)
    assert (disk.folder / "small/2/saved_model.pb").exists()
    faults.record_fault("full disk, export", errors=errors, versions_before="whole")


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_embedding(disk, straight, tmp_path, format):
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    faults.run_to_success(folder, *faults.EXPORT)
    images = folder / "images"
    images.mkdir()
    for number, image in enumerate(data.load("digits", data.DataRequest()).train.images[:600]):
        (images / f"{number:03d}.png").write_bytes(tf.io.encode_png(image).numpy())
    flags = ["--mode=embed", "--embed_input=images", f"--embed_output={disk.folder}/out"]
    flags += ["--embed_shard=200", f"--embed_format={format}"]
    disk.leave(130 * 1024)  # a file of 200 embeddings takes about 55 KiB
    error = failed(folder, *flags, says=f"{disk.folder}/out/embeddings-0000")
    there = faults.files_of(disk.folder / "out")
    assert "embeddings-00000." + format in there
    assert faults.leftovers(disk.folder) == []
    disk.make_room()
    faults.run_to_success(folder, *flags)
    after = faults.files_of(disk.folder / "out")
    assert all(after[name] == there[name] for name in there if name != "embeddings.json")
    assert embeddings.read(disk.folder / "out")[0] == sorted(os.listdir(images))
    faults.record_fault(f"full disk, embeddings as {format}", error=error, files_before="whole")

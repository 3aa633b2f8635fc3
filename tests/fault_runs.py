"""A tiny experiment that is disturbed, in processes of their own, and the record of how it went."""

import datetime
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf import data, metrics_file
from dim_tf.export.version_folders import published
from dim_tf.training import checkpoint_files

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs/results/faults.json"
COMMAND = "python -m pytest -m long tests/faults"
SMALL = ["--name=small", "--batch_size=16", "--critic_units=16", "--augment=crop_flip"]
SMALL += ["--probe_epochs=1", "--probe_seeds=1"]
TRAIN = ["--mode=train", "--steps=160", "--checkpoint_every=10"]
EVALUATE = ["--mode=evaluate", "--measures=knn,linear,clusters,projection"]
EXPORT = ["--mode=export"]
DATA_LINE = "data: "  # what a run prints when TensorFlow is imported and the images are there
END_SECONDS = 60  # within which a signal ends a run, on a busy machine


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Starts the program in `folder`; what it prints goes to printed.txt and errors.txt there."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (
        open(folder / "printed.txt", "w") as printed,
        open(folder / "errors.txt", "w") as errors,
    ):
        return subprocess.Popen(
            [sys.executable, "-m", "dim_tf.main", *SMALL, *arguments],
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=errors,
        )


def wait_for(process: subprocess.Popen, folder: Path, text: str) -> None:
    """Waits until the program has printed it."""
    while text not in (folder / "printed.txt").read_text():
        assert process.poll() is None, (folder / "errors.txt").read_text()[-3000:]
        time.sleep(0.005)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the program to its end; its exit status, what it printed, and its errors."""
    process = start(folder, *arguments)
    process.wait(timeout=600)
    return process.returncode, *(
        (folder / name).read_text() for name in ("printed.txt", "errors.txt")
    )


def complete(folder: Path, *arguments: str) -> str:
    """Runs the program, which must succeed; what it printed."""
    status, printed, errors = run(folder, *arguments)
    assert status == 0, errors[-3000:]
    return printed


def timed(folder: Path, *arguments: str) -> float:
    """Runs the program, which must succeed; seconds after its images were there."""
    process = start(folder, *arguments)
    wait_for(process, folder, DATA_LINE)
    began = time.monotonic()
    assert process.wait(timeout=600) == 0, (folder / "errors.txt").read_text()[-3000:]
    return time.monotonic() - began


def signalled(folder: Path, number: int, seconds: float, *arguments: str) -> int:
    """Starts the program and signals it so long after its images are there; its exit status."""
    process = start(folder, *arguments)
    wait_for(process, folder, DATA_LINE)
    time.sleep(seconds)
    process.send_signal(number)
    return process.wait(timeout=END_SECONDS)


def the_error(errors: str) -> str:
    """The one line that says what failed; there must be one and no traceback."""
    assert "Traceback" not in errors, errors[-3000:]
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors[-3000:]
    return lines[0]


def run_folder(folder: Path) -> Path:
    return folder / "runs/small"


def losses(folder: Path) -> list[dict]:
    """metrics.jsonl without the speed."""
    entries = metrics_file.read(run_folder(folder) / "metrics.jsonl")
    assert [entry["step"] for entry in entries] == list(range(1, len(entries) + 1))
    return [{k: v for k, v in entry.items() if k != "images_per_second"} for entry in entries]


def figures(folder: Path) -> dict:
    """evaluation.json without what depends on the speed."""
    found = json.loads((run_folder(folder) / "evaluation.json").read_text())
    return {name: value for name, value in found.items() if name not in ("cost", "sha256")}


def newest_step(folder: Path) -> int:
    """Of the good checkpoints."""
    return checkpoint_files.newest_good(run_folder(folder) / "checkpoints").step


def leftovers(folder: Path) -> list[Path]:
    """Temporary files, and locks."""
    patterns = (".*.tmp", ".unpublished-*", ".lock")
    return [path for pattern in patterns for path in folder.rglob(pattern)]


def features(folder: Path) -> list[np.ndarray]:
    """Those that each published version gives of the same images."""
    exported = folder / "exported/small"
    pixels = data.load("digits", data.Request()).test.images[:8].repeat(3, -1)
    images = tf.constant(pixels.astype(np.float32) / 255)
    return [
        tf.saved_model.load(str(exported / str(version)))(images).numpy()
        for version in published(exported)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Name → content, of everything in a folder but the events of TensorBoard."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tfevents" not in path.name
    }


def note(fault: str, **found) -> None:
    """Writes how a fault went into docs/results/faults.json, beside the others."""
    with open(RESULT.parent / "objectives.json") as lock:  # two processes may run the tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(RESULT.read_text())["faults"] if RESULT.exists() else {}
        known[fault] = {"date": datetime.date.today().isoformat(), **found}
        told = {"command": COMMAND, "faults": dict(sorted(known.items()))}
        text = re.sub(r"/[^ ]*/test_[^/ ]*/", "", json.dumps(told, indent=1))
        RESULT.write_text(text + "\n")

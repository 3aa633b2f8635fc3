"""A tiny experiment in processes that faults are injected into, and a record of the outcomes."""

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

from dim_tf import data
from dim_tf.export.version_folders import published_versions
from dim_tf.training import checkpoint_files, metrics_file

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs/results/faults.json"
COMMAND = "python -m pytest -m long tests/faults"
SMALL = ["--name=small", "--batch_size=16", "--critic_units=16", "--augmentation=natural"]
SMALL += ["--probe_epochs=1", "--probe_seeds=1"]
TRAIN = ["--mode=train", "--steps=160", "--checkpoint_every=10"]
EVALUATE = ["--mode=evaluate", "--measures=knn,linear,clusters,projection"]
EXPORT = ["--mode=export"]
DATA_LINE = "data: "  # printed once TensorFlow is imported and the images are loaded
END_SECONDS = 60  # within which a signal ends a run, on a busy machine


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Starts the program in `folder`; its output goes to printed.txt and errors.txt there."""
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
    """Runs the program to its end; returns its exit status, output and errors."""
    process = start(folder, *arguments)
    process.wait(timeout=600)
    return process.returncode, *(
        (folder / name).read_text() for name in ("printed.txt", "errors.txt")
    )


def run_to_success(folder: Path, *arguments: str) -> str:
    """Runs the program, which must succeed; returns its output."""
    status, printed, errors = run(folder, *arguments)
    assert status == 0, errors[-3000:]
    return printed


def run_timed(folder: Path, *arguments: str) -> float:
    """Runs the program, which must succeed; returns the seconds after its images were loaded."""
    process = start(folder, *arguments)
    wait_for(process, folder, DATA_LINE)
    began = time.monotonic()
    assert process.wait(timeout=600) == 0, (folder / "errors.txt").read_text()[-3000:]
    return time.monotonic() - began


def run_and_signal(folder: Path, number: int, seconds: float, *arguments: str) -> int:
    """Signals the program some seconds after its images are loaded; returns its exit status."""
    process = start(folder, *arguments)
    wait_for(process, folder, DATA_LINE)
    time.sleep(seconds)
    process.send_signal(number)
    return process.wait(timeout=END_SECONDS)


def error_line(errors: str) -> str:
    """The one line that says what failed; fails if there is none, or a traceback."""
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


def metrics(folder: Path) -> dict:
    """evaluation.json without the entries that depend on the speed."""
    evaluation = json.loads((run_folder(folder) / "evaluation.json").read_text())
    return {name: value for name, value in evaluation.items() if name not in ("cost", "sha256")}


def newest_step(folder: Path) -> int:
    """Step of the newest valid checkpoint."""
    return checkpoint_files.newest_intact(run_folder(folder) / "checkpoints").step


def leftovers(folder: Path) -> list[Path]:
    """Temporary files, and locks."""
    patterns = (".*.tmp", ".unpublished-*", ".lock")
    return [path for pattern in patterns for path in folder.rglob(pattern)]


def features(folder: Path) -> list[np.ndarray]:
    """The features that each published version computes for the same images."""
    exported = folder / "exported/small"
    pixels = data.load("digits", data.DataRequest()).test.images[:8].repeat(3, -1)
    images = tf.constant(pixels.astype(np.float32) / 255)
    return [
        tf.saved_model.load(str(exported / str(version)))(images).numpy()
        for version in published_versions(exported)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Content by name of all files in a folder, without TensorBoard's events."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tfevents" not in path.name
    }


def record_fault(fault: str, **outcome) -> None:
    """Adds the outcome of a fault to docs/results/faults.json."""
    with open(RESULT.parent / "objectives.json") as lock:  # two processes may run the tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        faults = json.loads(RESULT.read_text())["faults"] if RESULT.exists() else {}
        faults[fault] = {"date": datetime.date.today().isoformat(), **outcome}
        content = {"command": COMMAND, "faults": dict(sorted(faults.items()))}
        text = re.sub(r"/[^ ]*/test_[^/ ]*/", "", json.dumps(content, indent=1))
        RESULT.write_text(text + "\n")

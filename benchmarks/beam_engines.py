"""Embeds images on the distributed engines of Apache Beam; checks ids and features.

    python benchmarks/beam_engines.py --encoder_path=exported/cifar10/1 --images=60000 --kill

Writes a folder of small JPEGs (benchmarks/folder_speed.py) and one file that is no image, or takes
the folder --data_dir. Embeds it by one process (FnApiRunner), which is the reference, then by
--engine with each number of --workers. With --kill it does so once more with the largest number,
and sends SIGKILL to one worker after --kill_after files of embeddings; if the pipeline fails, the
same command is run again, on new workers.

Engines:

    dask     DaskRunner; `dask scheduler` and `dask worker` are processes of their own, each worker
             bound to one core, as if it were a machine with one
    local    DaskRunner without an address: it starts worker processes itself
    multi    FnApiRunner, multi_processing: the direct runner's own worker processes

Prints, for each run: the statuses of its commands, whether each id is there once, the largest
difference of a feature relative to the largest feature, images/s and the largest resident memory of
the command and of a worker. images/s is taken between the first and the last file of embeddings, so
that the start of processes and the loading of TensorFlow do not count. It leaves out the first
file's images, though other workers had begun on theirs: have many files (--shard_size).
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from folder_speed import write_images

ROOT = Path(__file__).parents[1]
POLL = 0.2  # seconds between looks at files and processes
MULTI_WORKER = "apache_beam.runners.worker.sdk_worker_main"  # in its command line
LOCAL_WORKER = "multiprocessing.spawn"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "warning"}


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        statuses: of the command, each time it ran.
        ids: of its rows, in order.
        features: float32 [N, D].
        images_per_second: between the first file and the last one; nan after a kill.
        command_bytes: largest resident memory of the process that starts the pipeline.
        worker_bytes: of a worker.
        killed: the process id of the worker that was killed, or 0.
    """

    statuses: list[int]
    ids: list[str]
    features: np.ndarray
    images_per_second: float
    command_bytes: int
    worker_bytes: int
    killed: int


class Watch:
    """Follows processes while a pipeline runs: their memory, and which one to kill."""

    def __init__(
        self, command: int, workers: Callable[[], list[int]], kill_after: int, output: Path
    ):
        self.command, self.workers = command, workers
        self.kill_after, self.output = kill_after, output
        self.command_bytes = self.worker_bytes = self.killed = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self._thread.join()

    def _follow(self):
        while not self._done.wait(POLL):
            workers = self.workers()
            self.command_bytes = max(self.command_bytes, peak_bytes(self.command))
            self.worker_bytes = max([self.worker_bytes, *map(peak_bytes, workers)])
            written = len(list(self.output.glob("out-*.parquet")))
            if self.kill_after and not self.killed and written >= self.kill_after and workers:
                self.killed = workers[-1]
                os.kill(self.killed, signal.SIGKILL)


def peak_bytes(process: int) -> int:
    """The largest resident memory that a process had; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def descendants(process: int, pattern: str) -> list[int]:
    """The processes below a process whose command line has a text."""
    below = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                below += [child] if pattern in line else []
                below += descendants(child, pattern)
    return below


@dataclass(frozen=True)
class Cluster:
    """The runner's flags for a cluster, and what lists the process ids of its living workers."""

    flags: list[str]
    workers: Callable[[], list[int]]


@contextlib.contextmanager
def dask_cluster(workers: int, folder: Path):
    """Yields a cluster whose scheduler and workers are processes of this machine."""
    import distributed

    address = folder / "scheduler.json"
    cores = sorted(os.sched_getaffinity(0))
    log = (folder / "dask.log").open("a")

    def start(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(address)]
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)

    processes = [start("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")]
    try:
        while not address.exists():
            time.sleep(POLL)
        for number in range(workers):
            flags = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", str(number)]
            flags += ["--local-directory", str(folder), "--host", "127.0.0.1"]
            processes.append(start("worker", *flags))
            os.sched_setaffinity(processes[-1].pid, {cores[number % len(cores)]})
        with distributed.Client(scheduler_file=str(address)) as client:
            client.wait_for_workers(workers, timeout=300)
        yield Cluster(
            ["--runner=DaskRunner", f"--dask_scheduler_file={address}"],
            lambda: [one.pid for one in processes[1:] if one.poll() is None],
        )
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()
        address.unlink(missing_ok=True)


def embed(flags, engine: str, workers: int, folder: Path, kill_after: int = 0) -> Result:
    """Runs the pipeline in a process of its own, twice if it failed after a kill."""
    folder.mkdir()
    status, watch = run_command(flags, engine, workers, folder, kill_after)
    statuses, watches = [status], [watch]
    if status and watch.killed:
        status, watch = run_command(flags, engine, workers, folder, 0)
        statuses, watches = [*statuses, status], [*watches, watch]
    if status:
        raise SystemExit((folder / "command.log").read_text()[-3000:])
    ids, features, rate = read(folder)
    return Result(
        statuses,
        ids,
        features,
        np.nan if kill_after else rate,
        max(watch.command_bytes for watch in watches),
        max(watch.worker_bytes for watch in watches),
        watches[0].killed,
    )


def run_command(
    flags, engine: str, workers: int, folder: Path, kill_after: int
) -> tuple[int, Watch]:
    """Runs the command to its end, or to --timeout; its status, and what was seen."""
    log = folder / "command.log"
    options = {
        "reference": ["--runner=FnApiRunner"],
        "local": ["--runner=DaskRunner"],
        "multi": [
            *("--runner=FnApiRunner", "--direct_running_mode=multi_processing"),
            f"--direct_num_workers={workers}",
        ],
    }
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(dask_cluster(workers, folder)) if engine == "dask" else None
        command = [sys.executable, "-m", "dim_tf.collection.beam"]
        command += cluster.flags if cluster else options[engine]
        command += [f"--encoder_path={flags.encoder_path}", f"--input={flags.data_dir}/**"]
        command += [f"--output={folder}/out", f"--shard_size={flags.shard_size}"]
        output = stack.enter_context(log.open("a"))
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=output, stderr=output, start_new_session=True
        )
        pattern = MULTI_WORKER if engine == "multi" else LOCAL_WORKER
        listed = cluster.workers if cluster else lambda: descendants(process.pid, pattern)
        watch = stack.enter_context(Watch(process.pid, listed, kill_after, folder))
        try:
            status = process.wait(flags.timeout)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):  # its workers, too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return status, watch


def read(folder: Path) -> tuple[list[str], np.ndarray, float]:
    """The ids in order, their features [N, D], and images/s after the first file."""
    files = sorted(folder.glob("out-*.parquet"), key=lambda file: file.stat().st_mtime)
    tables = [pq.read_table(file) for file in files]
    filled = [table["embedding"].to_pylist() for table in tables if len(table)]
    ids = [image_id for table in tables for image_id in table["id"].to_pylist()]
    features = np.concatenate([np.array(rows, np.float32) for rows in filled])
    order = np.argsort(ids, kind="stable")
    seconds = files[-1].stat().st_mtime - files[0].stat().st_mtime
    rate = (len(ids) - len(tables[0])) / seconds if seconds else np.nan
    return [ids[i] for i in order], features[order], rate


def compare(result: Result, reference: Result) -> float:
    """The largest difference of a feature, relative to the largest feature.

    Raises:
        SystemExit: an id is missing, or there twice.
    """
    if len(set(result.ids)) < len(result.ids):
        raise SystemExit(f"{len(result.ids) - len(set(result.ids))} ids are there twice")
    if result.ids != reference.ids:
        raise SystemExit(f"{len(set(reference.ids) ^ set(result.ids))} ids are missing or unknown")
    largest = np.abs(reference.features).max()
    return float(np.abs(result.features - reference.features).max() / largest)


def main(arguments: list[str] | None = None) -> list[tuple[str, int, Result, float]]:
    """The runs: engine, workers, result, largest difference."""
    parser = argparse.ArgumentParser(description="Embeds images on engines of Apache Beam.")
    add = parser.add_argument
    add("--encoder_path", required=True, help="an exported encoder: exported/<name>/<version>")
    add("--data_dir", default="", help="a folder of images; default: --images are drawn")
    add("--images", type=int, default=300, help="how many to draw")
    add("--side", type=int, default=32, help="their size in pixels")
    add("--shard_size", type=int, default=0, help="images a file; default: a 60th of them")
    add("--engine", nargs="+", default=["dask"], choices=["dask", "local", "multi"])
    add("--workers", type=int, nargs="*", default=[1, 2], help="of each engine but local")
    add("--kill", action="store_true", help="kill a worker, too")
    add("--timeout", type=float, default=7200, help="seconds until a command counts as failed")
    add("--kill_after", type=int, default=3, help="files of embeddings until then")
    flags = parser.parse_args(arguments)
    flags.encoder_path = Path(flags.encoder_path).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        drawn = not flags.data_dir
        if drawn:
            flags.data_dir = folder / "images"
            flags.data_dir.mkdir()
            write_images(flags.data_dir, flags.images, flags.side)
            (flags.data_dir / "broken.jpg").write_bytes(b"no image")
        flags.data_dir = Path(flags.data_dir).resolve()
        if not flags.shard_size:
            count = sum(path.is_file() for path in flags.data_dir.rglob("*"))
            flags.shard_size = max(count // 60, 1)
        reference = embed(flags, "reference", 1, folder / "reference")
        if drawn and len(set(reference.ids)) != flags.images:
            raise SystemExit(f"one process embedded {len(set(reference.ids))} of {flags.images}")
        runs = [("reference", 1, reference, 0.0)]
        print("engine workers killed statuses ids difference images/s command_MB worker_MB")
        report(*runs[0])
        for engine in flags.engine:
            numbers = [os.cpu_count() or 1] if engine == "local" else flags.workers
            counts = [(number, 0) for number in numbers]
            counts += [(max(numbers, default=2), flags.kill_after)] if flags.kill else []
            for number, kill_after in counts:
                to = folder / f"{engine}{number}{'killed' if kill_after else ''}"
                result = embed(flags, engine, number, to, kill_after)
                if kill_after and not result.killed:
                    raise SystemExit("no worker was killed: the images were done too soon")
                runs.append((engine, number, result, compare(result, reference)))
                report(*runs[-1])
    return runs


def report(engine: str, workers: int, result: Result, difference: float) -> None:
    """Prints a run as a line."""
    print(
        f"{engine:9} {workers:7} {'yes' if result.killed else 'no':6} {result.statuses!s:8} "
        f"{len(result.ids):,} {difference:.1e} {result.images_per_second:,.0f} "
        f"{result.command_bytes / 1e6:,.0f} {result.worker_bytes / 1e6:,.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()

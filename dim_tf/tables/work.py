"""Runs the rows of a table, each in processes of its own, row by row."""

import ctypes
import json
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dim_tf import metrics_file
from dim_tf.console import say
from dim_tf.ending import Signals
from dim_tf.errors import InputError, RunError, one_line
from dim_tf.evaluation.report import results
from dim_tf.evaluation.report.values import is_number
from dim_tf.experiment import Experiment, default_of
from dim_tf.files import open_to_append, open_to_read, read_checked, read_json, replace_text
from dim_tf.registry import MEASURES
from dim_tf.tables import records
from dim_tf.tables.claims import Claim, ClaimLost, Claims
from dim_tf.tables.plan import PATHS, Job, Plan, as_flags, identity, without_folders
from dim_tf.tables.records import Record
from dim_tf.versions import commit, versions

PROGRAM = (sys.executable, "-m", "dim_tf.main")
POLL_SECONDS = 0.2
_STAGES = ("train", "evaluate")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Stopped(Exception):
    """A signal ended the work; the run that it was at is saved."""


class Worker:
    """Works on the jobs of a plan until all are done or held by other processes.

    Args:
        plan: the jobs.
        wrote: called at the start and after each row, to write the table.
        program: that is given the stage and a run's flags.
        claims: on the jobs; None: those in the plan's folder.
    """

    def __init__(
        self,
        plan: Plan,
        wrote: Callable[[], None],
        program: Sequence[str] = PROGRAM,
        claims: Claims | None = None,
    ):
        self._plan = plan
        self._wrote = wrote
        self._program = program
        self._claims = claims or Claims(plan.folder / "claims")
        self._signals = Signals()

    def work(self) -> None:
        """Runs what is not finished.

        A run that failed before is tried once more. What another process holds is left to it.

        Raises:
            InputError: a finished row is of other settings.
            Stopped: by SIGTERM or SIGINT.
        """
        # All are read before anything is run, so that a wrong folder is told at once.
        failed = {
            job.name: record.attempt
            for job in self._plan.jobs
            if (record := records.read(self._plan, job)) and record.failures(job)
        }
        self._wrote()
        tried: set[str] = set()
        with self._signals:
            # Until a pass does nothing: others may have given back what they held.
            while any([self._try(job, failed, tried) for job in self._plan.jobs]):
                pass

    def _try(self, job: Job, failed: dict[str, str], tried: set[str]) -> bool:
        """Runs a job if it is to be run and nobody holds it; returns whether it was run."""
        self._stop_if_asked()
        if job.name in tried or not self._is_open(job, failed):
            return False
        claim = self._claims.take(job.name)
        if claim is None:
            return False
        try:
            if not self._is_open(job, failed):  # finished by another process just before
                return False
            tried.add(job.name)
            self._run(job, claim)
        except ClaimLost:
            say(f"{job.name}: another process has taken it over")
        finally:
            claim.release()
        self._wrote()
        return True

    def _is_open(self, job: Job, failed: dict[str, str]) -> bool:
        record = records.read(self._plan, job)
        if record is None:
            return True
        if record.failures(job):
            return failed.get(job.name) == record.attempt  # not tried again since the start
        return not record.has(job)

    def _stop_if_asked(self) -> None:
        if self._signals.received:
            raise Stopped("stopped; the same command goes on")

    def _run(self, job: Job, claim: Claim) -> None:
        """Trains and measures, and writes the record."""
        before = records.read(self._plan, job)
        anew = _Anew(job.experiment.run_path)
        if before and before.measures and not anew.has_weights():
            anew.begin()
        wanted = list(job.experiment.evaluation.measure_names)
        if anew.is_on and before:
            wanted = list(dict.fromkeys([*before.measures, *wanted]))
        elif before:  # of floors alone that failed: all of them again
            wanted = [name for name in wanted if name not in before.measures] or wanted
        now = self._attempt(job, claim, wanted)
        asked = {*wanted, *records.asked(job)}
        record = records.after(before, now, asked, anew.is_on)
        record = replace(record, command=command_of(job, record.measures))
        record.write(records.path_of(self._plan.folder, job.name))
        if self._plan.results and not record.failures(job):
            record.write(records.path_of(self._plan.results, job.name))
        if record.evaluation is now.evaluation:
            anew.end()
        failed = record.failures(job)
        end = "; ".join(f"{name} failed: {why}" for name, why in failed.items()) or "finished"
        say(f"{job.name}: {end}")

    def _attempt(self, job: Job, claim: Claim, measures: list[str]) -> Record:
        """Trains, measures, and tells what came of it."""
        folder = job.experiment.run_path
        seconds = _Seconds(folder / "seconds.json")
        seconds.read()  # what is damaged is told before hours of training
        evaluation = folder / "evaluation.json"
        evaluation.unlink(missing_ok=True)  # what is there afterwards is this attempt's
        failed: dict[str, str] = {}
        for stage in _STAGES:
            say(f"{job.name}: {stage}")
            flags = flags_of(job.experiment, measures)
            why = self._process(job.name, stage, flags, claim, seconds)
            self._stop_if_asked()
            if why:
                failed[stage] = without_folders(why, self._plan)
                break
        found: dict[str, Any] = {}
        if evaluation.exists():
            try:
                found = _measured(evaluation)
            except (OSError, ValueError, InputError) as error:
                why = without_folders(one_line(error), self._plan)
                failed["evaluate"] = f"evaluation.json cannot be read ({why})"
        if longer := _other_budget(found):
            failed, found = {"train": longer}, {}
        elif told := _failed_measures(found):  # why the stage ended as failed
            failed = {name: without_folders(why, self._plan) for name, why in told.items()}
        return Record(
            row=job.row.key,
            seed=job.seed,
            settings=identity(job.experiment),
            measures=[name for name in measures if found and name not in failed],
            evaluation=found,
            failed=failed,
            cost=seconds.read() | _speed(folder),
            versions=versions() | {"commit": commit()},
            machine=machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command_of(job, measures),
            attempt=uuid.uuid4().hex,
        )

    def _process(
        self, name: str, stage: str, flags: list[str], claim: Claim, seconds: "_Seconds"
    ) -> str:
        """Runs a stage to its end; returns why it failed, or nothing.

        Raises:
            ClaimLost: the process was ended, as another one is at this run.
        """
        log = self._plan.folder / "logs" / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(log) as file:
            begin = file.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                [*self._program, f"--mode={stage}", *flags],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through this process, once
                pass_fds=[claim.descriptor],  # while it runs, the claim is held
                preexec_fn=_end_with_parent,
            )
            try:
                self._wait(process, stage, claim, seconds)
            except BaseException:
                process.kill()
                process.wait()
                raise
        return _reason(process.returncode, log, begin)

    def _wait(
        self, process: subprocess.Popen, stage: str, claim: Claim, seconds: "_Seconds"
    ) -> None:
        told = False
        seconds.begin(stage)
        while True:
            try:
                process.wait(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                pass
            if claim.beat():
                seconds.write()
            if self._signals.received and not told:
                told = True
                process.send_signal(signal.SIGTERM)
        seconds.write()


class _Seconds:
    """What each stage of a run took, over all attempts: a file, for a process may be killed."""

    def __init__(self, path: Path):
        self._path = path
        self._stage = ""
        self._before = 0.0
        self._began = time.monotonic()

    def read(self) -> dict[str, float]:
        """Seconds by stage.

        Raises:
            InputError: the file is damaged.
        """
        if not self._path.exists():
            return {}
        remedy = "remove it, which forgets what the stages took"
        found = read_json(self._path, remedy)
        if not all(is_number(seconds) and seconds >= 0 for seconds in found.values()):
            raise InputError(f"{self._path} tells of no seconds; {remedy}")
        return found

    def begin(self, stage: str) -> None:
        """From now on it is that stage."""
        self._stage = stage
        self._before = self.read().get(stage, 0.0)
        self._began = time.monotonic()

    def write(self) -> None:
        """Adds what passed since it began."""
        if self._path.parent.is_dir():  # a run that did not begin has no folder
            seconds = self._before + time.monotonic() - self._began
            now = {**self.read(), self._stage: round(seconds, 1)}
            replace_text(self._path, json.dumps(now) + "\n")


class _Anew:
    """Whether a run's weights are trained anew, with figures of others in its record.

    A file tells, which stays until the figures are those of the new weights, over all attempts.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / "trained_anew.txt"

    @property
    def is_on(self) -> bool:
        return self._path.exists()

    def has_weights(self) -> bool:
        return (self._folder / "checkpoints").is_dir()

    def begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_text(self._path, "The row's figures are of other weights.\n")

    def end(self) -> None:
        self._path.unlink(missing_ok=True)


def flags_of(experiment: Experiment, measures: Sequence[str] = ()) -> list[str]:
    """The command line of an experiment: each setting that is not its default.

    Args:
        experiment: the settings.
        measures: instead of the experiment's, if there are any.
    """
    settings = experiment.to_dict()
    if measures:
        settings["measures"] = ",".join(measures)
    return as_flags({name: v for name, v in settings.items() if v != default_of(name)})


def command_of(job: Job, measures: Sequence[str] = ()) -> str:
    """As one would type it to get the row's figures alone; without this machine's folders.

    Args:
        job: the run.
        measures: that give the figures, instead of the job's, if there are any.
    """
    flags = flags_of(job.experiment, measures)
    flags = [f for f in flags if f[2:].partition("=")[0] not in PATHS]
    return shlex.join(["python", "-m", "dim_tf.main", "--mode=train,evaluate", *flags])


def machine() -> str:
    """Cores, architecture, and NVIDIA's GPUs where its tool tells of them and none is hidden."""
    told = [f"{os.cpu_count()} CPU cores ({platform.machine()})"]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if (tool := shutil.which("nvidia-smi")) and not hidden:
        command = [tool, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            told += done.stdout.split("\n")
    return ", ".join(part.strip() for part in told if part.strip())


def _end_with_parent():
    """In a new process: SIGTERM where the one that started it ends, even if that was killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reason(status: int, log: Path, begin: int) -> str:
    """Why a process failed, in one line; empty if it did not."""
    if status == 0:
        return ""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    with open_to_read(log) as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    said = [line for line in lines if line]
    return (errors or said or [f"exit status {status}"])[-1]


def _measured(path: Path) -> dict[str, Any]:
    """An evaluation.json.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
        InputError: an entry is not as this version writes it.
    """
    found = read_checked(path)
    results.check(found, path)
    steps = [found.get("protocol", {}).get(name) for name in ("step", "budget_steps")]
    if any(type(step) is not int for step in steps):
        raise ValueError("it does not tell its step")
    return found


def _other_budget(evaluation: dict[str, Any]) -> str:
    """Why the weights are not those of the row's budget; empty if they are, or if there are none.

    Training goes on from a folder's checkpoint, even from one behind the last step.
    """
    if not evaluation:
        return ""
    step, budget = (evaluation["protocol"][name] for name in ("step", "budget_steps"))
    if step == budget:
        return ""
    return (
        f"its checkpoint is of step {step}, and --epochs and --steps end at step {budget}; give "
        "the budget that it was begun with, or another --run_dir"
    )


def _failed_measures(evaluation: dict[str, Any]) -> dict[str, str]:
    """Why, by the name of each measure of the encoder that failed; all of floors as one."""
    begin = "failed: "
    failed = {
        name: str(told).removeprefix(begin)
        for name, told in evaluation.get("protocol", {}).items()
        if str(told).startswith(begin)
    }
    of_floors = [f"{name}: {why}" for name, why in failed.items() if name not in MEASURES]
    found = {name: why for name, why in failed.items() if name in MEASURES}
    return found | ({records.FLOORS: "; ".join(of_floors)} if of_floors else {})


def _speed(folder: Path) -> dict[str, float]:
    lines = metrics_file.read(folder / "metrics.jsonl")
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return {"images_per_second": round(statistics.median(speeds), 1)} if speeds else {}


def check_all_ran(plan: Plan) -> None:
    """Raises RunError where a job of the plan failed."""
    failed = [
        f"{job.name} ({next(iter(failures.values()))})"
        for job in plan.jobs
        if (record := records.read(plan, job)) and (failures := record.failures(job))
    ]
    if failed:
        raise RunError(
            f"{len(failed)} {'row' if len(failed) == 1 else 'rows'} failed: {'; '.join(failed)}; "
            "what they printed is in "
            f"{plan.folder / 'logs'}; the same command tries them once more"
        )

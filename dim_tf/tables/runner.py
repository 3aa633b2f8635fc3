"""`Runner`: runs the jobs of a table one after another, each stage in its own process."""

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError, one_line
from dim_tf.system.signals import StopSignal
from dim_tf.system.versions import commit, versions
from dim_tf.tables import records
from dim_tf.tables.commands import experiment_flags, job_command
from dim_tf.tables.hardware import describe_machine
from dim_tf.tables.leases import Lease, LeaseFolder, LeaseLost
from dim_tf.tables.plan import Job, Plan, redact_paths, result_settings
from dim_tf.tables.records import Record
from dim_tf.tables.run_folder import (
    RetrainingMarker,
    StageSeconds,
    budget_mismatch,
    chosen_settings,
    failed_measures,
    has_weights,
    read_evaluation,
    training_speed,
)
from dim_tf.tables.stage_process import run_stage

PROGRAM = (sys.executable, "-m", "dim_tf.main")
_STAGES = ("train", "evaluate")


class Stopped(Exception):
    """A signal stopped the table; the run in progress is saved."""


class Runner:
    """Runs the jobs of a plan until all are finished or held by other processes.

    Args:
        plan: Plan with the jobs.
        write_table: Called at the start and after each job.
        program: Command that takes --mode and a run's flags.
        leases: Leases on the jobs; None: those in the plan's folder.
    """

    def __init__(
        self,
        plan: Plan,
        write_table: Callable[[], None],
        program: Sequence[str] = PROGRAM,
        leases: LeaseFolder | None = None,
    ):
        self._plan = plan
        self._write_table = write_table
        self._program = program
        self._leases = leases or LeaseFolder(plan.folder / "leases")
        self._signals = StopSignal()

    def run(self) -> None:
        """Runs the jobs that are not finished.

        A job that failed before is retried once. A job that another process holds is left to it.

        Raises:
            InputError: A finished row has other settings.
            Stopped: SIGTERM or SIGINT arrived.
        """
        # All records are read before anything is run, so that a wrong folder fails at once.
        failed = {
            job.name: record.attempt
            for job in self._plan.jobs
            if (record := records.read(self._plan, job)) and record.failures(job)
        }
        self._write_table()
        tried: set[str] = set()
        with self._signals:
            # Until a pass runs nothing: other processes may have released jobs meanwhile.
            while any([self._try(job, failed, tried) for job in self._plan.jobs]):
                pass

    def _try(self, job: Job, failed: dict[str, str], tried: set[str]) -> bool:
        """Runs a job if it is pending and no process holds it; returns whether it was run."""
        self._raise_if_stopped()
        if job.name in tried or not self._is_pending(job, failed):
            return False
        lease = self._leases.acquire(job.name)
        if lease is None:
            return False
        try:
            if not self._is_pending(job, failed):  # another process has just finished it
                return False
            tried.add(job.name)
            self._run(job, lease)
        except LeaseLost:
            say(f"{job.name}: another process has taken it over")
        finally:
            lease.release()
        self._write_table()
        return True

    def _is_pending(self, job: Job, failed: dict[str, str]) -> bool:
        record = records.read(self._plan, job)
        if record is None:
            return True
        if record.failures(job):
            return failed.get(job.name) == record.attempt  # not retried since the start
        return not record.covers(job)

    def _raise_if_stopped(self) -> None:
        if self._signals.received:
            raise Stopped("stopped; the same command goes on")

    def _run(self, job: Job, lease: Lease) -> None:
        """Trains and measures a job, and writes its record."""
        before = records.read(self._plan, job)
        marker = RetrainingMarker(job.experiment.run_path)
        if before and before.measures and not has_weights(job.experiment.run_path):
            marker.create()
        measures = list(job.experiment.evaluation.measure_names)
        if marker.exists() and before:
            measures = list(dict.fromkeys([*before.measures, *measures]))
        elif before:  # if only a reference failed, all are repeated
            measures = [name for name in measures if name not in before.measures] or measures
        now = self._attempt(job, lease, measures)
        requested = {*measures, *records.requested(job)}
        record = records.merge(before, now, requested, marker.exists())
        record = replace(record, command=job_command(job, record.measures))
        record.write(records.record_path(self._plan.folder, job.name))
        if self._plan.results_folder and not record.failures(job):
            record.write(records.record_path(self._plan.results_folder, job.name))
        if record.evaluation is now.evaluation:
            marker.remove()
        failed = record.failures(job)
        outcome = "; ".join(f"{name} failed: {why}" for name, why in failed.items()) or "finished"
        say(f"{job.name}: {outcome}")

    def _attempt(self, job: Job, lease: Lease, measures: list[str]) -> Record:
        """Trains and measures a job; returns the record of only this attempt."""
        folder = job.experiment.run_path
        seconds = StageSeconds(folder / "seconds.json")
        seconds.read()  # a damaged file fails before hours of training
        path = folder / "evaluation.json"
        path.unlink(missing_ok=True)  # so that the file is this attempt's
        failed: dict[str, str] = {}
        for stage in _STAGES:
            say(f"{job.name}: {stage}")
            reason = self._run_stage(job, stage, measures, lease, seconds)
            self._raise_if_stopped()
            if reason:
                failed[stage] = redact_paths(reason, self._plan)
                break
        evaluation: dict[str, Any] = {}
        if path.exists():
            try:
                evaluation = read_evaluation(path)
            except (OSError, ValueError, InputError) as error:
                reason = redact_paths(one_line(error), self._plan)
                failed["evaluate"] = f"evaluation.json cannot be read ({reason})"
        if mismatch := budget_mismatch(evaluation):
            failed, evaluation = {"train": mismatch}, {}
        elif reasons := failed_measures(evaluation):  # the cause of the stage's exit status
            failed = {name: redact_paths(reason, self._plan) for name, reason in reasons.items()}
        return Record(
            row=job.row.key,
            seed=job.seed,
            settings=result_settings(job.experiment),
            measures=[name for name in measures if evaluation and name not in failed],
            evaluation=evaluation,
            failed=failed,
            cost=seconds.read() | training_speed(folder),
            versions=versions() | {"commit": commit()},
            machine=describe_machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=job_command(job, measures),
            attempt=uuid.uuid4().hex,
            chosen=chosen_settings(folder),
        )

    def _run_stage(
        self, job: Job, stage: str, measures: list[str], lease: Lease, seconds: StageSeconds
    ) -> str:
        """Runs a stage to its end; returns why it failed, or an empty string.

        Raises:
            LeaseLost: Another process has taken over; the stage was killed.
        """

        def poll() -> None:
            if lease.renew():
                seconds.write()

        flags = experiment_flags(job.experiment, measures)
        seconds.begin(stage)
        failure = run_stage(
            [*self._program, f"--mode={stage}", *flags],
            self._plan.folder / "logs" / f"{job.name}.txt",
            lease.descriptor,
            poll,
            lambda: bool(self._signals.received),
        )
        seconds.write()
        return failure


def raise_if_failed(plan: Plan) -> None:
    """Raises RunError if a job of the plan failed."""
    failed = [
        f"{job.name} ({next(iter(failures.values()))})"
        for job in plan.jobs
        if (record := records.read(plan, job)) and (failures := record.failures(job))
    ]
    if failed:
        raise RunError(
            f"{len(failed)} {'row' if len(failed) == 1 else 'rows'} failed: {'; '.join(failed)}; "
            f"the output is in {plan.folder / 'logs'}; the same command retries them once"
        )

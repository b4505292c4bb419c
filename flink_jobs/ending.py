"""Owns the end of a job: after a savepoint where it can be had, so that nothing is lost and nothing is done twice.

A job that stops with a savepoint reads nothing behind it, has written everything before it, and has committed its
transactions when it is FINISHED. Must never submit anything. Facts: Flink 2.2, «Savepoints», stop with savepoint.
"""

import time
from pathlib import Path

import structlog

from flink_jobs.checkpoints import location
from flink_jobs.ledger import Ledger, Stop
from flink_jobs.rest import FlinkError, FlinkRest, FlinkUnreachableError, Job

_log = structlog.get_logger()

_POLL_SECONDS = 0.05
_WHOLE_SECONDS = 10
"""How long a job that is about to run is waited for: only one whose tasks all run can be stopped with a savepoint."""
_SAVEPOINT_SECONDS = 20
_CHECKPOINT_SECONDS = 10
_END_SECONDS = 60


class SubmissionError(RuntimeError):
    """Say why the job does not run, or does not make room for another."""


class Ending:
    """End jobs of one cluster.

    Args:
        rest: The cluster.
        ledger: Where it is written down first.
        folder: Where savepoints go, each into a folder named like its job.
    """

    def __init__(self, rest: FlinkRest, ledger: Ledger, folder: Path) -> None:
        self._rest = rest
        self._ledger = ledger
        self._folder = folder

    def pause(self, job: Job) -> str | None:
        """End a job so that another goes on from there; return the savepoint.

        Without one, because the job restarts or the broker is away, it ends after its newest checkpoint: None.

        Raises:
            SubmissionError: It does not end.
            FlinkUnreachableError: The cluster does not answer; whether the job has ended is not known.
        """
        self._ledger.add(Stop(job.id, goes_on=True))
        try:
            return self._stop(job)
        except FlinkUnreachableError:
            raise
        except FlinkError as error:
            _log.warning("stop_with_savepoint_failed", job=job.id, reason=str(error), instead="newest checkpoint")
        self._take_checkpoint(job)
        self._cancel_and_wait(job.id)
        return None

    def suspend(self, job: Job, seconds: float) -> str:
        """End a job after a savepoint, to go on from there later; return the savepoint.

        Raises:
            FlinkError: There is none within that time, and the job goes on.
        """
        self._ledger.add(Stop(job.id, goes_on=True))
        return self._stop(job, seconds)

    def stop(self, job: Job) -> str:
        """End a job after a savepoint, and let it stay ended; return the savepoint.

        Raises:
            SubmissionError: It does not end.
            FlinkError: There is no savepoint, and the job goes on.
        """
        self._ledger.add(Stop(job.id, goes_on=False))
        return self._stop(job)

    def cancel(self, job_id: str, *, goes_on: bool) -> None:
        """End a job at once; its checkpoints stay.

        Args:
            job_id: The job.
            goes_on: Whether another is to take its place.

        Raises:
            SubmissionError: It does not end.
            FlinkError: The cluster refuses, or does not answer.
        """
        self._ledger.add(Stop(job_id, goes_on=goes_on))
        self._cancel_and_wait(job_id)

    def _stop(self, job: Job, seconds: float = _SAVEPOINT_SECONDS) -> str:
        self._wait_until_whole(job)
        request = self._rest.stop(job.id, location(self._folder / job.id))
        savepoint = self._rest.wait_for_savepoint(job.id, request, seconds)
        self._wait_until_ended(job.id)
        _log.info("job_stopped", job=job.id, savepoint=savepoint)
        return savepoint

    def _wait_until_whole(self, job: Job) -> None:
        deadline = time.monotonic() + _WHOLE_SECONDS
        while not job.runs_whole:
            if job.ended or time.monotonic() >= deadline:
                raise FlinkError(f"job {job.id} is {job.state}, {job.running} of its {job.tasks} tasks run")
            time.sleep(_POLL_SECONDS)
            job = next((each for each in self._rest.jobs() if each.id == job.id), job)

    def _take_checkpoint(self, job: Job) -> None:
        try:
            if self._rest.take_checkpoint(job.id, _CHECKPOINT_SECONDS):
                return
            reason = f"none within {_CHECKPOINT_SECONDS} s"
        except FlinkUnreachableError:
            raise
        except FlinkError as error:
            reason = str(error)
        # A job that is restarting takes none; its newest one serves.
        _log.warning("last_checkpoint_failed", job=job.id, reason=reason)

    def _cancel_and_wait(self, job_id: str) -> None:
        if not self._has_ended(job_id):
            self._rest.cancel(job_id)
        self._wait_until_ended(job_id)

    def _wait_until_ended(self, job_id: str) -> None:
        # It must have ended before another is submitted: two would write twice.
        deadline = time.monotonic() + _END_SECONDS
        while not self._has_ended(job_id):
            if time.monotonic() >= deadline:
                raise SubmissionError(f"job {job_id} does not end within {_END_SECONDS} s; see the Flink web page")
            time.sleep(_POLL_SECONDS)

    def _has_ended(self, job_id: str) -> bool:
        return all(each.ended for each in self._rest.jobs() if each.id == job_id)

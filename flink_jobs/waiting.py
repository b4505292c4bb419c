"""Owns the wait for a job: until all of it runs, or until it is clear that it will not. Must never change anything."""

import time

from flink_jobs.ending import SubmissionError
from flink_jobs.rest import FlinkError, FlinkRest, FlinkUnreachableError, Job

_POLL_SECONDS = 0.05
_STEADY_SECONDS = 0.5
"""A job counts as running after this long: a topic that is missing shows a moment after the tasks have started."""
_FAILING = frozenset({"FAILING", "RESTARTING"})


def wait_until_running(rest: FlinkRest, job_id: str, seconds: float, patience: float | None = None) -> None:
    """Wait until every task of the job runs (FL-58).

    Args:
        rest: The cluster.
        job_id: The job.
        seconds: How long.
        patience: Give up as soon as it has been failing for so long without running in between; by default, never.

    Raises:
        SubmissionError: It failed, or does not run within that time; the message has Flink's root cause.
    """
    deadline = time.monotonic() + seconds
    since: float | None = None
    failing: float | None = None
    while True:
        job = _seen(rest, job_id)
        now = time.monotonic()
        since = (since or now) if job is not None and job.runs_whole else None
        if since is not None and now - since >= _STEADY_SECONDS:
            return
        if job is not None and job.state in _FAILING:
            failing = failing or now
        hopeless = patience is not None and failing is not None and now - failing >= patience
        if (job is not None and job.ended) or hopeless or now >= deadline:
            state = job.state if job else "unknown"
            raise SubmissionError(f"job {job_id} does not run, it is {state}: {_cause(rest, job_id)}")
        time.sleep(_POLL_SECONDS)


def _seen(rest: FlinkRest, job_id: str) -> Job | None:
    try:
        return next((each for each in rest.jobs() if each.id == job_id), None)
    except FlinkUnreachableError:
        return None


def _cause(rest: FlinkRest, job_id: str) -> str:
    try:
        return rest.failure(job_id) or "no failure is recorded; are there enough task slots?"
    except FlinkError as error:
        return str(error)

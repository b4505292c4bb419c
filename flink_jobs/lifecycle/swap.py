"""Owns the one call that puts a plan in the place of the job that runs. Must never know a filter."""

from flink_jobs.plan import PlanError
from flink_jobs.rest import FlinkError, Job
from flink_jobs.submission import SubmissionError, Submitter


def swap(submitter: Submitter, digest: str, timeout: float) -> Job:
    """Bring a plan into the cluster in the place of another one; on failure the other one runs again.

    Args:
        submitter: The way into the cluster.
        digest: The plan, compiled.
        timeout: Seconds within which it must run.

    Raises:
        SubmissionError: It does not run; the message has Flink's cause.
        PlanError: The plan cannot be used.
        FlinkError: The cluster refuses it or does not answer.
    """
    before = submitter.look().alive
    known = submitter.ledger.find(before.id) if before else None
    try:
        job = submitter.replace(digest)
        submitter.wait_until_running(job.id, timeout)
    except (SubmissionError, PlanError, FlinkError):
        if known is not None and known.digest != digest:
            old = submitter.replace(known.digest)
            submitter.wait_until_running(old.id, timeout)
        raise
    return job

"""Owns what `headwater status` tells of the Flink jobs: tasks, restarts, checkpoints, and how often a record comes out.

Must never wait for a cluster that does not answer.
"""

from dataclasses import dataclass

from flink_jobs.ledger import LEDGER_FILE, Ledger
from flink_jobs.rest import FlinkError, FlinkRest, Job
from flink_jobs.status import CheckpointStatus, delivery, status_of
from stack import flink
from stack.settings import StackSettings
from stack.state import State

_ANSWER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class JobReport:
    """Say how one Flink job does.

    Attributes:
        state: In Flink's own words.
        tasks: How many tasks it has.
        tasks_running: How many of them run.
        restarts: How often it was started again after a failure, since it was submitted.
        checkpoint: Its newest completed checkpoint.
        checkpoints_failed: How many have come to nothing since that one, of the last ten.
        delivery: `at-least-once` or `exactly-once`, None of a job that was not submitted from here.
    """

    name: str
    state: str
    tasks: int
    tasks_running: int
    restarts: int = 0
    checkpoint: CheckpointStatus | None = None
    checkpoints_failed: int = 0
    delivery: str | None = None

    @property
    def line(self) -> str:
        """Return it as a line for a person."""
        parts = [f"{self.name} {self.state}"]
        if self.tasks:
            parts.append(f"{self.tasks_running} of {self.tasks} tasks")
        if self.restarts:
            parts.append(f"{self.restarts} restarts")
        if self.checkpoint is not None:
            parts.append(f"checkpoint {self.checkpoint.number} {self.checkpoint.age_seconds:.0f} s ago")
        if self.checkpoints_failed:
            parts.append(f"{self.checkpoints_failed} checkpoints failed")
        if self.delivery is not None:
            parts.append(self.delivery)
        return ", ".join(parts)


def reports(settings: StackSettings, state: State) -> tuple[JobReport, ...]:
    """Return every job that the cluster remembers, newest first; none when it does not answer."""
    ledger = Ledger(flink.plans(state) / LEDGER_FILE)
    try:
        with FlinkRest(settings.flink_url, timeout=_ANSWER_SECONDS) as rest:
            return tuple(_report(rest, ledger, job) for job in rest.jobs())
    except FlinkError:
        return ()


def _report(rest: FlinkRest, ledger: Ledger, job: Job) -> JobReport:
    promise = delivery(ledger.find(job.id))
    if job.ended:
        return JobReport(job.name, job.state, job.tasks, job.running, delivery=promise)
    try:
        checkpoints, restarts = rest.checkpoints(job.id), rest.restarts(job.id)
    except FlinkError:
        # It is being set up; in a moment there is an answer.
        return JobReport(job.name, job.state, job.tasks, job.running, delivery=promise)
    newest, failed = status_of(checkpoints), checkpoints.failed
    return JobReport(job.name, job.state, job.tasks, job.running, restarts, newest, failed, promise)

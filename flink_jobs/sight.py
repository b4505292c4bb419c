"""Owns what is known of our job at one moment, by the cluster and the ledger behind it. Must never end or start one."""

from dataclasses import dataclass

from flink_jobs.ledger import End, Ledger
from flink_jobs.rest import FlinkRest, Job


@dataclass(frozen=True, slots=True)
class Sight:
    """Tell what there is of our job in one life of the JobManager.

    Attributes:
        incarnation: That life.
        alive: The job that has not ended, if there is one.
        ended: How many of ours have ended.
        last: The newest of those, as (job id, Flink's terminal state).
        goes_on: Whether that one was ended by us, to go on as another: its end is a pause.
    """

    incarnation: str
    alive: Job | None
    ended: int
    last: tuple[str, str] | None
    goes_on: bool


def look(rest: FlinkRest, ledger: Ledger, name: str) -> Sight:
    """Return what there is of the jobs of a name; note the ends that are news.

    Raises:
        FlinkError: The cluster does not answer.
    """
    incarnation = rest.incarnation()
    jobs = [job for job in rest.jobs() if job.name == name]
    known = ledger.ends()
    for job in reversed(jobs):
        if job.ended and job.id not in known:
            ledger.add(End(job.id, job.state))
            known[job.id] = job.state
    here = {each.job_id for each in ledger.submissions() if each.incarnation == incarnation}
    here |= {job.id for job in jobs}
    ended = [(job_id, state) for job_id, state in known.items() if job_id in here]
    alive = next((job for job in jobs if not job.ended), None)
    last = ended[-1] if ended else None
    return Sight(incarnation, alive, len(ended), last, last is not None and ledger.goes_on(last[0]))

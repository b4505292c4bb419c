"""Owns the answer to «how is the job?»: its state, its newest checkpoint, and what it could not read."""

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flink_jobs.delivery import Guarantee
from flink_jobs.ledger import LEDGER_FILE, Ledger, Submission
from flink_jobs.rest import Checkpoints, FlinkRest
from flink_jobs.settings import FlinkSettings

_BROKER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """Describe the newest completed checkpoint."""

    number: int
    path: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Describe the job.

    Attributes:
        state: Flink's job status, `MISSING` when the cluster knows no such job.
        tasks_running: How many of its tasks run.
        restarts: How often it was started again after a failure, since it was submitted.
        plan: The digest of the plan it was submitted from, when it is one of ours.
        delivery: Its guarantee, when it is one of ours.
        checkpoint: Its newest completed checkpoint.
        checkpoints_failed: How many have come to nothing since that one, of the last ten.
        ignored: Raw records that could not be parsed since the tasks last started; each is in the dead-letter topic.
        dead_letters: Every record ever written to the dead-letter topic, None when the broker does not tell; ends of
            transactions count as well.
    """

    name: str
    id: str | None
    state: str
    tasks: int = 0
    tasks_running: int = 0
    restarts: int = 0
    plan: str | None = None
    delivery: Guarantee | None = None
    checkpoint: CheckpointStatus | None = None
    checkpoints_failed: int = 0
    ignored: int = 0
    dead_letters: int | None = None


def job_status(settings: FlinkSettings, rest: FlinkRest) -> JobStatus:
    """Ask the cluster and the broker.

    Raises:
        FlinkError: The cluster does not answer.
    """
    jobs = [each for each in rest.jobs() if each.name == settings.flink_job_name]
    job = next((each for each in jobs if not each.ended), jobs[0] if jobs else None)
    letters = _written(settings.kafka_bootstrap_servers, settings.dead_letter_topic)
    if job is None:
        return JobStatus(settings.flink_job_name, None, "MISSING", dead_letters=letters)
    origin = Ledger(settings.flink_plan_dir / LEDGER_FILE).find(job.id)
    checkpoints = rest.checkpoints(job.id)
    return JobStatus(
        name=job.name,
        id=job.id,
        state=job.state,
        tasks=job.tasks,
        tasks_running=job.running,
        restarts=rest.restarts(job.id),
        plan=origin.digest if origin else None,
        delivery=delivery(origin),
        checkpoint=status_of(checkpoints),
        checkpoints_failed=checkpoints.failed,
        ignored=rest.sum_of_metrics(job.id, "dead-letters", "Writer.numRecordsIn"),
        dead_letters=letters,
    )


def status_of(checkpoints: Checkpoints) -> CheckpointStatus | None:
    """Describe the newest of these checkpoints."""
    newest = checkpoints.newest
    if newest is None:
        return None
    return CheckpointStatus(newest.number, newest.path, round(time.time() - newest.triggered_ms / 1000, 3))


def delivery(origin: Submission | None) -> Guarantee | None:
    """Return the guarantee of a job that was submitted like this, None of one that we do not know."""
    if origin is None:
        return None
    return Guarantee.EXACTLY_ONCE if origin.transactional else Guarantee.AT_LEAST_ONCE


def _written(bootstrap: str, topic: str) -> int | None:
    """Return how many records a topic has ever taken: the sum of its end offsets."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "headwater-status", "log_level": 0})
    try:
        found = reader.list_topics(topic, timeout=_BROKER_SECONDS).topics[topic]
        ends = (
            reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=_BROKER_SECONDS)
            for partition in found.partitions
        )
        return sum(end for _, end in ends)
    except KafkaException:
        return None
    finally:
        reader.close()

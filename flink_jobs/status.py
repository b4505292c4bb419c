"""Owns the answer to «how is the job?»: its state, its newest checkpoint, and what it could not read."""

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flink_jobs.ledger import LEDGER_FILE, Ledger
from flink_jobs.rest import FlinkRest
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
        plan: The digest of the plan it was submitted from, when it is one of ours.
        ignored: Raw records that could not be parsed since the tasks last started; each is in the dead-letter topic.
        dead_letters: Every record ever written to the dead-letter topic, None when the broker does not tell.
    """

    name: str
    id: str | None
    state: str
    tasks: int
    tasks_running: int
    plan: str | None
    checkpoint: CheckpointStatus | None
    ignored: int
    dead_letters: int | None


def job_status(settings: FlinkSettings, rest: FlinkRest) -> JobStatus:
    """Ask the cluster and the broker.

    Raises:
        FlinkError: The cluster does not answer.
    """
    jobs = [each for each in rest.jobs() if each.name == settings.flink_job_name]
    job = next((each for each in jobs if not each.ended), jobs[0] if jobs else None)
    letters = _written(settings.kafka_bootstrap_servers, settings.dead_letter_topic)
    if job is None:
        return JobStatus(settings.flink_job_name, None, "MISSING", 0, 0, None, None, 0, letters)
    origin = Ledger(settings.flink_plan_dir / LEDGER_FILE).find(job.id)
    checkpoint = None
    if newest := rest.newest_checkpoint(job.id):
        checkpoint = CheckpointStatus(newest.number, newest.path, round(time.time() - newest.triggered_ms / 1000, 3))
    ignored = rest.sum_of_metrics(job.id, "dead-letters", "Writer.numRecordsIn")
    plan = origin.digest if origin else None
    return JobStatus(job.name, job.id, job.state, job.tasks, job.running, plan, checkpoint, ignored, letters)


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

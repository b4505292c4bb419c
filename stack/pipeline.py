"""Owns the pipeline's own processes as services: the producer server, the CDC engine and the keeper of the Flink job.

Must never run a stage in this process: they are programs here, configured by their environment.
"""

import sys

import httpx

import schemas
from stack import flink, java, maven
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

JOB_KEEPER = "flink-job"
"""The helper that submits the job and brings it back; not one of the services a user talks to."""


def producer(settings: StackSettings) -> Service:
    """Describe the producer API."""
    return Service(
        name="producer",
        command=(sys.executable, "-m", "producer"),
        environment={
            "DATABASE_URL": settings.database_url,
            "PRODUCER_HOST": HOST,
            "PRODUCER_PORT": str(settings.producer_port),
        },
        ready=lambda: _answers(f"{settings.producer_url}/api/v1/events/health"),
        endpoint=settings.producer_url,
    )


def cdc(settings: StackSettings) -> Service:
    """Describe the change-data-capture engine."""
    return Service(
        name="cdc",
        command=(sys.executable, "-m", "cdc"),
        environment={
            "DATABASE_URL": settings.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap,
            "CDC_HTTP_HOST": HOST,
            "CDC_HTTP_PORT": str(settings.cdc_port),
        },
        ready=lambda: _answers(f"{settings.cdc_url}/readyz"),
        endpoint=settings.cdc_url,
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).is_success
    except httpx.HTTPError:
        return False


def job_keeper(settings: StackSettings, state: State) -> Service:
    """Describe the process that keeps the Flink job running."""
    return Service(
        name=JOB_KEEPER,
        command=(sys.executable, "-m", "flink_jobs", "keep"),
        environment={
            "FLINK_REST_URL": settings.flink_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap,
            "FILTERS_FILE": str(settings.filters_file or schemas.filters_path()),
            "FLINK_CHECKPOINT_DIR": str(flink.checkpoints(state)),
            "FLINK_CONNECTOR_JARS": ":".join(map(str, maven.class_path("flink-kafka", settings.cache_dir))),
            "FLINK_CHECKPOINT_INTERVAL_SECONDS": str(settings.checkpoint_interval_seconds),
            "JAVA_HOME": str(java.JAVA_HOME),
        },
        ready=lambda: any(job.runs_whole for job in flink.jobs(settings)),
        stop_seconds=8,
    )

"""Owns the pipeline's own processes as services: the producer server, the CDC engine and the keeper of the Flink job.

Must never run a stage in this process: they are programs here, configured by their environment.
"""

import sys
from pathlib import Path

import schemas
from stack import flink, formats, java, kafka, maven
from stack.errors import StackError
from stack.probes import answers
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

SHIPPED = schemas.filters_path()
"""The filters that come with the package; nobody edits them."""

JOB_KEEPER = "flink-job"
"""The helper that submits the job and brings it back; not one of the services a user talks to."""


def producer(settings: StackSettings, more: dict[str, str]) -> Service:
    """Describe the producer API, told `more` by whoever runs functions beside it."""
    return Service(
        name="producer",
        command=(sys.executable, "-m", "producer"),
        environment={
            "DATABASE_URL": settings.database_url,
            "PRODUCER_HOST": HOST,
            "PRODUCER_PORT": str(settings.producer_port),
            **more,
        },
        ready=lambda: answers(f"{settings.producer_url}/api/v1/events/health"),
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
            **formats.engine(settings),
        },
        ready=lambda: answers(f"{settings.cdc_url}/readyz"),
        endpoint=settings.cdc_url,
    )


def filters_file(settings: StackSettings, state: State) -> Path:
    """Return the filter file of a stack: the one that the user has named, else the one in the state folder."""
    return settings.filters_file or state.filters


def prepare_filters(settings: StackSettings, state: State) -> Path:
    """Return the filter file of a stack, after copying the shipped one into the state folder where that is meant.

    Raises:
        StackError: The user has named a file that is not there, or the folder cannot be written.
    """
    file = filters_file(settings, state)
    if file.exists():
        return file
    if settings.filters_file is not None:
        raise StackError(f"There is no filter file {file}.", "Correct FILTERS_FILE, or unset it.")
    state.create()
    partial = file.with_suffix(".partial")
    partial.write_bytes(schemas.filters_path().read_bytes())
    partial.replace(file)
    return file


def job_environment(settings: StackSettings, state: State) -> dict[str, str]:
    """Return what the Flink stage is told of this stack."""
    chosen = settings.checkpoint_interval_seconds
    return {
        "FLINK_REST_URL": settings.flink_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap,
        "FILTERS_FILE": str(filters_file(settings, state)),
        "FLINK_CHECKPOINT_DIR": str(flink.checkpoints(state)),
        "FLINK_CONNECTOR_JARS": ":".join(map(str, maven.class_path("flink-kafka", settings.cache_dir))),
        "FLINK_DELIVERY": settings.delivery,
        "FLINK_TRANSACTION_TIMEOUT_SECONDS": str(kafka.TRANSACTION_SECONDS),
        "JAVA_HOME": str(java.JAVA_HOME),
        **formats.flink_job(settings),
    } | ({} if chosen is None else {"FLINK_CHECKPOINT_INTERVAL_SECONDS": str(chosen)})


def job_keeper(settings: StackSettings, state: State) -> Service:
    """Describe the process that keeps the Flink job running."""
    return Service(
        name=JOB_KEEPER,
        command=(sys.executable, "-m", "flink_jobs", "keep"),
        environment=job_environment(settings, state),
        ready=lambda: any(job.runs_whole for job in flink.jobs(settings)),
        stop_seconds=8,
    )

"""Owns what `headwater status` tells: each service, its restarts, the job, and the memory of the whole stack."""

from dataclasses import asdict, dataclass

import psutil
from confluent_kafka import KafkaException

from stack import engines, restarts
from stack.job_report import JobReport, reports
from stack.lags import Lag, lags
from stack.local import LocalStack
from stack.supervision import Process, leftovers


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Say how one service does; `restarts` counts since the last `up`."""

    name: str
    pid: int | None
    state: str
    restarts: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class StackStatus:
    """Say how the stack does: `running`, `degraded` (something is down or coming back) or `stopped`."""

    state: str
    services: tuple[ServiceStatus, ...]
    helpers: tuple[ServiceStatus, ...]
    jobs: tuple[JobReport, ...]
    endpoints: dict[str, str]
    memory_bytes: int
    consumers: tuple[Lag, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        return asdict(self)


def inspect(stack: LocalStack) -> StackStatus:
    """Ask the supervisor, Flink and the system how the stack does."""
    processes = stack.processes()
    starts = restarts.read(stack.state.starts) if processes else {}
    described = stack.services()

    def status(name: str) -> ServiceStatus:
        process = processes.get(name)
        return ServiceStatus(
            name=name,
            pid=process.pid if process and process.pid else None,
            state=_word(process),
            restarts=max(0, starts.get(name, 0) - 1),
            endpoint=described[name].endpoint,
        )

    services = tuple(status(name) for name in stack.wanted)
    helpers = tuple(status(name) for name in stack.helpers)
    jobs = reports(stack.settings, stack.state) if processes else ()
    healthy = all(one.state == "running" for one in (*services, *helpers)) and any(
        job.state == "RUNNING" for job in jobs
    )
    settings = stack.settings
    if processes and settings.cdc == "debezium":
        healthy = healthy and engines.connector_runs(stack)
    return StackStatus(
        state="stopped" if not processes else "running" if healthy else "degraded",
        services=services,
        helpers=helpers,
        jobs=jobs,
        endpoints={
            "producer": settings.producer_url,
            "postgres": settings.database_url,
            "kafka": settings.kafka_bootstrap,
            "flink": settings.flink_url,
        }
        | ({"connect": settings.connect_url} if settings.cdc == "debezium" else {})
        | ({"todos": settings.todos_url, "serverless-api": settings.serverless_api_url} if settings.functions else {})
        | ({"schema-registry": settings.schemas_url} if settings.schemas_url else {}),
        memory_bytes=_memory(stack) if processes else 0,
        consumers=_consumers(settings.kafka_bootstrap) if processes else (),
    )


def _consumers(bootstrap: str) -> tuple[Lag, ...]:
    try:
        return lags(bootstrap)
    except KafkaException:
        # Whether the broker runs is told above.
        return ()


def _word(process: Process | None) -> str:
    if process is None:
        return "stopped"
    return {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "restarting", "STOPPING": "stopping"}.get(
        process.state, "stopped"
    )


def _memory(stack: LocalStack) -> int:
    """Sum the memory of every process; a page that several share is split among them where the system tells."""
    total = 0
    for process in leftovers(stack.state):
        try:
            full = process.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except psutil.Error:
            continue
    return total

"""Owns how the command sees the pipeline that runs in containers: when it is ready for an event.

The containers publish their ports on the loopback interface under the variables of `stack.settings`, so that one set of
settings names both stacks. Must never start or stop a container; `docker compose` does.
"""

import json
import time
from collections.abc import Callable
from threading import Event

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

import schemas
from cdc.debezium.settings import CONNECTOR_NAME
from stack import flink
from stack.errors import StackError
from stack.settings import StackSettings

_PATIENCE_SECONDS = 240
_ANSWER_SECONDS = 3

Check = Callable[[StackSettings], bool]


def wait_until_ready(settings: StackSettings, console: Console, seconds: float = _PATIENCE_SECONDS) -> None:
    """Return once an event that is posted now reaches its filtered topic.

    Raises:
        StackError: It is not so in time; it names the services that are missing.
    """
    deadline, pause = time.monotonic() + seconds, Event()
    with console.status("") as line:
        while waiting := [service for service, ready in _CHECKS.items() if not ready(settings)]:
            line.update(f"waiting for {', '.join(waiting)} (after `docker compose up -d`)")
            if time.monotonic() >= deadline:
                raise StackError(
                    f"The stack in containers is not ready after {seconds:.0f} s: {', '.join(waiting)}.",
                    "Run `docker compose up -d`; `docker compose ps -a` and `docker compose logs SERVICE` tell more.",
                )
            pause.wait(0.5)


def _producer(settings: StackSettings) -> bool:
    return _get(f"{settings.producer_url}/api/v1/events/health") is not None


def _topics(settings: StackSettings) -> bool:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        found = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    except KafkaException:
        return False
    return all(topic.name in found for topic in schemas.topics())


def _engine(settings: StackSettings) -> bool:
    """Tell whether one of the two carries changes: our own says so, Debezium's connector is asked of Connect."""
    if _get(f"{settings.cdc_url}/readyz") is not None:
        return True
    told = _get(f"{settings.connect_url}/connectors/{CONNECTOR_NAME}/status")
    try:
        states = [task["state"] for task in json.loads(told or "")["tasks"]]
    except (ValueError, KeyError, TypeError):
        return False
    return states == ["RUNNING"]


def _job(settings: StackSettings) -> bool:
    return any(job.runs_whole for job in flink.jobs(settings))


_CHECKS: dict[str, Check] = {"kafka": _topics, "connect or cdc": _engine, "flink-job": _job, "producer": _producer}


def _get(url: str) -> bytes | None:
    try:
        answer = httpx.get(url, timeout=_ANSWER_SECONDS)
    except httpx.HTTPError:
        return None
    return answer.content if answer.is_success else None

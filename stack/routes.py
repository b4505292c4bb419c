"""Owns which consumer reads which filtered topic in the demonstration: one for each filter on an event type."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

import confluent_kafka
from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import AdminClient

import schemas
from consumers import GROUPS, Consumer, ConsumerSettings, Record
from stack.settings import StackSettings
from stack.sightings import end_offsets

RAW_TOPIC = "raw-event-headers"


@dataclass(frozen=True, slots=True)
class Route:
    """Say where events of one type end: the filtered topic and the group that reads it."""

    event_type: str
    topic: str
    group: str


def shipped_routes() -> dict[str, Route]:
    """Return the route of each event type that a shipped filter selects."""
    routes = {}
    for entry in json.loads(schemas.filters_path().read_text())["filters"]:
        base = entry["outputTopic"]
        for condition in entry["conditions"]:
            if condition["field"] == "event_type" and condition["operator"] == "equals":
                routes[condition["value"]] = Route(condition["value"], f"{base}-flink", GROUPS[base])
    return routes


@contextmanager
def run_consumers(settings: StackSettings, routes: Iterable[Route], handled: dict[str, list[float]]) -> Iterator[None]:
    """Run the consumer of each route in a thread; `handled` gets the time of each event (`time.perf_counter()`).

    The groups are named for this run, so that a user's own consumers lose no partition and no record to it; each
    starts at the present end of its topic.
    """
    stop = threading.Event()
    run = uuid4().hex[:8]
    lock = threading.Lock()

    def note(record: Record, _message: Message) -> None:
        now = time.perf_counter()
        with lock:
            handled.setdefault(record.id, []).append(now)

    groups = {f"demo-{run}-{route.group}": route for route in routes}
    threads = []
    for group, route in groups.items():
        _start_at_the_end(settings, route.topic, group)
        consumer = Consumer(
            ConsumerSettings(
                kafka_bootstrap_servers=settings.kafka_bootstrap,
                kafka_topic=route.topic,
                consumer_group_id=group,
                schema_registry_url=settings.schemas_url,
            ),
            note,
        )
        threads.append(threading.Thread(target=consumer.run, args=(stop,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        _forget(settings, list(groups))


def _start_at_the_end(settings: StackSettings, topic: str, group: str) -> None:
    reader = confluent_kafka.Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": group})
    try:
        reader.commit(offsets=end_offsets(settings.kafka_bootstrap, [topic]), asynchronous=False)
    finally:
        reader.close()


def _forget(settings: StackSettings, groups: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    for deleted in admin.delete_consumer_groups(groups).values():
        with suppress(KafkaException):  # a group that is left behind harms nobody
            deleted.result(timeout=10)

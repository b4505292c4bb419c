"""Owns the watching of topics: when and where each event id was seen.

Must never join a consumer group: it would take partitions away from its members.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Consumer, Message, TopicPartition

from consumers import ConsumerSettings, Undecodable, decode
from consumers.record import Schemas, SchemasUnavailableError


@dataclass(frozen=True, slots=True)
class Sighting:
    """Say where a record was seen and when (`time.perf_counter()`, seconds)."""

    topic: str
    partition: int
    offset: int
    at: float
    headers: dict[str, bytes]


def end_offsets(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    """Return the end of every partition of the topics, as positions to read from."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "headwater-offsets", "enable.auto.commit": False})
    try:
        ends = []
        for topic in topics:
            for partition in reader.list_topics(topic, timeout=10).topics[topic].partitions:
                _low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                ends.append(TopicPartition(topic, partition, high))
        return ends
    finally:
        reader.close()


class Watcher:
    """Note every record of some topics from now on, in a thread of its own.

    Args:
        bootstrap: The broker's address.
        topics: Which topics to watch.
        registry_url: The schema registry that values go by; empty when they are JSON.
    """

    def __init__(self, bootstrap: str, topics: Iterable[str], registry_url: str = "") -> None:
        self._schemas = _registry(registry_url)
        self.seen: dict[str, list[Sighting]] = defaultdict(list)
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "headwater-watcher",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign(end_offsets(bootstrap, topics))
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None and message.value() is not None:
                self._note(message, time.perf_counter())

    def _note(self, message: Message, at: float) -> None:
        with suppress(Undecodable, SchemasUnavailableError):  # a record that is no event of ours
            event_id = decode(message.value() or b"", self._schemas).id
            headers = {name: value or b"" for name, value in _headers(message)}
            where = (message.topic() or "", message.partition() or 0, message.offset() or 0)
            self.seen[event_id].append(Sighting(*where, at, headers))


def _registry(url: str) -> Schemas | None:
    if not url:
        return None
    from consumers.registry import Registry  # noqa: PLC0415 - only Avro needs its library

    # The credentials are those of a consumer, by its variable.
    settings = ConsumerSettings(kafka_bootstrap_servers="-", kafka_topic="-", consumer_group_id="-")
    return Registry(url, settings.schema_registry_config)


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])

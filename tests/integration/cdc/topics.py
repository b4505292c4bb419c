"""Topics of the tests' own, and what they hold."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 6


@dataclass(frozen=True)
class Stored:
    """A record as a topic holds it."""

    partition: int
    key: str
    fields: dict[str, Any] | None
    headers: dict[str, bytes]
    value: bytes | None
    raw_key: bytes = b""

    @property
    def operation(self) -> str:
        """`c`, `u`, `d`, `r`, or `tombstone`."""
        return "tombstone" if self.fields is None else str(self.fields["__op"])


@dataclass(frozen=True)
class Topic:
    """A topic of the test's own."""

    name: str
    bootstrap: str
    partitions: int = PARTITIONS

    def records(self) -> list[Stored]:
        """Return everything the topic holds now, each partition in order."""
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap,
            "group.id": uuid4().hex,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        places = [TopicPartition(self.name, number, 0) for number in range(self.partitions)]
        consumer.assign(places)
        found, left = [], set(range(self.partitions))
        while left:
            message = consumer.poll(10)
            assert message is not None, "the broker does not answer"
            if message.error() is not None:
                left.discard(message.partition())
                continue
            value = message.value()
            headers = {name: bytes(content) for name, content in message.headers() or ()}
            key = json.loads(message.key()).get("id", message.key().decode())
            fields = None if value is None else json.loads(value)
            found.append(Stored(message.partition(), key, fields, headers, value, message.key()))
        consumer.close()
        return found

    def of(self, key: str) -> list[Stored]:
        """Return the records of one key, in order."""
        return [record for record in self.records() if record.key == key]


@contextmanager
def fresh_topics(bootstrap: str) -> Iterator[Callable[..., Topic]]:
    """Give a maker of topics, deleted afterwards."""
    admin, names = AdminClient({"bootstrap.servers": bootstrap}), []

    def make(partitions: int = PARTITIONS, **config: str) -> Topic:
        name = f"cdc-{uuid4().hex[:12]}"
        given = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=given)])[name].result(30)
        names.append(name)
        return Topic(name, bootstrap, partitions)

    yield make
    if names:
        for done in admin.delete_topics(names).values():
            done.result(30)

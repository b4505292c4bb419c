"""Owns the two engines as the run needs them: what is captured together, their settings, and the topics they write."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from cdc.debezium.client import Connect
from cdc.debezium.connector import document
from cdc.debezium.settings import ConnectSettings
from cdc.emission import FormatName
from cdc.settings import Settings
from cdc.tables import TableName
from tests.integration.cdc.conformance.shapes import Shape, quoted
from tests.integration.cdc.server import Database
from tests.integration.cdc.topics import PARTITIONS, Topic

BARRIER = "barrier"


@dataclass(frozen=True)
class Sent:
    """A record as a topic holds it."""

    partition: int
    offset: int
    key: bytes | None
    value: dict[str, Any] | None
    headers: dict[str, bytes]


class Reading:
    """Everything that a topic holds, read as it comes."""

    def __init__(self, topic: Topic) -> None:
        self._consumer = Consumer({
            "bootstrap.servers": topic.bootstrap,
            "group.id": uuid4().hex,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        self._consumer.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
        self.records: list[Sent] = []
        self._passed: set[tuple[int, int]] = set()

    def passed(self, barrier: int) -> bool:
        """Read on; say whether every partition has come to this barrier."""
        for message in self._consumer.consume(500, 0.02):
            assert message.error() is None, message.error()
            value, key = message.value(), message.key()
            headers = {name: bytes(content or b"") for name, content in message.headers() or ()}
            fields = None if value is None else json.loads(value)
            sent = Sent(message.partition() or 0, message.offset() or 0, key, fields, headers)
            if fields is not None and _table_of(fields) == BARRIER:
                row = fields.get("after") or fields
                self._passed.add((row["number"], sent.partition))
            else:
                self.records.append(sent)
        return all((barrier, partition) in self._passed for partition in range(PARTITIONS))

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def _table_of(fields: dict[str, Any]) -> str:
    return str(fields["source"]["table"] if "source" in fields else fields["__table"])


@dataclass(frozen=True)
class Lane:
    """Tables under the same settings of both engines: one slot, one topic and one process for each."""

    name: str
    shapes: Sequence[Shape]
    by_root: bool = True
    form: FormatName = FormatName.JSON
    stops: bool = False
    """Debezium's task fails at each of the shapes, so that each gets a connector of its own."""

    @property
    def publication(self) -> str:
        """The publication that both engines read."""
        return f"conformance_{self.name}"

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The captured tables."""
        named = [table for each in self.shapes for table in each.tables]
        return (TableName("public", BARRIER), *(TableName(*each) for each in named))

    def publish(self, database: Database) -> None:
        """Create the publication."""
        named = ", ".join([BARRIER, *(table for each in self.shapes for table in each.published)])
        database.run(
            f"CREATE PUBLICATION {self.publication} FOR TABLE {named}"
            f" WITH (publish_via_partition_root = {str(self.by_root).lower()})"
        )


@contextmanager
def connector(database: Database, topic: Topic, connect_url: str, lane: Lane) -> Iterator[Connect]:
    """Run a connector as `headwater cdc deploy` would, but for headers that tell a record's transaction."""
    name = f"{database.name}_{lane.name}"
    settings = Settings(
        database_url=SecretStr(database.url),
        kafka_bootstrap_servers=topic.bootstrap,
        slot_name=name,
        publication_name=lane.publication,
        cdc_tables=lane.tables,
        cdc_topic=topic.name,
        cdc_topic_prefix=name,
    )
    made = document(settings, snapshot="initial", autocreate="disabled")
    made["transforms.unwrap.add.headers"] = "source.txId,source.lsn"
    if lane.form is FormatName.DEBEZIUM:
        made = {name: value for name, value in made.items() if not name.startswith("transforms.unwrap.")}
        made["transforms"] = "route"
        made["skipped.operations"] = "none"
    where = ConnectSettings(
        connect_url=connect_url, connect_connector=name, connect_tries=400, connect_pause_seconds=0.1
    )
    with Connect(where) as worker:
        worker.wait_until_up()
        worker.put(made)
        try:
            yield worker
        finally:
            worker.stop()
            worker.wait_until_stopped()
            worker.forget()


def environment(lane: Lane, database: Database) -> dict[str, str]:
    """Return the settings of our own engine for a lane."""
    return {
        "SLOT_NAME": f"{database.name}_{lane.name}_ours",
        "PUBLICATION_NAME": lane.publication,
        "CDC_TABLES": ", ".join(f"{quoted(each.schema)}.{quoted(each.name)}" for each in lane.tables),
        "CDC_FORMAT": lane.form.value,
        "CDC_TRUNCATE": "skip" if lane.form is FormatName.JSON else "emit",
        "CDC_TOPIC_PREFIX": f"{database.name}_{lane.name}",
    }

"""From the database to a consumer's hands: the same headers in Avro as in JSON, and a table that changes on the way."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import schemas
from consumers import Consumer, ConsumerSettings, Record, decode
from consumers.registry import Registry
from tests.integration.avro.conftest import COLUMNS
from tests.integration.flink_jobs.stage import BASES, Stage, eventually
from tests.registry import RunningRegistry

CARS = "filtered-car-created-events"
HEADERS = {
    "plain": '{"uuid": "plain", "eventName": "Car Created"}',
    "escapes": '{"a": "quotes \\" and \\\\ backslash", "b": "line\\nbreak"}',
    "unicode": '{"text": "Grüße, 世界, \U0001f600, \u2028, \x7f"}',
    "sql": '{"text": "\'; DROP TABLE event_headers; --"}',
    "large": json.dumps({"text": "x" * 65536}),
    "numbers": '{"small": 1e-7, "big": 12345678901234567890.123456789, "null": null}',
    "empty": "{}",
}


class Source:
    """A database with the shipped tables."""

    def __init__(self, url: str, connection: "psycopg.Connection[Any]") -> None:
        self.url = url
        self._connection = connection

    def run(self, statement: str, *values: object) -> None:
        """Execute a statement."""
        self._connection.execute(statement.encode(), values or None)

    def insert(self, event_id: str, header_data: str, **columns: object) -> None:
        """Insert an event and its header; further columns are the header's alone."""
        now = datetime(2026, 11, 21, 10, 0, 0, 123456, UTC)
        event = {"id": event_id, "event_name": "Car Created", "event_type": "CarCreated", "created_date": now}
        self._insert("business_events", event | {"saved_date": now, "event_data": "{}"})
        self._insert("event_headers", event | {"saved_date": None, "header_data": header_data} | columns)

    def _insert(self, table: str, row: dict[str, object]) -> None:
        places = ", ".join(["%s"] * len(row))
        self.run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())  # noqa: S608


@pytest.fixture
def source(database_url: str) -> Iterator[Source]:
    """The database of the test."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
        yield Source(database_url, connection)


@contextmanager
def engine(source: Source, stage: Stage, slot: str, **changes: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run our own engine into the raw topic of a stage for as long as the block runs."""
    given = {
        "DATABASE_URL": source.url,
        "KAFKA_BOOTSTRAP_SERVERS": stage.bootstrap,
        "CDC_TOPIC": stage.raw,
        "CDC_DEAD_LETTER_TOPIC": "",
        "SLOT_NAME": slot,
        "CDC_CONFIRM_SECONDS": "0.05",
    }
    with (stage.folder / f"{slot}.log").open("wb") as log:
        command = [sys.executable, "-m", "cdc"]
        process = subprocess.Popen(command, env={**os.environ, **given, **changes}, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def consuming(stage: Stage, topic: str, registry_url: str = "") -> Iterator[dict[str, Record]]:
    """Run a consumer of a topic for as long as the block runs; give what it handled, by id."""
    settings = ConsumerSettings(
        kafka_bootstrap_servers=stage.bootstrap,
        kafka_topic=topic,
        consumer_group_id=uuid4().hex,
        schema_registry_url=registry_url,
    )
    seen: dict[str, Record] = {}
    stop = threading.Event()
    consumer = Consumer(settings, lambda record, _message: seen.update({record.id: record}))
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_every_header_is_the_same_in_avro_as_in_json(
    source: Source,
    avro_stage: Callable[..., Stage],
    registry: RunningRegistry,
    json_stage: Stage,
) -> None:
    """Event, engine, raw topic, Flink, filtered topic, consumer: both forms give equals (CD-117, FL-42, FL-85)."""
    plain, avro = json_stage, avro_stage(registry.url)
    told = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": registry.url}
    for stage in (plain, avro):
        stage.create_topics(*BASES)
        stage.submit()
    source.insert("snapshot", '{"uuid": "snapshot"}')
    with (
        engine(source, plain, f"j_{plain.name}"),
        engine(source, avro, f"a_{avro.name}", **told),
        consuming(plain, plain.filtered(CARS)) as in_json,
        consuming(avro, avro.filtered(CARS), registry.url) as in_avro,
    ):
        eventually(lambda: "snapshot" in in_json and "snapshot" in in_avro, "the snapshot has arrived")
        for event_id, header_data in HEADERS.items():
            source.insert(event_id, header_data)
        wanted = {"snapshot", *HEADERS}
        eventually(lambda: wanted <= in_json.keys() and wanted <= in_avro.keys(), "all have arrived in both forms")
    assert in_avro == in_json
    for event_id, header_data in HEADERS.items():
        fields = in_avro[event_id].fields
        # As jsonb keeps it: the same document, not the same spelling.
        assert json.loads(fields["header_data"]) == json.loads(header_data)
        assert tuple(fields) == COLUMNS
        assert (fields["created_date"], fields["saved_date"]) == ("2026-11-21T10:00:00.123456Z", None)
    assert in_avro["snapshot"].op == "r"
    assert plain.read(plain.dead) == avro.read(avro.dead) == []


def test_an_added_column_passes_job_and_consumers_that_go_on(
    source: Source, avro_stage: Callable[..., Stage], registry: RunningRegistry
) -> None:
    """Readers of the raw topic have it at once, filtered topics go on; nothing was restarted (CD-115, FL-49)."""
    stage = avro_stage(registry.url)
    stage.create_topics(*BASES)
    stage.submit()
    told = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": registry.url}
    with (
        engine(source, stage, f"a_{stage.name}", **told) as process,
        consuming(stage, stage.raw, registry.url) as raw,
        consuming(stage, stage.filtered(CARS), registry.url) as filtered,
    ):
        source.insert("before", "{}")
        eventually(lambda: "before" in raw and "before" in filtered, "the first has arrived")
        (job,) = stage.jobs()
        source.run("ALTER TABLE event_headers ADD COLUMN region text, ADD COLUMN weight bigint")
        source.insert("after", "{}", region="EU", weight=7)
        eventually(lambda: "after" in raw and "after" in filtered, "the second has arrived")
        assert process.poll() is None
    assert (raw["after"].fields["region"], raw["after"].fields["weight"]) == ("EU", 7)
    assert "region" not in raw["before"].fields
    assert tuple(filtered["after"].fields) == COLUMNS
    assert registry.get(f"/subjects/{stage.raw}-value/versions") == [1, 2]
    assert [each.id for each in stage.jobs()] == [job.id]
    assert stage.read(stage.dead) == []


def test_a_change_that_readers_could_not_take_stops_the_engine_before_its_first_record(
    source: Source, avro_stage: Callable[..., Stage], registry: RunningRegistry
) -> None:
    """The raw topic's subject forbids it: nothing of it is produced, and the job has what came before (FL-53)."""
    stage = avro_stage(registry.url)
    stage.create_topics(*BASES)
    stage.submit()
    source.run("ALTER TABLE event_headers ADD COLUMN weight bigint")
    told = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": registry.url}
    with (
        engine(source, stage, f"a_{stage.name}", **told) as process,
        consuming(stage, stage.filtered(CARS), registry.url) as filtered,
    ):
        source.insert("before", "{}", weight=1)
        eventually(lambda: "before" in filtered, "the first has arrived")
        source.run("ALTER TABLE event_headers ALTER COLUMN weight TYPE text")
        source.insert("after", "{}", weight="heavy")
        assert process.wait(60) == 1
        assert "schema_incompatible" in (stage.folder / f"a_{stage.name}.log").read_text()
    assert ids(stage, registry) == {"before"}
    assert filtered.keys() == {"before"}


def ids(stage: Stage, registry: RunningRegistry) -> set[str]:
    """Return the ids on the raw topic."""
    reading = Registry(registry.url, {})
    try:
        return {decode(bytes(each.value() or b""), reading).id for each in stage.read(stage.raw)}
    finally:
        reading.close()

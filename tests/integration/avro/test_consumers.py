"""A consumer and a schema registry: what it reads by it, what it waits for, what it gives up on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from structlog.testing import capture_logs

from consumers import Consumer, ConsumerSettings, Record
from tests.integration.avro.conftest import framed, header, raw_schema
from tests.registry import Door, RunningRegistry
from tests.waiting import eventually


@pytest.fixture
def settings(kafka_bootstrap: str, door: Door) -> ConsumerSettings:
    """Settings for a topic and a group of the test's own, and the registry behind the door."""
    name = uuid4().hex
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(f"t-{name}", 1, 1)])[f"t-{name}"].result(timeout=30)
    return ConsumerSettings(
        kafka_bootstrap_servers=kafka_bootstrap,
        kafka_topic=f"t-{name}",
        consumer_group_id=f"g-{name}-group",
        handler_wait_seconds=0.01,
        schema_registry_url=door.url,
    )


def produce(settings: ConsumerSettings, *values: bytes) -> None:
    """Write records and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value in values:
        producer.produce(settings.kafka_topic, value=value)
    assert producer.flush(30) == 0


@contextmanager
def running(settings: ConsumerSettings) -> Iterator[list[Record]]:
    """Run a consumer for as long as the block runs; give what it handles."""
    seen: list[Record] = []
    stop = threading.Event()
    thread = threading.Thread(target=Consumer(settings, lambda record, _: seen.append(record)).run, args=(stop,))
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def committed(settings: ConsumerSettings) -> int:
    """Return the group's committed offset, 0 when it has none."""
    reader = Reader({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.consumer_group_id})
    offset = reader.committed([TopicPartition(settings.kafka_topic, 0)], timeout=10)[0].offset
    reader.close()
    return max(offset, 0)


def letters(settings: ConsumerSettings) -> list[bytes]:
    """Return the reasons in the dead-letter topic of the group."""
    reader = Reader({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": uuid4().hex})
    try:
        if settings.dead_letter_topic not in reader.list_topics(timeout=10).topics:
            return []
        place = TopicPartition(settings.dead_letter_topic, 0, 0)
        _begin, end = reader.get_watermark_offsets(place, timeout=10)
        reader.assign([place] if end else [])
        found: list[bytes] = []
        while len(found) < end:
            message = reader.poll(30)
            assert message is not None
            if message.error() is None:
                found.append(dict(message.headers() or [])["dlq-reason"])
        return found
    finally:
        reader.close()


def test_plain_json_framed_json_and_avro_are_read_side_by_side(
    settings: ConsumerSettings, registry: RunningRegistry, door: Door
) -> None:
    """What a frame holds is told by its schema's type in the registry; without a frame it is JSON (FL-85)."""
    schema = raw_schema()
    number = registry.register(f"{uuid4().hex}-value", schema)
    door.schemas[8001] = {"schema": '{"type":"object"}', "schemaType": "JSON"}
    plain = json.dumps(header("same")).encode()
    produce(settings, plain, b"\0" + (8001).to_bytes(4, "big") + plain, framed(number, schema, header("same")))
    with running(settings) as seen:
        eventually(lambda: len(seen) == 3, "all are read")
    assert seen[0] == seen[1] == seen[2]
    assert seen[2].header["text"] == 'Grüße\n"\U0001f600'
    assert committed(settings) == 3


def test_an_added_column_reaches_a_running_consumer(settings: ConsumerSettings, registry: RunningRegistry) -> None:
    """A schema that is new to it is fetched at its first record; nothing is restarted (FL-85, CD-115)."""
    subject, schema = f"{uuid4().hex}-value", raw_schema()
    number = registry.register(subject, schema)
    with running(settings) as seen:
        produce(settings, framed(number, schema, header("before")))
        eventually(lambda: len(seen) == 1, "the first is read")
        wider = raw_schema(region=["null", "string"])
        produce(settings, framed(registry.register(subject, wider), wider, header("after", region="EU")))
        eventually(lambda: len(seen) == 2, "the second is read")
    assert (seen[1].id, seen[1].fields["region"], seen[0].fields.get("region")) == ("after", "EU", None)


@pytest.mark.parametrize("status", [None, 503, 401, 404])
def test_a_registry_that_does_not_serve_is_waited_for(
    settings: ConsumerSettings, registry: RunningRegistry, door: Door, status: int | None
) -> None:
    """The record is neither handled, nor marked, nor a dead letter until the registry is back (FL-84)."""
    schema = raw_schema()
    number = registry.register(f"{uuid4().hex}-value", schema)
    produce(settings, framed(number, schema, header("one")), framed(number, schema, header("two")))
    if status is None:
        door.shut()
    door.status = status
    with capture_logs() as logs, running(settings) as seen:
        eventually(lambda: sum(line["event"] == "schemas_unavailable" for line in logs) >= 3, "it tries again")
        assert (seen, committed(settings), letters(settings)) == ([], 0, [])
        door.status = None
        if status is None:
            door.open()
        eventually(lambda: [record.id for record in seen] == ["one", "two"], "both are handled, in order")
    assert (committed(settings), letters(settings)) == (2, [])


def test_what_the_registry_does_not_know_is_a_dead_letter(settings: ConsumerSettings, door: Door) -> None:
    """So are bytes that are not of their schema, and schemas that cannot be read; the rest goes on (FL-84)."""
    door.schemas |= {8002: {"schema": raw_schema()}, 8003: {"schema": "x", "schemaType": "PROTOBUF"}}
    door.schemas[8004] = {"schema": '{"type": "recor'}
    whole = framed(8002, raw_schema(), header("whole"))
    garbage: dict[bytes, bytes] = {
        b"\0\x7f\xff\xff\xff" + whole[5:]: b"has no schema 2147483647",
        whole[:-4]: b"not of schema 8002",
        whole + b"\0": b"more than one value",
        whole[:5] + b"\x02\xfe\xff\xff\xff\x0fabc": b"not of schema 8002",
        b"\0" + (8003).to_bytes(4, "big") + b"x": b"one of PROTOBUF",
        b"\0" + (8004).to_bytes(4, "big") + b"x": b"schema 8004 cannot be used",
    }
    produce(settings, *garbage, whole)
    with running(settings) as seen:
        eventually(lambda: [record.id for record in seen] == ["whole"], "the whole one is handled")
    reasons = letters(settings)
    assert len(reasons) == len(garbage)
    assert all(any(reason in told for told in reasons) for reason in garbage.values()), reasons


def test_credentials_are_sent(settings: ConsumerSettings, registry: RunningRegistry, door: Door) -> None:
    """User and password by the names that Confluent's clients use, or a token."""
    schema = raw_schema()
    number = registry.register(f"{uuid4().hex}-value", schema)
    produce(settings, framed(number, schema, header("one")))
    given: Any = {"schema_registry_config": {"basic.auth.user.info": "me:secret"}}
    with running(ConsumerSettings.model_validate(settings.model_dump() | given)) as seen:
        eventually(lambda: len(seen) == 1, "it is read")
    given = {"schema_registry_config": {"bearer.auth.token": "t"}, "consumer_group_id": uuid4().hex}
    with running(ConsumerSettings.model_validate(settings.model_dump() | given)) as seen:
        eventually(lambda: len(seen) == 1, "it is read")
    assert door.authorizations == ["Basic bWU6c2VjcmV0", "Bearer t"]

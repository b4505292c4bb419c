"""Logical messages and truncations on real servers: routed with their transaction, once through kills, in order."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from cdc.errors import Kind
from cdc.lsn import Position
from cdc.settings import Settings
from cdc.watch.doctor import diagnose

EMIT = "SELECT pg_logical_emit_message(%s, %s, %s)"


def read(topic: Any) -> list[Message]:
    """Return every record of a topic, partition by partition."""
    reader = Consumer({
        "bootstrap.servers": topic.bootstrap,
        "group.id": uuid4().hex,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
    })  # fmt: skip
    reader.assign([TopicPartition(topic.name, number, OFFSET_BEGINNING) for number in range(topic.partitions)])
    found: dict[int, list[Message]] = {number: [] for number in range(topic.partitions)}
    left = set(found)
    while left:
        message = reader.poll(10)
        assert message is not None, "the broker does not answer"
        if message.error() is not None:
            left.discard(message.partition())
        else:
            found[message.partition()].append(message)
    reader.close()
    return [message for messages in found.values() for message in messages]


def positions(messages: list[Message]) -> list[Position]:
    """Return the positions in their headers."""
    return [Position.decode(dict(message.headers())["cdc.position"]) for message in messages]


@pytest.fixture
def shared(new_topic: Callable[..., Any]) -> Any:
    """A topic of one partition, for rows and messages together."""
    return new_topic(1)


def test_a_message_comes_with_its_transaction_or_not_at_all(
    database: Any, shared: Any, launch: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    """Rolled back it is nothing; committed it stands among the rows; outside of transactions nothing takes it back."""
    engine = launch(CDC_TOPIC=shared.name, CDC_MESSAGES=f"outbox={shared.name}")
    engine.wait_for("streaming")
    event = {"id": "m1", "aggregatetype": "car", "aggregateid": "a-1", "type": "Sold", "payload": {"price": 1}}
    with database.connection.transaction(force_rollback=True):
        database.run(EMIT, True, "outbox", "gone")
        database.run(EMIT, False, "outbox", "stays")
    with database.connection.transaction():
        database.insert("e1")
        database.run(EMIT, True, "outbox", json.dumps(event))
        database.run(EMIT, True, "other", "nobody asked")
        database.insert("e2")
    wait_until(lambda: len(read(shared)) == 4, "four records")
    found = read(shared)
    assert [message.key() for message in found] == [b"outbox", b'{"id":"e1"}', b"a-1", b'{"id":"e2"}']
    assert [found[0].value(), json.loads(found[2].value())] == [b"stays", {"price": 1}]
    headers = dict(found[2].headers())
    assert (headers["id"], headers["type"], headers["aggregatetype"]) == (b"m1", b"Sold", b"car")
    assert headers["cdc.xid"] == dict(found[1].headers())["cdc.xid"]
    assert positions(found) == sorted(positions(found))
    assert engine.stop() == 0


def test_a_message_right_before_a_commit_has_a_place_of_its_own(
    database: Any, shared: Any, launch: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    """Where its record ends that of the commit begins: both are one LSN, and still two positions (CD-110)."""
    engine = launch(CDC_TOPIC=shared.name, CDC_MESSAGES=f"outbox={shared.name}")
    engine.wait_for("streaming")
    for number in range(5):
        with database.connection.transaction():
            database.insert(f"e{number}")
            database.run(EMIT, False, "outbox", "stays")
    wait_until(lambda: len(read(shared)) == 10, "ten records")
    found = positions(read(shared))
    assert found == sorted(set(found))
    # Somebody else may have written in between, but hardly five times.
    assert len({position.lsn for position in found}) < 10
    assert engine.stop() == 0


def test_kills_neither_repeat_nor_lose_a_message(
    database: Any, topic: Any, shared: Any, launch: Callable[..., Any], wait_until: Callable[..., Any], slot: str
) -> None:
    """Messages of both kinds and rows, through five kills: each once, in order (CD-110)."""
    environment = {"CDC_MESSAGES": f"outbox={shared.name}"}
    engine = launch(**environment)
    engine.wait_for("streaming")
    sent: list[bytes] = []
    for life in range(6):
        for number in range(40):
            text = f"{life}-{number}"
            if number % 3 == 0:
                database.run(EMIT, False, "outbox", text)
            else:
                with database.connection.transaction():
                    database.insert(text)
                    database.run(EMIT, True, "outbox", text)
            sent.append(text.encode())
            if number == 20 + life and life < 5:
                engine.kill()
        if life < 5:
            engine = launch(**environment)
            engine.wait_for("streaming")
    database.insert("last")
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything is confirmed")
    assert [message.value() for message in read(shared)] == sent
    assert positions(read(shared)) == sorted(set(positions(read(shared))))
    assert engine.stop() == 0
    assert sorted(record.key for record in topic.records()) == sorted(
        [text.decode() for number, text in enumerate(sent) if number % 40 % 3] + ["last"]
    )


def test_a_restart_after_a_confirmed_message_does_not_send_it_again(
    database: Any, shared: Any, launch: Callable[..., Any], wait_until: Callable[..., Any], slot: str
) -> None:
    """With the topic emptied no floor is left to skip by: the server itself sends no message from before."""
    engine = launch(CDC_MESSAGES=f"outbox={shared.name}")
    engine.wait_for("streaming")
    database.run(EMIT, False, "outbox", "one")
    database.insert("e1")
    wait_until(lambda: len(read(shared)) == 1, "the message")
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything is confirmed")
    assert engine.stop() == 0
    admin = AdminClient({"bootstrap.servers": shared.bootstrap})
    ends = [TopicPartition(shared.name, 0, -1)]
    for deleted in admin.delete_records(ends).values():
        deleted.result(30)
    again = launch(CDC_MESSAGES=f"outbox={shared.name}")
    again.wait_for("streaming")
    database.run(EMIT, False, "outbox", "two")
    database.insert("e2")
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything is confirmed")
    assert [message.value() for message in read(shared)] == [b"two"]
    assert again.stop() == 0


def test_an_emitted_truncation_is_in_every_partition_once(
    database: Any, topic: Any, launch: Callable[..., Any], wait_until: Callable[..., Any], slot: str
) -> None:
    """Behind the rows that it ended and before those that follow, in each partition, also after kills."""
    for round_ in range(3):
        engine = launch(CDC_TRUNCATE="emit")
        engine.wait_for("streaming")
        database.insert(*(f"{round_}-{number}" for number in range(60)))
        database.run("TRUNCATE event_headers CASCADE")
        database.insert(*(f"{round_}-after-{number}" for number in range(60)))
        if round_ < 2:
            engine.kill()
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything is confirmed")
    for partition in range(topic.partitions):
        own = [message for message in read(topic) if message.partition() == partition]
        assert positions(own) == sorted(set(positions(own)))
        shape = [
            "t" if message.key() == b'{"__truncated":"public.event_headers"}' else json.loads(message.key())["id"]
            for message in own
        ]
        assert shape.count("t") == 3
        for round_, at in enumerate(index for index, key in enumerate(shape) if key == "t"):
            assert all("after" not in key for key in shape[:at] if key.startswith(f"{round_}-"))
            assert all("after" in key for key in shape[at:] if key.startswith(f"{round_}-"))
    assert engine.stop() == 0


def test_doctor_and_engine_name_a_missing_topic_of_messages(
    database: Any, topic: Any, launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where messages are to go must be there before anything is read."""
    missing = f"missing-{uuid4().hex}"
    engine = launch(CDC_MESSAGES=f"outbox={missing}")
    assert engine.exit_code() == 1
    (stopped,) = engine.events("stopped_by_error")
    assert stopped["kind"] == "topic"
    assert "CDC_MESSAGES" in stopped["remedy"]
    given = {"DATABASE_URL": database.url, "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap, "CDC_TOPIC": topic.name}
    for name, value in {**given, "CDC_MESSAGES": f"outbox={missing}"}.items():
        monkeypatch.setenv(name, value)
    (found,) = [each for each in diagnose(Settings()) if each.kind is Kind.TOPIC]
    assert missing in found.found
    assert "CDC_MESSAGES" in found.remedy

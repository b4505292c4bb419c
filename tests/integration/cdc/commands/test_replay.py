"""`headwater cdc replay --dead-letters` brings back what can be brought back: once, marked, and nothing over newer."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from cdc.errors import CdcError, Kind
from cdc.letters.deadletters import Letters
from cdc.lsn import Lsn, Position
from cdc.pgoutput.encoder import encode_change
from cdc.pgoutput.messages import Column, Insert, Relation, ReplicaIdentity
from cdc.records import COMMITTED, SOURCE, XID, Record

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # only Kafka is asked

Replay = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def dead(new_topic) -> Any:
    """A dead-letter topic."""
    return new_topic(2)


@pytest.fixture
def replay(headwater_cdc, dead) -> Replay:
    """Run `headwater cdc replay --dead-letters …` for a topic."""

    def run(topic: Any, *options: str) -> tuple[int, dict[str, Any]]:
        given = {"CDC_TOPIC": topic.name, "CDC_DEAD_LETTER_TOPIC": dead.name}
        return headwater_cdc("replay", "--dead-letters", *options, **given)  # type: ignore[no-any-return]

    return run


def states(document: dict[str, Any]) -> list[str]:
    """Return the states of the letters, in order."""
    return [letter["state"] for letter in document["letters"]]


def widen(topic: Any) -> None:
    """Let a topic take 16 MB."""
    entry = ConfigEntry("max.message.bytes", str(16 * 1024 * 1024), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": topic.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(10)


def test_a_row_of_5_megabytes_comes_back_byte_exact_once_the_topic_takes_it(
    database, topic, dead, launch, slot, wait_until, replay: Replay
) -> None:
    """In parts beside a topic of the default size; then whole, once, and no engine takes it for its own position."""
    engine = launch(CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    noise = json.dumps(os.urandom(2_500_000).hex())
    database.insert("large", data=noise)
    database.insert("after")
    wait_until(lambda: topic.of("after"), "the next record")
    code, document = replay(topic, "--all")
    assert (code, states(document), document["sent"]) == (0, ["too_large"], 0)
    assert document["letters"][0]["parts"] > 5
    widen(topic)
    position = document["letters"][0]["position"]
    code, document = replay(topic, "--all", "--dry-run")
    assert (code, states(document), document["sent"]) == (0, ["ready"], 0)
    code, document = replay(topic, "--position", position)
    assert (code, states(document), document["sent"]) == (0, ["replayed"], 1)
    (record,) = topic.of("large")
    assert record.fields is not None
    assert record.fields["header_data"] == noise
    assert (record.operation, record.fields["__table"]) == ("c", "event_headers")
    assert "cdc.position" not in record.headers
    assert (record.headers["cdc.replay"], record.headers["cdc.replayed_position"]) == (
        b"dead-letter",
        position.encode(),
    )
    assert replay(topic, "--all") == (0, {"letters": [{**document["letters"][0], "sent": False}], "sent": 0})
    assert engine.stop() == 0
    database.insert("last")
    launch(CDC_DEAD_LETTER_TOPIC=dead.name).wait_for("streaming")
    wait_until(lambda: topic.of("last"), "the record after the restart")
    assert sorted(record.key for record in topic.records()) == ["after", "large", "last"]


def test_a_letter_does_not_overwrite_something_newer_unless_told_to(
    database, new_topic, dead, launch, wait_until, replay: Replay
) -> None:
    """The row changed since: superseded, and listed as such; a position that is not there is an error."""
    topic = new_topic(max_message_bytes="20000")
    launch(CDC_TOPIC=topic.name, CDC_DEAD_LETTER_TOPIC=dead.name).wait_for("streaming")
    for key in ("changed", "kept"):
        database.insert(key, data=json.dumps(os.urandom(15_000).hex()))
    database.run("UPDATE event_headers SET header_data = '{}' WHERE id = 'changed'")
    wait_until(lambda: topic.of("changed"), "the update")
    widen(topic)
    code, document = replay(topic, "--all")
    assert (code, states(document), document["sent"]) == (0, ["superseded", "replayed"], 1)
    assert [record.operation for record in topic.of("changed")] == ["u"]
    code, document = replay(topic, "--all", "--superseded")
    assert (code, document["sent"]) == (0, 1)
    assert [record.operation for record in topic.of("changed")] == ["u", "c"]
    assert replay(topic, "--all", "--superseded")[1]["sent"] == 0
    assert replay(topic, "--all", "--again")[1]["sent"] == 2
    code, document = replay(topic, "--position", "0/0/4")
    assert code != 0


def test_an_unencodable_change_is_encoded_by_the_version_of_today(database, topic, dead, replay: Replay) -> None:
    """The stored message with its stored relation; here what an older version could not encode is sound by now."""
    columns = (Column("id", 25, -1, is_key=True), Column("at", 1184, -1, is_key=False))
    relation = Relation(4711, "public", "gone", ReplicaIdentity.DEFAULT, columns)
    change = encode_change(Insert(4711, ("a", "2026-11-21 03:05:00.5+00")))
    ((identifier,),) = database.run("SELECT system_identifier::text FROM pg_control_system()")
    headers = [(SOURCE, f"{identifier}/{database.name}".encode()), (XID, b"7"), (COMMITTED, b"1795230000000000")]
    place = Record(topic.name, b'{"id":"a"}', change, Position(Lsn(64), 4), [*headers])
    parts = Letters({topic.name: dead.name}).unencodable(CdcError(Kind.UNENCODABLE, "once"), place, relation, ("id",))
    producer = Producer({"bootstrap.servers": topic.bootstrap})
    # The Flink job's letters share the topic; they are none of ours.
    producer.produce(dead.name, b"garbage", headers=[("dlq-reason", b"not JSON"), ("dlq-topic", topic.name.encode())])
    for part in parts:
        producer.produce(part.topic, part.value, part.key, headers=part.headers)
    assert producer.flush(10) == 0
    code, document = replay(topic, "--all")
    assert (code, states(document), document["sent"]) == (0, ["replayed"], 1)
    (record,) = topic.records()
    assert record.fields is not None
    assert {name: record.fields[name] for name in ("id", "at", "__op", "__table")} == {
        "id": "a",
        "at": "2026-11-21T03:05:00.5Z",
        "__op": "c",
        "__table": "gone",
    }
    assert (record.headers["cdc.xid"], record.headers["cdc.replayed_position"]) == (b"7", b"0/40/4")

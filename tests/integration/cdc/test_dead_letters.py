"""A change that cannot become a record goes to the dead-letter topic, exact, and the stream goes on (CD-28, CD-66)."""

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from cdc.letters.letterbox import Letter, load, scan
from cdc.letters.sizes import wire_size
from cdc.lsn import Position

NOISE = os.urandom(15_000).hex()
"""A value that no topic of 20,000 bytes takes, and that does not compress."""


@pytest.fixture
def letters_of() -> Callable[[Any], list[Letter]]:
    """A reader of the letters in a dead-letter topic, in the order of their positions."""

    def read(topic: Any) -> list[Letter]:
        return sorted(scan(topic.bootstrap, {}, [topic.name]).letters, key=lambda letter: letter.position)

    return read


@pytest.fixture
def dead(new_topic) -> Any:
    """A dead-letter topic of three partitions that takes no more than the narrow topics of these tests."""
    return new_topic(3, max_message_bytes="20000")


@pytest.fixture
def narrow(new_topic) -> Any:
    """A topic that takes 20,000 bytes."""
    return new_topic(max_message_bytes="20000")


def content_of(letter: Letter, topic: Any) -> bytes | None:
    """Return what a letter holds."""
    return load(topic.bootstrap, {}, letter).value


def test_small_records_under_load_fit_a_narrow_topic(database, narrow, launch, wait_until) -> None:
    """A batch is never larger than its topic takes: none of many small records is refused with it."""
    database.insert(*(f"{number:05}" for number in range(3000)), data='{"text": "' + "x" * 300 + '"}')
    engine = launch(CDC_TOPIC=narrow.name)
    engine.wait_for("streaming")
    database.insert(*(f"s{number:05}" for number in range(3000)), data='{"text": "' + "x" * 300 + '"}')
    wait_until(lambda: len(narrow.records()) == 6000, "all records")
    assert engine.stop() == 0
    assert not engine.events("retrying")


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_record_too_large_goes_byte_exact_in_parts(
    database, narrow, dead, launch, wait_until, letters_of, place: str
) -> None:
    """Wherever it stands in its transaction, the others arrive and the letter holds key and value as they were."""
    engine = launch(CDC_TOPIC=narrow.name, CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    at = {"first": 0, "middle": 2, "last": 4}[place]
    with database.connection.transaction():
        for number in range(5):
            database.insert(str(number), data=json.dumps(NOISE) if number == at else "{}")
    wait_until(lambda: len(narrow.records()) == 4, "the other records")
    (letter,) = wait_until(lambda: letters_of(dead), "the letter")
    assert engine.stop() == 0
    assert {record.key for record in narrow.records()} == {str(number) for number in range(5)} - {str(at)}
    assert (letter.reason, letter.topic, letter.table) == ("too_large", narrow.name, "public.event_headers")
    assert letter.parts == 2
    fields = json.loads(content_of(letter, dead) or b"")
    assert (fields["id"], fields["__op"], fields["header_data"]) == (str(at), "c", json.dumps(NOISE))
    said = engine.events("dead_letter")
    assert [each["position"] for each in said] == [letter.position.encode().decode()]
    assert NOISE[:40] not in json.dumps(engine.log)


def test_a_restart_repeats_no_letter(database, narrow, dead, launch, slot, wait_until, letters_of) -> None:
    """Kills between letters and records: each change is a record or a letter, once, in order (CD-110)."""
    engine = launch(CDC_TOPIC=narrow.name, CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    expected = Counter[str]()
    for life in range(4):
        with database.connection.transaction():
            for number in range(60):
                key = f"{life}-{number}"
                database.insert(key, data=json.dumps(NOISE) if number % 7 == life else "{}")
                expected[key] += 1
        wait_until(lambda: letters_of(dead), "some letter")
        engine.kill()
        engine = launch(CDC_TOPIC=narrow.name, CDC_DEAD_LETTER_TOPIC=dead.name)
        engine.wait_for("streaming")
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed")
    assert engine.stop() == 0
    letters = letters_of(dead)
    found = Counter(record.key for record in narrow.records())
    assert (
        len({letter.position for letter in letters})
        == len(letters)
        == sum(1 for life in range(4) for number in range(60) if number % 7 == life)
    )
    assert found + Counter(json.loads(letter.key)["id"] for letter in letters) == expected
    for partition in range(narrow.partitions):
        own = [record for record in narrow.records() if record.partition == partition]
        positions = [Position.decode(record.headers["cdc.position"]) for record in own]
        assert positions == sorted(set(positions))


def test_a_limit_lowered_while_the_engine_runs(database, new_topic, dead, launch, slot, wait_until, letters_of) -> None:
    """The broker refuses a batch, nothing behind it is stored, and the next session knows what to do."""
    wide = new_topic(1)
    engine = launch(CDC_TOPIC=wide.name, CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    database.insert("before", data=json.dumps(NOISE))
    before = database.wal_end()
    wait_until(lambda: wide.of("before"), "a record that still fits")
    # What is not confirmed is judged anew by the limit that is found then.
    wait_until(lambda: database.confirmed(slot) >= before, "it is confirmed")
    entry = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, wide.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": wide.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(10)
    with database.connection.transaction():
        database.insert("large", data=json.dumps(NOISE))
        database.insert(*(f"after{number}" for number in range(20)))
    engine.wait_for("streaming", count=2)
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed")
    assert engine.stop() == 0
    assert [record.key for record in wide.records()] == ["before", *(f"after{number}" for number in range(20))]
    assert [letter.key for letter in letters_of(dead)] == [b'{"id":"large"}']


def test_without_a_dead_letter_topic_a_poison_record_stops_the_engine(database, narrow, launch) -> None:
    """Never created in silence, never lost: a warning at the start, and at the record the stop and its remedy."""
    engine = launch(CDC_TOPIC=narrow.name)
    finding = engine.wait_for("finding")
    assert finding["kind"] == "dead_letter_topic"
    assert f"--create --topic dlq-{narrow.name}" in finding["remedy"]
    engine.wait_for("streaming")
    database.insert("large", data=json.dumps(NOISE))
    assert engine.exit_code() == 1
    assert engine.events("stopped_by_error")[0]["kind"] == "record_too_large"


def test_our_reckoning_of_a_records_size_is_the_brokers(new_topic) -> None:
    """To the byte: what is called too large is refused, what is not is taken, whatever the lengths of its parts."""
    refused = {0: 0, 1: 0}
    topic = new_topic(1, max_message_bytes="20000")
    for key, headers in ((b"k", []), (b"k" * 200, [("cdc.position", b"1/2/3"), ("x" * 130, b"y" * 9000), ("n", None)])):
        value = b"v" * (20_000 - wire_size(key, b"v" * 9000, headers) + 9000)
        for beyond in (0, 1):
            assert wire_size(key, value + b"v" * beyond, headers) == 20_000 + beyond
            producer = Producer({"bootstrap.servers": topic.bootstrap, "enable.idempotence": True})
            outcome: list[Any] = []
            producer.produce(
                topic.name,
                value + b"v" * beyond,
                key,
                headers=headers,
                on_delivery=lambda error, _, outcome=outcome: outcome.append(error),
            )
            producer.flush(20)
            assert len(outcome) == 1
            refused[beyond] += outcome[0] is not None
    assert refused == {0: 0, 1: 2}

"""The rows that are there at the first start, and the changes made meanwhile: each once, whatever is killed when."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest


@contextmanager
def writing(database: Any, prefix: str) -> Iterator[list[str]]:
    """Insert one event after the other in the background; give their ids as they commit."""
    ids: list[str] = []
    ended = threading.Event()

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not ended.wait(0.001):
                key = f"{prefix}{len(ids):06}"
                database.insert(key, connection=connection)
                ids.append(key)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield ids
    finally:
        ended.set()
        thread.join()


def births(topic: Any) -> Counter[str]:
    """Return how often each event appears as `c` or `r`."""
    return Counter(record.key for record in topic.records() if record.operation in ("c", "r"))


def test_rows_then_stream_without_gap_or_repeat(database, topic, launch, wait_until) -> None:
    """Events posted before, during and after the snapshot are each there once (CD-113)."""
    with database.connection.transaction():
        database.insert(*(f"old{number:05}" for number in range(3000)))
    with writing(database, "new") as ids:
        wait_until(lambda: len(ids) > 50, "writes before the start")
        engine = launch()
        engine.wait_for("streaming")
        there = len(ids)
        wait_until(lambda: len(ids) > there + 100, "writes after the snapshot")
    expected = {key for (key,) in database.run("SELECT id FROM event_headers")}
    wait_until(lambda: births(topic).keys() >= expected, "all events")
    assert births(topic) == Counter(expected)
    operations = Counter(record.operation for record in topic.records())
    assert operations["r"] >= 3000
    assert operations["c"] >= 100
    assert engine.stop() == 0


@pytest.mark.slow
def test_a_snapshot_killed_again_and_again_is_completed_without_a_repeat(
    database, topic, launch, slot, wait_until
) -> None:
    """Kill -9 at random moments of the snapshot, under inserts, updates and deletes: no row lost, none twice."""
    chance = random.Random(f"{database.url}")
    with database.connection.transaction():
        database.insert(*(f"old{number:05}" for number in range(20_000)), data='{"text": "' + "x" * 300 + '"}')
    resumed = 0
    with writing(database, "new") as ids:
        for round_ in range(8):
            engine = launch(CDC_MAX_IN_FLIGHT_RECORDS="500")
            engine.wait_for("snapshot_started" if round_ == 0 else "snapshot_resumed")
            victim = chance.randrange(20_000)
            database.run("UPDATE event_headers SET event_name = 'changed' WHERE id = %s", f"old{victim:05}")
            database.run("DELETE FROM event_headers WHERE id = %s", ids[chance.randrange(len(ids))])
            threading.Event().wait(chance.uniform(0, 0.3))
            engine.kill()
            if database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot):
                break
            resumed += 1
        engine = launch()
        engine.wait_for("streaming", seconds=60)
    assert resumed > 0, "no kill hit the snapshot"
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything confirmed")
    there = {key for (key,) in database.run("SELECT id FROM event_headers")}
    once = births(topic)
    assert {key for key, times in once.items() if times > 1} == set()
    assert there - once.keys() == set()
    deleted = {record.key for record in topic.records() if record.operation == "d"}
    assert once.keys() - there <= deleted
    names = [
        row[0]
        for row in database.run("SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()")
    ]
    assert names == [slot]


def test_several_tables_share_a_topic_or_have_their_own(database, new_topic, launch, slot, wait_until) -> None:
    """Snapshot and stream reach the topic that the pattern names, also after a restart in between."""
    database.run('CREATE TABLE "other.Table" (a int, b text, PRIMARY KEY (b, a))')
    database.run('ALTER PUBLICATION event_headers_debezium_publication ADD TABLE "other.Table"')
    database.run("INSERT INTO \"other.Table\" VALUES (1, 'x'), (2, 'x'), (1, 'y')")
    database.insert("e1")
    topic = new_topic()
    tables = 'public.event_headers, public."other.Table"'
    engine = launch(CDC_TABLES=tables, CDC_TOPIC=topic.name)
    engine.wait_for("streaming")
    assert engine.stop() == 0
    engine = launch(CDC_TABLES=tables, CDC_TOPIC=topic.name)
    database.run("INSERT INTO \"other.Table\" VALUES (3, 'z')")
    records = wait_until(lambda: (found := topic.records()) and len(found) == 5 and found, "five records")
    assert Counter((record.fields["__table"], record.operation) for record in records) == {
        ("event_headers", "r"): 1,
        ("other.Table", "r"): 3,
        ("other.Table", "c"): 1,
    }
    assert {record.key for record in records if record.operation == "c"} == {'{"b":"z","a":3}'}


def test_a_snapshot_sees_what_the_publication_lets_through(database, topic, launch, wait_until) -> None:
    """Column list and row filter hold for rows that were there as for those that come."""
    database.run("CREATE PUBLICATION narrow FOR TABLE event_headers (id, event_type) WHERE (id NOT LIKE 'hidden%')")
    database.insert("hidden1", "shown1")
    launch(PUBLICATION_NAME="narrow").wait_for("streaming")
    database.insert("hidden2", "shown2")
    wait_until(lambda: len(topic.records()) == 2, "two records")
    shown = {(record.key, record.operation): set(record.fields) for record in topic.records()}
    fields = {"id", "event_type", "__deleted", "__op", "__table", "__ts_ms"}
    assert shown == {("shown1", "r"): fields, ("shown2", "c"): fields}


def test_never_takes_no_snapshot(database, topic, launch, wait_until) -> None:
    """Only what commits after the slot's birth is captured."""
    database.insert("before")
    launch(CDC_SNAPSHOT_MODE="never").wait_for("streaming")
    database.insert("after")
    wait_until(topic.records, "a record")
    assert births(topic) == {"after": 1}


def test_a_lost_slot_is_no_silent_gap(database, topic, launch, slot, wait_until) -> None:
    """With records in the topic and no slot the engine refuses, and `when_needed` begins with a snapshot."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert("first")
    wait_until(topic.records, "a record")
    assert engine.stop() == 0
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    database.insert("unseen")
    engine = launch()
    assert engine.exit_code() == 1
    (said,) = engine.events("stopped_by_error")
    assert said["kind"] == "slot_lost"
    assert "when_needed" in said["remedy"]
    launch(CDC_SNAPSHOT_MODE="when_needed").wait_for("streaming")
    assert births(topic) == {"first": 2, "unseen": 1}


@pytest.mark.parametrize("signal_first", [True, False])
def test_the_birth_of_a_slot_waits_for_old_transactions_and_can_be_stopped(
    database, topic, launch, slot, signal_first, wait_until
) -> None:
    """A long transaction holds the consistent point back; SIGTERM ends the wait with code 0 and leaves no slot."""
    with psycopg.connect(database.url) as slow:
        slow.execute("INSERT INTO business_events VALUES ('slow', 'x', NULL, NULL, NULL, '{}')")
        engine = launch()
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%%' AND wait_event IS NOT NULL"
        )
        wait_until(lambda: database.run(waiting) or None, "the slot's creation waits")
        if signal_first:
            assert engine.stop() == 0
            none = "SELECT 1 FROM pg_replication_slots WHERE database = current_database()"
            wait_until(lambda: not database.run(none), "no slot is left")
            return
        slow.execute("INSERT INTO event_headers VALUES ('slow', 'x', NULL, NULL, NULL, '{}')")
        slow.commit()
    engine.wait_for("streaming")
    assert births(topic) == {"slow": 1}

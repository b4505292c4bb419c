"""Incremental snapshots of all kinds of tables: conditions, names, keys, partitions; what is refused or fails."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Ask = Callable[..., tuple[int, dict[str, Any]]]

PUBLICATION = "event_headers_debezium_publication"


@pytest.fixture
def ask(headwater_cdc) -> Ask:
    """Run `headwater cdc snapshot …` for an engine of these tables."""

    def run(*arguments: str, tables: str = "public.event_headers") -> tuple[int, dict[str, Any]]:
        return headwater_cdc("snapshot", *arguments, CDC_TABLES=tables)  # type: ignore[no-any-return]

    return run


def keys_read(topic: Any) -> Counter[str]:
    """Return how often each key came as `r`, as the topic has it."""
    return Counter(record.key for record in topic.records() if record.operation == "r")


def test_a_condition_picks_rows(database, topic, launch, ask: Ask) -> None:
    """Only what the condition picks comes, whatever characters it has; one that is no SQL is refused."""
    database.insert(*(f"e{number}" for number in range(10)), "100%")
    launch(CDC_SNAPSHOT_MODE="never").wait_for("streaming")
    code, document = ask("event_headers", "--where", "id LIKE '%%%' AND id <> 'e3' -- not this one")
    assert (code, document["rows"]) == (0, 10)
    assert keys_read(topic) == {"100%": 1, **{f"e{number}": 1 for number in range(10) if number != 3}}
    code, document = ask("event_headers", "--where", "nothing = 1")
    assert code == 1
    assert "the condition cannot be used" in document["said"]
    code, document = ask("event_headers", "--where", "true); SELECT (1")
    assert code == 1
    assert "the condition cannot be used" in document["said"]
    code, document = ask("event_headers", "--where", "id = 'none'")
    assert (code, document["rows"], document["state"]) == (0, 0, "done")


def an_order(database: Any) -> str:
    """Return a collation that puts a before B; a server built without any has only the order of bytes."""
    for (name,) in database.run("SELECT collname::text FROM pg_collation WHERE collprovider IN ('i', 'c') ORDER BY 1"):
        try:
            if database.run(f"SELECT 'a' < 'B' COLLATE \"{name}\"") == [(True,)]:
                return str(name)
        except psycopg.Error:
            continue
    return "C"


def test_keys_of_any_kind_are_read_in_their_own_order(database, topic, launch, ask: Ask) -> None:
    """Composite keys, an order that is not that of bytes, quotes, dots and percent signs in names: each row once."""
    database.run('CREATE SCHEMA "My %s"')
    database.run(
        f'CREATE TABLE "My %s"."a.b ""c""" ("Größe" int, "k%y" text COLLATE "{an_order(database)}", v text,'
        ' PRIMARY KEY ("k%y", "Größe"))'
    )
    texts = ["a", "B", "c", "D", "ä", "Z", "zz", "é", "'quoted'", "per%cent", ""]
    for text in texts:
        database.run('INSERT INTO "My %%s"."a.b ""c""" SELECT n, %s, \'v\' FROM generate_series(-20, 20) n', text)
    database.run(f'ALTER PUBLICATION {PUBLICATION} ADD TABLE "My %s"."a.b ""c"""')
    tables = 'public.event_headers, "My %s"."a.b ""c"""'
    launch(CDC_SNAPSHOT_MODE="never", CDC_TABLES=tables).wait_for("streaming")
    code, document = ask('"My %s"."a.b ""c"""', tables=tables)
    assert (code, document["rows"]) == (0, 41 * len(texts))
    assert set(keys_read(topic).values()) == {1}
    assert len(keys_read(topic)) == 41 * len(texts)


def test_a_partitioned_table_is_read_as_a_whole(database, topic, launch, ask: Ask) -> None:
    """Under its root's name, over all partitions, in one order."""
    database.run("CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY HASH (id)")
    for number in range(3):
        database.run(f"CREATE TABLE parts_{number} PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER {number})")
    database.run("INSERT INTO parts SELECT n, 'v' FROM generate_series(1, 500) n")
    database.run("CREATE PUBLICATION whole FOR TABLE parts WITH (publish_via_partition_root = true)")
    given = {"CDC_SNAPSHOT_MODE": "never", "CDC_TABLES": "public.parts", "PUBLICATION_NAME": "whole"}
    launch(**given).wait_for("streaming")
    os.environ["PUBLICATION_NAME"] = "whole"
    try:
        code, document = ask("parts", tables="public.parts")
    finally:
        del os.environ["PUBLICATION_NAME"]
    assert (code, document["rows"]) == (0, 500)
    assert {record.fields["__table"] for record in topic.records()} == {"parts"}
    assert len(keys_read(topic)) == 500


def test_what_cannot_be_met_is_refused_with_its_remedy(database, launch, ask: Ask, slot) -> None:
    """No engine, a table that is not captured, one without a key: exit 1, and what to do."""
    code, document = ask("event_headers")
    assert code == 1
    assert f"there is no slot {slot}" in document["said"]
    database.run("CREATE TABLE keyless (a int)")
    database.run("ALTER TABLE keyless REPLICA IDENTITY FULL")
    database.run(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE keyless")
    tables = "public.event_headers, public.keyless"
    engine = launch(CDC_SNAPSHOT_MODE="never", CDC_TABLES=tables)
    engine.wait_for("streaming")
    code, document = ask("keyless", tables=tables)
    assert code == 1
    assert "no unique key" in document["said"]
    assert "primary key" in document["said"]
    code, document = ask("business_events", tables=tables)
    assert code == 1
    assert "CDC_TABLES" in document["said"]
    assert engine.stop() == 0
    code, document = ask("event_headers")
    assert code == 1
    assert "no engine streams" in document["said"]


def test_jobs_queue_fail_and_are_cancelled_while_the_stream_goes_on(
    database, topic, launch, ask: Ask, wait_until
) -> None:
    """An old writer holds its table's job, not the stream; cancelled and failed jobs end and the next one begins."""
    database.run("CREATE TABLE gone (id int PRIMARY KEY)")
    database.run(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE gone")
    database.insert("a", "b")
    tables = "public.event_headers, public.gone"
    engine = launch(CDC_SNAPSHOT_MODE="never", CDC_TABLES=tables, CDC_CHUNK_SECONDS="0.5")
    engine.wait_for("streaming")
    database.run("INSERT INTO gone VALUES (1)")
    with psycopg.connect(database.url) as writer:
        writer.execute("INSERT INTO gone VALUES (2)")
        assert ask_quietly(ask, "gone", tables) == 0
        engine.wait_for("snapshot_waits")
        assert ask_quietly(ask, "event_headers", tables) == 0
        code, _ = ask("--cancel", "public.event_headers", tables=tables)
        assert code == 0
        assert engine.wait_for("snapshot_ended")["outcome"] == "cancelled"
        database.insert("c")
        wait_until(lambda: topic.of("c"), "the stream goes on")
        writer.execute("DROP TABLE gone")
    failed = engine.wait_for("snapshot_ended", count=2)
    assert (failed["outcome"], "not captured" in failed["error"]) == ("failed", True)
    code, document = ask("event_headers", "--where", "pg_sleep(2) IS NOT NULL", tables=tables)
    assert (code, document["state"]) == (1, "failed")
    assert "CDC_CHUNK_SECONDS" in document["error"]
    code, document = ask("event_headers", tables=tables)
    assert (code, document["rows"]) == (0, 3)
    assert ("c", "c") in {(record.key, record.operation) for record in topic.records()}
    assert engine.stop() == 0


def ask_quietly(ask: Ask, table: str, tables: str) -> int:
    """Ask without waiting."""
    code, document = ask(table, "--no-wait", tables=tables)
    assert document["state"] == "queued", document
    return code


def test_only_takes_the_snapshot_and_leaves_the_slot_for_later(database, topic, launch, slot, wait_until) -> None:
    """Killed in the middle it is taken up again; then exit 0, and a later start streams what came since."""
    with database.connection.transaction():
        database.insert(*(f"old{number:05}" for number in range(5000)))
    engine = launch(CDC_SNAPSHOT_MODE="only", CDC_MAX_IN_FLIGHT_RECORDS="500")
    wait_until(topic.records, "some rows")
    engine.kill()
    engine = launch(CDC_SNAPSHOT_MODE="only")
    assert engine.exit_code() == 0
    assert engine.events("stopped_after_snapshot")
    database.insert("later")
    assert set(keys_read(topic).values()) == {1}
    assert len(keys_read(topic)) == 5000
    assert launch(CDC_SNAPSHOT_MODE="only").exit_code() == 0
    launch().wait_for("streaming")
    wait_until(lambda: topic.of("later"), "what came since")
    assert len(topic.records()) == 5001
    assert database.run("SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()") == [
        (slot,)
    ]


def test_when_needed_replaces_a_slot_that_the_server_invalidated(database, topic, launch, slot, wait_until) -> None:
    """The server removes the WAL that the slot needs: the slot is dropped, a new snapshot brings what was missed."""
    engine = launch(CDC_SNAPSHOT_MODE="when_needed")
    engine.wait_for("streaming")
    database.insert("first")
    wait_until(topic.records, "a record")
    assert engine.stop() == 0
    database.insert("unseen")
    lost = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
    database.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    try:
        database.run("SELECT pg_reload_conf()")

        def invalidated() -> bool:
            database.run("SELECT pg_logical_emit_message(false, 'fill', 'x')")
            database.run("SELECT pg_switch_wal()")
            database.run("CHECKPOINT")
            return database.run(lost, slot) == [("lost",)]

        wait_until(invalidated, "the slot is lost")
        engine = launch(CDC_SNAPSHOT_MODE="initial")
        assert engine.exit_code() == 1
        engine = launch(CDC_SNAPSHOT_MODE="when_needed")
        engine.wait_for("lost_slot_dropped")
        engine.wait_for("streaming")
    finally:
        database.run("ALTER SYSTEM RESET max_slot_wal_keep_size")
        database.run("SELECT pg_reload_conf()")
    assert Counter((record.key, record.operation) for record in topic.records()) == {
        ("first", "c"): 1,
        ("first", "r"): 1,
        ("unseen", "r"): 1,
    }

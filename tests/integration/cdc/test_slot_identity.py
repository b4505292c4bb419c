"""A slot that is not the one the engine left is refused, with a remedy that works; nothing is skipped in silence."""

import json
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from cdc.lsn import parse_lsn


def refusal(engine: Any, event: str = "stopped_by_error") -> dict[str, Any]:
    """Wait for the engine's end with code 1 and return its reason."""
    assert engine.exit_code() == 1, engine.log
    assert engine.events(event), engine.log
    return dict(engine.events(event)[0])


def bookmark(topic: Any, slot: str) -> dict[str, str]:
    """Return what Kafka keeps of the slot."""
    group = f"headwater-cdc-{slot}"
    request = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic.name, 0)])]
    admin = AdminClient({"bootstrap.servers": topic.bootstrap})
    (kept,) = admin.list_consumer_group_offsets(request)[group].result(10).topic_partitions
    return dict(json.loads(kept.metadata or "{}"))


@pytest.fixture
def recreated(database, launch, slot, topic, wait_until) -> dict[str, Any]:
    """A slot that somebody dropped and created again while a row was written; what the engine says of it."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert("before")
    wait_until(lambda: topic.of("before"), "a record")
    assert engine.stop() == 0
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    database.insert("lost")
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    return refusal(launch())


def test_the_bookmark_is_never_behind_the_slot(database, topic, launch, slot, wait_until) -> None:
    """What the server may forget, Kafka knows of first; after an orderly stop both stand at the same place."""
    engine = launch()
    engine.wait_for("streaming")
    for number in range(30):
        database.insert(str(number))
        confirmed = database.confirmed(slot)
        kept = bookmark(topic, slot)
        assert parse_lsn(kept["lsn"]) >= confirmed
    assert engine.stop() == 0
    kept = bookmark(topic, slot)
    assert parse_lsn(kept["lsn"]) == database.confirmed(slot)
    ((identifier,),) = database.run("SELECT system_identifier::text FROM pg_control_system()")
    assert (kept["slot"], kept["source"]) == (slot, f"{identifier}/{database.name}")


def test_a_recreated_slot_is_refused_and_a_new_snapshot_cures_it(
    recreated, database, topic, launch, diagnosed, wait_until
) -> None:
    """The row written in between is not missed: when_needed brings it, and the engine goes on."""
    assert recreated["kind"] == "slot_recreated"
    assert "when_needed" in recreated["remedy"]
    assert "slot_recreated" in diagnosed()
    assert topic.of("lost") == []
    assert refusal(launch())["kind"] == "slot_recreated"
    engine = launch(CDC_SNAPSHOT_MODE="when_needed")
    engine.wait_for("streaming")
    assert [record.operation for record in topic.of("lost")] == ["r"]
    database.insert("after")
    wait_until(lambda: topic.of("after"), "the next record")
    assert engine.stop() == 0
    launch().wait_for("streaming")


def test_a_gap_can_be_accepted_once_by_its_lsn(recreated, database, topic, launch, slot, wait_until) -> None:
    """Only the LSN of this gap does; the next recreation is refused again though the setting is still there."""
    given = recreated["detail"].split("CDC_ACCEPT_GAP=")[1].split()[0]
    assert refusal(launch(CDC_ACCEPT_GAP="0/1"))["kind"] == "slot_recreated"
    engine = launch(CDC_ACCEPT_GAP=given)
    engine.wait_for("streaming")
    assert engine.events("gap_accepted")
    database.insert("after")
    wait_until(lambda: topic.of("after"), "the next record")
    assert engine.stop() == 0
    assert topic.of("lost") == []
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    database.insert("lost again")
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    assert refusal(launch(CDC_ACCEPT_GAP=given))["kind"] == "slot_recreated"


def test_a_slot_that_somebody_moved_on_is_refused(database, launch, slot, wait_until) -> None:
    """Advancing a slot by hand is a gap like any other."""
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0
    database.insert("skipped")
    database.run("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", slot)
    assert refusal(launch())["kind"] == "slot_recreated"


def test_the_topic_of_another_database_is_refused(server, database, launch, slot) -> None:
    """The wrong database under the same slot's name writes nothing into the topic."""
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    other = f"{database.name}_x"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {other} TEMPLATE template0".encode())
        try:
            with psycopg.connect(server.dsn(other), autocommit=True) as connection:
                connection.execute(b"CREATE TABLE event_headers (id text PRIMARY KEY)")
            for mode in ("initial", "when_needed"):
                said = refusal(launch(DATABASE_URL=server.dsn(other), CDC_SNAPSHOT_MODE=mode))
                assert said["kind"] == "source_changed"
                assert database.name in said["detail"]
                assert "CDC_BOOKMARK_GROUP" in said["remedy"]
        finally:
            admin.execute(f"DROP DATABASE {other} WITH (FORCE)".encode())


def test_a_stop_while_the_broker_is_frozen_ends(database, launch, slot, local_stack, wait_until) -> None:
    """The last bookmark is waited for as long as records would be, and no thread of it keeps the process."""
    engine = launch()
    engine.wait_for("streaming")
    broker = psutil.Process(local_stack.processes()["kafka"].pid)
    broker.suspend()
    try:
        database.run("CREATE TABLE foreign_rows AS SELECT 1")
        confirmed = database.confirmed(slot)
        assert engine.stop() == 0
        assert database.confirmed(slot) == confirmed
    finally:
        broker.resume()
    launch().wait_for("streaming")


def test_without_a_bookmark_the_engine_starts(database, topic, launch, slot, wait_until) -> None:
    """After a week's absence Kafka has forgotten it; and where the setting says so there never was one."""
    engine = launch(CDC_BOOKMARK_GROUP="")
    engine.wait_for("streaming")
    database.insert("a")
    wait_until(lambda: topic.of("a"), "a record")
    assert engine.stop() == 0
    assert bookmark(topic, slot) == {}
    assert launch().wait_for("streaming")["held"] is not None


def test_an_invalidated_slot_is_renewed_when_needed(database, topic, launch, slot, wait_until) -> None:
    """The remedy that its refusal names is enough: the slot is dropped, the rows come again, streaming goes on."""
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            for number in range(4):
                admin.execute("SELECT pg_logical_emit_message(false, 'x', 'y'), pg_switch_wal()")
                admin.execute("CHECKPOINT")
                database.insert(str(number))
            lost = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND wal_status = 'lost'"
            wait_until(lambda: database.run(lost, slot), "the slot is lost")
        finally:
            admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            admin.execute("SELECT pg_reload_conf()")
    said = refusal(launch(), "finding")
    assert said["kind"] == "slot_invalidated"
    assert "when_needed" in said["remedy"]
    engine = launch(CDC_SNAPSHOT_MODE="when_needed")
    engine.wait_for("streaming")
    assert {record.key for record in topic.records()} == {"0", "1", "2", "3"}
    database.insert("after")
    wait_until(lambda: topic.of("after"), "the next record")
    assert engine.stop() == 0

"""What cannot work says so before it loses anything: exit code 1, the kind, and the remedy."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from cdc.lsn import Lsn, Position
from cdc.positions import partition_of


def refusal(engine: Any, event: str = "stopped_by_error") -> dict[str, Any]:
    """Wait for the engine's end with code 1 and return its first reason."""
    assert engine.exit_code() == 1, engine.log
    assert engine.events(event), engine.log
    said = engine.events(event)[0]
    assert said["level"] == "error"
    assert said["remedy"]
    return dict(said)


def test_a_missing_topic(launch) -> None:
    """The engine creates no topic: its partitions and retention are somebody's decision (CD-21)."""
    assert refusal(launch(CDC_TOPIC="there-is-none"))["kind"] == "topic"


def test_a_missing_table(launch) -> None:
    """A misspelt table is not captured as nothing."""
    said = refusal(launch(CDC_TABLES="public.event_header"), "finding")
    assert (said["kind"], said["detail"]) == ("table", "there is no table public.event_header")


def test_a_table_that_the_publication_lacks(database, launch) -> None:
    """The remedy is the statement; after it the engine starts."""
    said = refusal(launch(CDC_TABLES="public.event_headers,public.entities"), "finding")
    assert said["kind"] == "publication"
    database.run(said["remedy"].split(";")[0])
    launch(CDC_TABLES="public.event_headers,public.entities").wait_for("streaming")


def test_a_missing_publication_is_created_for_the_tables_alone(database, launch) -> None:
    """The engine's own work when it may (CD-5, CD-7)."""
    launch(PUBLICATION_NAME="its own").wait_for("streaming")
    tables = database.run("SELECT tablename::text FROM pg_publication_tables WHERE pubname = 'its own'")
    assert tables == [("event_headers",)]


def test_a_table_without_a_key(database, launch) -> None:
    """It is carried, keyed by the whole row, and the engine says what that costs."""
    database.run("CREATE TABLE keyless (a int)")
    engine = launch(CDC_TABLES="public.keyless", PUBLICATION_NAME="its own")
    assert engine.wait_for("finding")["kind"] == "table_key"
    engine.wait_for("streaming")


def test_a_foreign_slot(server, launch, slot) -> None:
    """A slot of another database is not touched."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as other:
        other.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        try:
            assert refusal(launch(), "finding")["kind"] == "slot_foreign"
        finally:
            other.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


@pytest.fixture
def as_role(database) -> Any:
    """A maker of connection strings for a role of the test's own."""
    name = f"r_{database.name}"
    database.run(f"CREATE ROLE {name} LOGIN")

    def url(*statements: str) -> str:
        for statement in statements:
            database.run(statement.replace("ROLE_NAME", name))
        return str(database.url).replace("postgres@", f"{name}@")

    yield url
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND datname = current_database()",
        name,
    )
    database.run(f"DROP OWNED BY {name}")
    database.run(f"DROP ROLE {name}")


def test_a_role_that_may_not_replicate(launch, as_role) -> None:
    """The right is named, on Aurora too (CD-4)."""
    said = refusal(launch(DATABASE_URL=as_role()), "finding")
    assert said["kind"] == "replication_right"
    assert "rds_replication" in said["remedy"]


def test_a_role_with_just_the_rights_it_needs(database, launch, as_role, topic, wait_until) -> None:
    """REPLICATION and SELECT are enough when the publication is there; without SELECT the snapshot says so."""
    url = as_role("ALTER ROLE ROLE_NAME REPLICATION")
    database.insert("a")
    said = refusal(launch(DATABASE_URL=url))
    assert said["kind"] == "replication_right"
    assert "SELECT" in said["remedy"]
    engine = launch(DATABASE_URL=as_role("GRANT SELECT ON event_headers TO ROLE_NAME"))
    engine.wait_for("streaming")
    assert [record.key for record in topic.records()] == ["a"]
    assert engine.stop() == 0


def test_an_invalidated_slot(database, launch, slot, wait_until) -> None:
    """WAL that the slot needed is gone: a gap, so no start (CD-11)."""
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
    assert refusal(launch(), "finding")["kind"] == "slot_invalidated"


def test_a_database_restored_to_an_earlier_time(database, launch, topic) -> None:
    """Positions ahead of the server would make new records look old."""
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0
    ((identifier,),) = database.run("SELECT system_identifier::text FROM pg_control_system()")
    ahead = Position(Lsn(database.wal_end() + 2**32), 4).encode()
    producer = Producer({"bootstrap.servers": topic.bootstrap})
    headers = [("cdc.position", ahead), ("cdc.source", f"{identifier}/{database.name}".encode())]
    producer.produce(topic.name, b"{}", b'{"id":"x"}', headers=headers)
    assert producer.flush(10) == 0
    assert refusal(launch())["kind"] == "history_rewound"


def test_foreign_records_at_the_end_of_the_topic_disturb_nothing(database, launch, topic, wait_until) -> None:
    """They are read over, however many, and the restart neither repeats nor skips."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert(*(str(number) for number in range(20)))
    wait_until(lambda: len(topic.records()) == 20, "all records")
    engine.kill()
    producer = Producer({"bootstrap.servers": topic.bootstrap})
    for number in range(1200):
        producer.produce(topic.name, b'{"__op":"x"}', b'{"id":"foreign"}', partition=number % topic.partitions)
    assert producer.flush(10) == 0
    engine = launch()
    engine.wait_for("streaming")
    database.insert("last")
    wait_until(lambda: topic.of("last"), "the next record")
    assert len(topic.records()) == 20 + 1200 + 1


def test_a_record_that_the_broker_refuses_stops_everything_behind_it(
    database, new_topic: Callable[..., Any], launch, wait_until
) -> None:
    """Nothing is skipped; once the topic takes it the engine goes on at that record."""
    topic = new_topic(max_message_bytes="10000")
    engine = launch(CDC_TOPIC=topic.name)
    engine.wait_for("streaming")
    database.insert("before")
    wait_until(topic.records, "a record")
    noise = os.urandom(20_000).hex()
    with database.connection.transaction():
        database.insert("large", data=f'"{noise}"')
        database.insert(*(f"after{number}" for number in range(50)))
    said = refusal(engine)
    assert said["kind"] == "record_too_large"
    assert "max.message.bytes" in said["remedy"]
    assert "large" not in {record.key for record in topic.records()}
    wide = new_topic()
    engine = launch(CDC_TOPIC=wide.name)
    rest = {"large", *(f"after{number}" for number in range(50))}
    wait_until(lambda: {record.key for record in wide.records()} >= rest, "the record and those behind it")


def test_wrong_settings_are_named_without_their_values() -> None:
    """Exit code 2, and no secret in the log."""
    given = {**os.environ, "DATABASE_URL": "postgresql://u:hunter2@h/d", "SLOT_NAME": "No", "CDC_TABLES": "x"}
    given.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    done = subprocess.run([sys.executable, "-m", "cdc"], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("SLOT_NAME", "CDC_TABLES", "KAFKA_BOOTSTRAP_SERVERS"))
    assert "hunter2" not in done.stderr


def test_our_partition_is_the_brokers_clients(new_topic: Callable[..., Any]) -> None:
    """The hash by which a restart looks a record up is the one by which the producer placed it."""
    topic = new_topic(7)
    producer = Producer({"bootstrap.servers": topic.bootstrap, "partitioner": "murmur2_random"})
    keys = [b'{"id":"%d"}' % number for number in range(500)]
    placed: dict[bytes, int] = {}
    for key in keys:
        producer.produce(
            topic.name, b"", key, on_delivery=lambda _, message: placed.update({message.key(): message.partition()})
        )
    assert producer.flush(10) == 0
    assert placed == {key: partition_of(key, 7) for key in keys}

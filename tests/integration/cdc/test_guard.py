"""The WAL that the slot holds back is watched while the engine waits, and an idle table never holds it (CD-11)."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest

from cdc.lsn import parse_lsn
from stack.ports import free_ports

FAST = {"CDC_GUARD_SECONDS": "0.1"}


def grow(database: Any, megabytes: int) -> None:
    """Write WAL that concerns no captured table."""
    database.run("CREATE TABLE IF NOT EXISTS foreign_rows (text text)")
    for _ in range(megabytes):
        database.run("INSERT INTO foreign_rows SELECT repeat(md5(n::text), 30) FROM generate_series(1, 1000) n")


def ask(port: int, path: str) -> tuple[int, Any]:
    """Return status and body of the endpoint's answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


class Broker:
    """The broker, to be frozen and thawed."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def __call__(self) -> None:
        """Freeze it."""
        self._process.suspend()

    def back(self) -> None:
        """Let it go on."""
        self._process.resume()


@pytest.fixture
def broker_away(local_stack: Any, kafka_bootstrap: str) -> Iterator[Broker]:
    """A broker to freeze; it comes back after the test."""
    assert kafka_bootstrap
    broker = Broker(psutil.Process(local_stack.processes()["kafka"].pid))
    yield broker
    broker.back()


def test_with_kafka_away_the_guard_warns_and_the_engine_is_unready(
    database, topic, launch, free_port, broker_away, slot, wait_until
) -> None:
    """Half of the budget is a warning with the time left, three quarters fail /readyz; nothing else happens."""
    engine = launch(CDC_WAL_BUDGET_BYTES="40000000", CDC_HTTP_PORT=str(free_port), CDC_READY_SECONDS="60", **FAST)
    engine.wait_for("streaming")
    wait_until(lambda: ask(free_port, "/readyz")[0] == 200, "it is ready")
    database.insert("a")
    wait_until(lambda: topic.of("a"), "a record")
    broker_away()
    database.insert("b")
    grow(database, 22)
    said = engine.wait_for("wal_budget")
    assert said["mark"] == "half"
    assert "s left" in said["detail"]
    grow(database, 10)
    wait_until(lambda: ask(free_port, "/readyz")[0] == 503, "it is unready")
    assert "of the budget" in ask(free_port, "/readyz")[1]["reason"]
    assert ask(free_port, "/livez")[0] == 200
    grow(database, 10)
    wait_until(lambda: any(line["mark"] == "spent" for line in engine.events("wal_budget")), "the budget is spent")
    assert engine.process.poll() is None
    assert database.run("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot) == [(True,)]


@pytest.mark.parametrize("action", ["stop", "drop_slot"])
def test_at_the_end_of_the_budget_it_does_what_it_was_told(
    database, topic, launch, broker_away, slot, action, wait_until
) -> None:
    """Stop keeps the slot and its WAL; drop_slot saves the disk and says that a snapshot is due."""
    engine = launch(CDC_WAL_BUDGET_BYTES="20000000", CDC_WAL_BUDGET_ACTION=action, **FAST)
    engine.wait_for("streaming")
    database.insert("a")
    wait_until(lambda: topic.of("a"), "a record")
    broker_away()
    database.insert("b")
    grow(database, 24)
    assert engine.exit_code() == 1
    said = engine.events("stopped_by_error")[0]
    assert said["kind"] == "wal_budget"
    assert "when_needed" in said["remedy"]
    there = database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot)
    assert bool(there) == (action == "stop")
    assert ("was dropped" in said["detail"]) == (action == "drop_slot")


def test_a_slot_that_stands_gets_a_heartbeat_and_it_brings_no_record(
    database, topic, launch, broker_away, slot, wait_until
) -> None:
    """PostgreSQL speaks by itself before it sleeps, so only what keeps confirmations back makes a slot stand."""
    engine = launch(CDC_HEARTBEAT_SECONDS="10", LOG_LEVEL="DEBUG", **FAST)
    engine.wait_for("streaming")
    database.insert("a")
    wait_until(lambda: topic.of("a"), "a record")
    broker_away()
    grow(database, 1)
    engine.wait_for("heartbeat")
    end = database.wal_end()
    assert database.confirmed(slot) < end
    broker_away.back()
    wait_until(lambda: database.confirmed(slot) >= end, "the slot follows")
    assert [record.key for record in topic.records()] == ["a"]
    assert len(engine.events("streaming")) == 1


def test_a_heartbeat_reaches_the_stream_as_a_message(database, wait_until) -> None:
    """What the server gives for it: a message outside of any transaction, at the end of its own WAL record."""
    name = f"hb_{database.name}"
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", name)
    ((lsn,),) = database.run("SELECT pg_logical_emit_message(false, 'headwater.heartbeat', '')::text")
    database.run("SELECT pg_switch_wal()")
    rows = database.run(
        "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1',"
        " 'publication_names', 'event_headers_debezium_publication', 'messages', 'true')",
        name,
    )
    (data,) = [row[0] for row in rows]
    assert data[:2] == b"M\x00"
    assert int.from_bytes(data[2:10], "big") == parse_lsn(lsn)


@pytest.fixture
def standby_role(database) -> Iterator[str]:
    """A role that may replicate and read, and may not emit messages."""
    name = f"hb_{database.name}"
    database.run(f"CREATE ROLE {name} LOGIN REPLICATION")
    database.run(f"GRANT SELECT ON event_headers TO {name}")
    for kind in ("text", "bytea"):
        for (signature,) in database.run(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message'"
            " AND proargtypes[2] = %s::regtype",
            kind,
        ):
            database.run(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
    yield str(database.url).replace("postgres@", f"{name}@")
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        admin.execute(f"DROP OWNED BY {name}".encode())
        admin.execute(f"DROP ROLE {name}".encode())


def test_without_the_right_to_a_heartbeat_there_is_one_warning(
    database, launch, standby_role, broker_away, slot, wait_until
) -> None:
    """Everything else goes on."""
    engine = launch(DATABASE_URL=standby_role, CDC_HEARTBEAT_SECONDS="10", CDC_READY_SECONDS="1", **FAST)
    engine.wait_for("streaming")
    broker_away()
    grow(database, 1)
    end = database.wal_end()
    assert engine.wait_for("heartbeat_refused")["kind"] == "replication_right"
    broker_away.back()
    wait_until(lambda: database.confirmed(slot) >= end, "the slot follows")
    assert len(engine.events("heartbeat_refused")) == 1

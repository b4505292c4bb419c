"""A failover slot goes to the standby, and the engine goes on there after its promotion (PostgreSQL 17 and newer)."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.catalog import read_server
from cdc.slots.failover import possible
from stack.ports import free_ports


def failover(database: Any, slot: str) -> bool | None:
    """Return the slot's property."""
    statement = "SELECT (to_jsonb(s) ->> 'failover')::boolean FROM pg_replication_slots s WHERE slot_name = %s"
    return database.run(statement, slot)[0][0]


def test_the_engines_slot_is_a_failover_slot_where_there_are_any(database, launch, slot) -> None:
    """Created with a snapshot, so by a copy; and an older slot gets the property at the next start."""
    able = possible(read_server(database.connection))
    unremembered = {"CDC_BOOKMARK_GROUP": ""}
    engine = launch(**unremembered)
    engine.wait_for("streaming")
    assert failover(database, slot) is (True if able else None)
    assert engine.stop() == 0
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    engine = launch(CDC_SLOT_FAILOVER="off", **unremembered)
    engine.wait_for("streaming")
    assert failover(database, slot) is (False if able else None)
    assert engine.stop() == 0
    launch(**unremembered).wait_for("streaming")
    assert failover(database, slot) is (True if able else None)


def test_an_older_server_is_told_so_when_they_are_insisted_on(database, launch) -> None:
    """`on` is a promise; where it cannot be kept the engine does not start."""
    engine = launch(CDC_SLOT_FAILOVER="on")
    if possible(read_server(database.connection)):
        engine.wait_for("streaming")
        return
    assert engine.exit_code() == 1
    said = engine.events("stopped_by_error")[0]
    assert said["kind"] == "settings"
    assert "use auto" in said["detail"]


@dataclass
class Standby:
    """A physical standby of the test's own."""

    port: int
    binaries: Path
    folder: Path
    user: str | None

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs."""
        command = [self.binaries / program, *arguments]
        subprocess.run(command, user=self.user, cwd="/", check=True, capture_output=True)

    def ask(self, statement: str, database: str = "postgres") -> Any:
        """Return the first column of the first row, None if there is none or no server."""
        try:
            with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/{database}", autocommit=True) as found:
                row = found.execute(statement.encode()).fetchone()
        except psycopg.OperationalError:
            return None
        return None if row is None else row[0]


@pytest.fixture
def standby(server: Any, database: Any, wait_until: Callable[..., Any]) -> Iterator[Standby]:
    """A standby that keeps copies of failover slots, and that the primary's slots wait for."""
    if not possible(read_server(database.connection)):
        pytest.skip("no failover slots before PostgreSQL 17")
    (port,) = free_ports(1)
    # The first server's folder belongs to the account that may start another.
    folder = server._folder / "standby"
    made = Standby(port, server._binaries, folder, server._user)
    database.run("SELECT pg_create_physical_replication_slot('to_standby', true)")
    given = ["-D", str(folder), "-d", server.dsn("postgres"), "-S", "to_standby", "-R", "-X", "stream", "-c", "fast"]
    made.run("pg_basebackup", *given)
    with (folder / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"primary_conninfo = 'host=127.0.0.1 port={server._port} user=postgres dbname=postgres'\n"
            "hot_standby_feedback = on\nsync_replication_slots = on\nwal_receiver_status_interval = 1\n"
        )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical -c fsync=off"
    options += (
        " -c max_replication_slots=20 -c max_wal_senders=20 -c max_prepared_transactions=10 -c shared_buffers=32MB"
    )
    made.run("pg_ctl", "-D", str(folder), "-o", options, "-l", str(folder / "log"), "-w", "start")
    database.run("ALTER SYSTEM SET synchronized_standby_slots = 'to_standby'")
    database.run("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: made.ask("SELECT pg_is_in_recovery()"), "the standby answers")
        yield made
    finally:
        made.run("pg_ctl", "-D", str(folder), "-m", "immediate", "stop")
        shutil.rmtree(folder)
        if server._process is None:
            server.start()
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM RESET synchronized_standby_slots")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("SELECT pg_drop_replication_slot('to_standby')")


@pytest.mark.slow
def test_the_engine_goes_on_at_the_promoted_standby_without_loss(
    server, database, topic, launch, standby, slot, wait_until
) -> None:
    """The primary dies under load, the standby is promoted: the same engine finds it, and every row is there once."""
    name = database.name
    hosts = f"127.0.0.1:{server._port},127.0.0.1:{standby.port}"
    engine = launch(DATABASE_URL=f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write")
    engine.wait_for("streaming")
    ids = [f"{number:03}" for number in range(100)]
    for each in ids:
        database.insert(each)
    wait_until(lambda: len(topic.records()) == 100, "what was written before")
    ready = "SELECT bool_and(synced AND NOT temporary) FROM pg_replication_slots WHERE failover"
    # What a slot has not confirmed its copy waits for, so let there be something to follow.
    wait_until(lambda: (database.run("CHECKPOINT"), standby.ask(ready))[1], "the copy of the slot is ready", 60)
    late = [f"late{number:02}" for number in range(50)]
    for each in late:
        database.insert(each)
    end = database.wal_end()
    wait_until(
        lambda: standby.ask(f"SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= {end}"), "the standby has it all"
    )
    database.connection.close()
    server.stop(signal.SIGQUIT)
    standby.run("pg_ctl", "-D", str(standby.folder), "-w", "promote")
    engine.wait_for("streaming", seconds=60, count=2)
    url = f"postgresql://postgres@127.0.0.1:{standby.port}/{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        database.insert("after", connection=connection)
    wait_until(lambda: topic.of("after"), "a row of the new primary")
    keys = sorted(record.key for record in topic.records())
    assert keys == sorted([*ids, *late, "after"])
    assert engine.stop() == 0
    server.start()

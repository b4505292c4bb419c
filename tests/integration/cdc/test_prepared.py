"""Prepared transactions: whole at their commit, nothing at their rollback, also on a slot that is two-phase."""

from collections.abc import Callable
from typing import Any

import pytest

TABLES = "public.a"


def rows(first: int, count: int) -> str:
    """Return an INSERT; 200 rows are beyond what the server keeps in memory."""
    return f"INSERT INTO a SELECT n, repeat('x', 700) FROM generate_series({first}, {first + count - 1}) n"  # noqa: S608


@pytest.fixture
def prepare(database: Any) -> Callable[[str, int, int], None]:
    """A maker of prepared transactions on a published table."""
    database.run("CREATE TABLE a (id int PRIMARY KEY, pad text)")
    database.run("CREATE PUBLICATION p FOR TABLE a")

    def make(gid: str, first: int, count: int) -> None:
        database.run("BEGIN")
        database.run(rows(first, count))
        database.run(f"PREPARE TRANSACTION '{gid}'")

    yield make
    for (gid,) in database.run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        database.run(f"ROLLBACK PREPARED '{gid}'")


def ids(listener: Any) -> list[int]:
    """Return the ids of all changes so far."""
    return [int(change.key[6:-1]) for change in listener.changes]


def two_phase(database: Any, slot: str) -> None:
    """Create a slot that is sent transactions when they are prepared."""
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', false, true)", slot)


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("streaming", [True, False])
def test_without_two_phase_a_prepared_transaction_comes_at_its_commit(
    database, prepare, listen, count: int, streaming: bool
) -> None:
    """The engine's own slots: whole at COMMIT PREPARED, nothing for ROLLBACK PREPARED, and nothing is held back."""
    listener = listen("plain", TABLES, streaming=streaming)
    prepare("kept", 0, count)
    prepare("gone", 1000, count)
    database.run(rows(5000, 1))
    listener.take()
    assert ids(listener) == [5000]
    database.run("ROLLBACK PREPARED 'gone'")
    database.run("COMMIT PREPARED 'kept'")
    listener.take()
    assert ids(listener) == [5000, *range(count)]
    assert listener.seen["BeginPrepare"] == listener.seen["StreamPrepare"] == 0


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_two_phase_slot_gives_the_same_records_as_any_other(
    database, prepare, listen, count: int, streaming: bool
) -> None:
    """A prepared transaction is held until its commit, at whose LSN its records stand; a rolled-back one is dropped."""
    two_phase(database, "phases")
    database.run("SELECT pg_create_logical_replication_slot('plain', 'pgoutput')")
    listener = listen("phases", TABLES, streaming=streaming)
    prepare("kept", 0, count)
    prepare("gone", 1000, count)
    database.run(rows(5000, 1))
    listener.take()
    assert ids(listener) == [5000]
    assert listener.seen["BeginPrepare"] + listener.seen["StreamPrepare"] == 2
    database.run("ROLLBACK PREPARED 'gone'")
    database.run("COMMIT PREPARED 'kept'")
    database.run(rows(6000, 1))
    listener.take()
    assert ids(listener) == [5000, *range(count), 6000]
    assert listener.changes == listen("plain", TABLES, streaming=False).take()


@pytest.mark.parametrize("count", [3, 200])
def test_a_prepared_transaction_that_is_held_comes_again_after_a_restart(
    database, prepare, listen, wait_until, count: int
) -> None:
    """Nothing beyond it is confirmed, so that the next connection is sent it again; then the slot moves on."""
    two_phase(database, "phases")
    listener = listen("phases", TABLES)
    database.run(rows(4000, 1))
    listener.take()
    prepare("kept", 0, count)
    before = database.wal_end()
    database.run(rows(5000, 1))
    listener.take()
    listener.stream.confirm(database.wal_end())
    wait_until(lambda: database.confirmed("phases") > 0, "the slot is confirmed")
    listener.close()
    assert database.confirmed("phases") <= before
    wait_until(
        lambda: not database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = 'phases' AND active"), "free"
    )
    again = listen("phases", TABLES)
    again.take()
    assert ids(again)[-1:] == [5000]
    database.run("COMMIT PREPARED 'kept'")
    again.take()
    assert ids(again)[-count:] == list(range(count))
    end = database.wal_end()
    again.stream.confirm(end)
    wait_until(lambda: database.confirmed("phases") >= end, "the slot moves on")


def test_a_table_described_within_a_prepared_transaction_is_known_to_others(database, prepare, listen) -> None:
    """The server describes a table once; its first description may stand in what is held, or is rolled back later."""
    two_phase(database, "phases")
    listener = listen("phases", TABLES)
    prepare("held", 0, 3)
    database.run(rows(5000, 1))
    listener.take()
    assert ids(listener) == [5000]
    database.run("ROLLBACK PREPARED 'held'")
    database.run(rows(6000, 1))
    listener.take()
    assert ids(listener) == [5000, 6000]

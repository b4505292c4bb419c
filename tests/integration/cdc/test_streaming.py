"""A transaction gives the same records whether a real server streams it or sends it whole, whatever happened in it."""

from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest

from cdc.errors import CdcError, Kind

TABLES = "public.a, public.b"
PAD = 700


@pytest.fixture
def tables(database: Any) -> None:
    """Two published tables, one of them with its whole old rows in the log, and two slots on the same history."""
    for name in ("a", "b"):
        database.run(f"CREATE TABLE {name} (id int PRIMARY KEY, note text, pad text)")
    database.run("ALTER TABLE b REPLICA IDENTITY FULL")
    database.run("CREATE PUBLICATION p FOR TABLE a, b")
    for slot in ("streamed", "whole"):
        database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)


def rows(table: str, first: int, count: int = 150) -> str:
    """Return an INSERT of rows that make the server stream."""
    series = f"generate_series({first}, {first + count - 1}) n"
    return f"INSERT INTO {table} (id, note, pad) SELECT n, 'n' || n, repeat('x', {PAD}) FROM {series}"  # noqa: S608  # of this file's texts


def same(listen: Callable[..., Any]) -> Any:
    """Compare what both slots give; return the listener of the streamed one."""
    streamed, whole = listen("streamed", TABLES), listen("whole", TABLES, streaming=False)
    assert streamed.take() == whole.take()
    assert whole.changes
    assert not whole.seen["StreamStart"]
    return streamed


STORIES = {
    "plain": [rows("a", 0), rows("b", 0), "UPDATE b SET note = 'u' WHERE id < 50", "DELETE FROM a WHERE id < 20"],
    "savepoint rolled back": [rows("a", 0), "SAVEPOINT s", rows("a", 1000), "ROLLBACK TO s", rows("a", 2000)],
    "everything in a savepoint rolled back": ["SAVEPOINT s", rows("a", 0), "ROLLBACK TO s", rows("a", 0)],
    "nested": [
        rows("a", 0), "SAVEPOINT s", rows("a", 1000), "SAVEPOINT t", rows("b", 1000), "RELEASE t", rows("a", 2000),
        "SAVEPOINT u", rows("b", 3000), "ROLLBACK TO u", rows("b", 4000), "ROLLBACK TO s", rows("b", 5000),
    ],
    "child before its parent": [
        "SAVEPOINT s", "SAVEPOINT t", rows("a", 0), "RELEASE t", rows("a", 1000), "ROLLBACK TO s", rows("a", 2000),
    ],
    "siblings released into one that is rolled back": [
        rows("b", 0), "SAVEPOINT s", "SAVEPOINT t", rows("a", 0), "RELEASE t", "SAVEPOINT u", rows("a", 1000),
        "RELEASE u", "ROLLBACK TO s", rows("a", 2000),
    ],
    "columns changed in a savepoint rolled back": [
        rows("a", 0), "SAVEPOINT s", "ALTER TABLE a ADD COLUMN extra int DEFAULT 7", rows("a", 1000),
        "ALTER TABLE a RENAME note TO remark", "UPDATE a SET remark = 'r' WHERE id < 1100", "ROLLBACK TO s",
        rows("a", 2000),
    ],
    "columns changed for good": [
        rows("a", 0), "ALTER TABLE a ADD COLUMN extra int DEFAULT 7", rows("a", 1000),
        "ALTER TABLE a RENAME note TO remark", "UPDATE a SET remark = 'r'", "ALTER TABLE a DROP COLUMN extra",
        "ALTER TABLE a ALTER remark TYPE int USING 5", "UPDATE a SET remark = 6",
    ],
    "type made and used": [
        rows("a", 0), "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TABLE a ADD COLUMN m mood DEFAULT 'ok'",
        "UPDATE a SET note = 'with mood'",
    ],
    "truncate": [
        rows("a", 0), "TRUNCATE a, b", rows("a", 0), "SAVEPOINT s", "TRUNCATE a", "ROLLBACK TO s", rows("b", 0),
    ],
    "messages": [
        rows("a", 0), "SELECT pg_logical_emit_message(true, 'outbox', repeat('m', 9000))", rows("a", 1000, 5),
        "SAVEPOINT s", rows("a", 2000), "SELECT pg_logical_emit_message(true, 'outbox', 'gone')", "ROLLBACK TO s",
        "SELECT pg_logical_emit_message(true, 'outbox', 'kept')", rows("b", 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_a_streamed_transaction_gives_the_records_of_a_whole_one(database, tables, listen, story: str) -> None:
    """Keys, values, positions, headers: all the same, with savepoints, changes of shape and messages in it."""
    with database.connection.transaction():
        for statement in STORIES[story]:
            database.run(statement)
    # What follows depends on what the server believes to have described.
    database.run(rows("a", 90_000, 1) if story != "columns changed for good" else "UPDATE a SET remark = 8")
    database.run(rows("b", 90_000, 1))
    assert same(listen).seen["StreamStart"] > 0


def test_transactions_that_interleave_come_in_the_order_of_their_commits(database, tables, listen) -> None:
    """Blocks of one stand between blocks of another; one of them is rolled back as a whole."""
    streamed = listen("streamed", TABLES)
    with (
        psycopg.connect(database.url) as first,
        psycopg.connect(database.url) as second,
        psycopg.connect(database.url) as third,
    ):
        for step in range(3):
            for number, connection in enumerate((first, second, third)):
                connection.execute(rows("a", number * 10_000 + step * 1000).encode())
                database.insert(f"other-{step}-{number}")
        # Blocks are sent while the transactions run; of one that is known to be aborted the server sends none.
        assert streamed.take() == []
        second.commit()
        third.rollback()
        first.commit()
    assert streamed.take() == listen("whole", TABLES, streaming=False).take()
    assert streamed.seen["StreamAbort"] == 1
    ids = [int(change.key[6:-1]) // 10_000 for change in streamed.changes]
    assert ids == [1] * 450 + [0] * 450


def test_a_shape_that_is_replayed_late_does_not_replace_a_newer_one(database, tables, listen) -> None:
    """A column list changes while a streamed transaction is open: what it sent before is older than what followed."""
    streamed = listen("streamed", TABLES)
    with psycopg.connect(database.url) as slow:
        slow.execute(rows("a", 0).encode())
        # So large that the server sends everything so far, and none of it later.
        slow.execute(b"SELECT pg_logical_emit_message(true, 'outbox', repeat('m', 99000))")
        assert streamed.take() == []
        database.run("ALTER PUBLICATION p SET TABLE a (id, pad), b")
        database.run(rows("a", 1000, 3))
    database.run(rows("a", 2000, 3))
    values = [change.value for change in streamed.take()]
    assert ['"note"' in value.decode() for value in values] == [False] * 3 + [True] * 150 + [False] * 3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["memory", "immediate", "messages"])
def test_any_nest_of_savepoints_gives_the_same_records(
    database, tables, listen, wait_until, seed: int, mode: str
) -> None:
    """Seeded scripts of savepoints, releases, rollbacks and changes of shape, in two sessions at once.

    The server streams when its memory is full, or each change in a block of its own. Where a logical message is in
    doubt, or the server cannot decode what is rolled back, the same slot gives the whole transaction.
    """
    immediate = mode == "immediate" and database.connection.info.server_version >= 160_000
    random = Random(f"{seed} {mode}")
    with psycopg.connect(database.url) as one, psycopg.connect(database.url) as two:
        sessions: list[tuple[Any, str, list[str]]] = [(one, "a", []), (two, "b", [])]
        for step in range(80):
            connection, table, savepoints = random.choice(sessions)
            connection.execute(statement(random, step, table, savepoints, messages=mode == "messages").encode())
        one.commit()
        two.commit()
    database.run(rows("a", 90_000, 1))
    database.run(rows("b", 90_000, 1))
    options = "%20-c%20debug_logical_replication_streaming%3Dimmediate" if immediate else ""
    streamed, whole = listen("streamed", TABLES, options=options), listen("whole", TABLES, streaming=False)
    try:
        streamed.take()
    except CdcError as error:
        assert error.kind in (Kind.STREAM_UNCLEAR, Kind.STREAM_REFUSED)  # noqa: PT017  # both outcomes are right
        assert mode != "memory"
        streamed.close()
        free = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'streamed' AND NOT active"
        wait_until(lambda: database.run(free), "the slot is free")
        streamed = listen("streamed", TABLES, streaming=False)
        streamed.take()
    assert streamed.changes == whole.take()


def statement(random: Random, step: int, table: str, savepoints: list[str], *, messages: bool) -> str:
    """Return what a session does next; `savepoints` are those it has open."""
    at = random.randrange(len(savepoints)) if savepoints else None
    match random.randrange(9):
        case 0 | 1:
            savepoints.append(f"s{step}")
            return f"SAVEPOINT s{step}"
        case 2 if at is not None:
            name = savepoints[at]
            del savepoints[at:]
            return f"RELEASE {name}"
        case 3 | 4 if at is not None:
            del savepoints[at + 1 :]
            return f"ROLLBACK TO {savepoints[at]}"
        case 5:
            return f"ALTER TABLE {table} ADD COLUMN c{step} int DEFAULT {step}"
        case 6 if messages:
            return "SELECT pg_logical_emit_message(true, 'outbox', repeat('m', 500))"
        case _:
            return rows(table, step * 1000, random.randrange(1, 120))

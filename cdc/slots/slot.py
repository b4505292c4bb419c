"""Owns the publication and the replication slots in the database: look, create, promote, drop. Streams nothing.

Two names belong to one engine. `<slot>` is the slot it streams from; `<slot>_snapshot` is the same slot while the
initial snapshot is on its way. The snapshot's slot becomes the real one by a copy, in one step, when Kafka has every
row. So the existence of `<slot>` says by itself that the snapshot is complete, and no state is kept anywhere else.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from cdc.errors import DatabaseError, Kind
from cdc.lsn import Lsn, parse_lsn
from cdc.postgres import translated
from cdc.tables import TableName

PLUGIN: Final = "pgoutput"
PUBLISHED: Final = ("insert", "update", "delete", "truncate")
"""What a publication sends unless its `publish` option says otherwise."""
LONGEST_IDENTIFIER: Final = 63
LONGEST_NAME: Final = LONGEST_IDENTIFIER - len("_snapshot_next")

_SLOT: Final = """
SELECT plugin::text, database::text, active, confirmed_flush_lsn::text, wal_status = 'lost',
       (to_jsonb(s) ->> 'failover')::boolean
  FROM pg_replication_slots s WHERE slot_name = %s
"""

_RETENTION: Final = """
SELECT s.active, s.wal_status, s.confirmed_flush_lsn::text,
       pg_wal_lsn_diff(e.lsn, s.restart_lsn)::bigint,
       pg_wal_lsn_diff(e.lsn, s.confirmed_flush_lsn)::bigint
  FROM pg_replication_slots s,
       (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END) e (lsn)
 WHERE s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """What a slot holds back; bytes count to the present end of the WAL, None where the slot has no such point."""

    active: bool
    wal_status: str | None
    """`reserved`, `extended`, `unreserved` or `lost` (PostgreSQL manual, view `pg_replication_slots`)."""
    confirmed: Lsn | None
    retained_bytes: int | None
    """WAL that the server keeps for it."""
    lag_bytes: int | None
    """WAL beyond the confirmed LSN."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the server shows it; `confirmed` is None while somebody is still creating it."""

    name: str
    plugin: str | None
    database: str | None
    active: bool
    confirmed: Lsn | None
    lost: bool
    failover: bool | None = None
    """Whether standbys keep a copy of it; None where the server has no such slots (before 17)."""


def snapshot_name(slot: str) -> str:
    """Return the name of the slot that holds the WAL while the initial snapshot is on its way."""
    return f"{slot}_snapshot"


def next_snapshot_name(slot: str) -> str:
    """Return the name of the temporary slot of a later attempt at the snapshot."""
    return f"{slot}_snapshot_next"


def read_slot(connection: Connection[Any], name: str) -> Slot | None:
    """Return a slot by name, None when there is none.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(_SLOT, (name,)).fetchone()
    if row is None:
        return None
    plugin, database, active, confirmed, lost, failover = row
    at = None if confirmed is None else parse_lsn(confirmed)
    return Slot(name, plugin, database, active, at, bool(lost), failover)


def read_retention(connection: Connection[Any], name: str) -> Retention | None:
    """Return what a slot holds back, None when there is no such slot.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(_RETENTION, (name,)).fetchone()
    if row is None:
        return None
    active, wal_status, confirmed, retained, lag = row
    return Retention(active, wal_status, None if confirmed is None else parse_lsn(confirmed), retained, lag)


def free_slots(connection: Connection[Any]) -> int:
    """Return how many more slots the server would create.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(
            "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots"
        ).fetchone()
    return int(row[0])


def drop_sql(name: str) -> str:
    """Return the statement that drops a slot."""
    return sql.SQL("SELECT pg_drop_replication_slot({});").format(sql.Literal(name)).as_string()


def promote(connection: Connection[Any], source: str, target: str) -> None:
    """Make the slot `target`, permanent, at the point of `source`: from now on the snapshot counts as complete.

    Raises:
        DatabaseError: The connection is lost, no slot is free, or `source`, if temporary, ended with its connection.
    """
    try:
        with translated():
            connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s, false)", (source, target))
    except DatabaseError as error:
        if error.kind is Kind.SLOT_LOST:
            raise DatabaseError(Kind.SNAPSHOT_INTERRUPTED, f"the slot {source} ended before its snapshot") from error
        raise


def drop_slot(connection: Connection[Any], name: str) -> None:
    """Drop a slot that nobody uses; none there is as good.

    Raises:
        DatabaseError: The slot is in use, or the connection is lost.
    """
    with translated(), suppress(psycopg.errors.UndefinedObject):
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def publication_exists(connection: Connection[Any], name: str) -> bool:
    """Say whether there is a publication of this name in the database.

    Raises:
        DatabaseError: The connection is lost.
    """
    return publication_oid(connection, name) is not None


def publication_oid(connection: Connection[Any], name: str) -> int | None:
    """Return the oid of the publication of this name, which another one would not have; None if there is none.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute("SELECT oid::bigint FROM pg_publication WHERE pubname = %s", (name,)).fetchone()
    return None if row is None else row[0]


def read_omitted(connection: Connection[Any], name: str) -> tuple[str, ...]:
    """Return those of `insert`, `update`, `delete`, `truncate` that the publication does not send.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(
            "SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = %s", (name,)
        ).fetchone()
    return () if row is None else tuple(kind for kind, sent in zip(PUBLISHED, row, strict=True) if not sent)


def publication_sql(name: str, tables: Iterable[TableName]) -> str:
    """Return the statement that creates the publication for exactly these tables (CD-7)."""
    return _publication_sql(name, tables).as_string()


def create_publication(connection: Connection[Any], name: str, tables: Iterable[TableName]) -> None:
    """Create the publication for exactly these tables (CD-7); another engine may have been first.

    Raises:
        DatabaseError: A table is missing, or the right is.
    """
    with translated(), suppress(psycopg.errors.DuplicateObject):
        connection.execute(_publication_sql(name, tables))


def try_lock(connection: Connection[Any], slot: str) -> bool:
    """Take the right to run the initial snapshot of a slot, for as long as the connection lives.

    A created slot is not active while its snapshot is read, so the slot itself cannot keep a second engine out.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"headwater.cdc.{slot}",)
        ).fetchone()
    return bool(row[0])


def _publication_sql(name: str, tables: Iterable[TableName]) -> sql.Composed:
    listed = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    return sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(sql.Identifier(name), listed)

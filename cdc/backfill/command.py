"""Owns what a command does about incremental snapshots: checks a request, writes it, follows it. Reads no table.

It speaks to the engine by the database alone: the request goes into the WAL, the engine's notices come back by
NOTIFY. Engine and command need no way to each other.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from cdc.backfill import query
from cdc.backfill.messages import CHANNEL, ENDED, PREFIX, Cancel, Notice, Outcome, Request, decode_notice, encode
from cdc.catalog import Table, missing_tables, read_tables, unreadable_tables
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.postgres import translated
from cdc.settings import Settings, parse_tables
from cdc.shards.names import generations
from cdc.shards.store import parts_in_use
from cdc.slots.slot import read_slot
from cdc.tables import TableName

_POLL_S: Final = 1.0
_PATIENCE: Final = "SET LOCAL lock_timeout = '5s'"


class RequestError(CdcError):
    """The request cannot be met as it is; `remedy` says what would help."""

    def __init__(self, kind: Kind, message: str, remedy: str) -> None:
        super().__init__(kind, message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Estimate:
    """A table that can be read, which of its rows, about how many that are, and which slots are to be asked."""

    table: Table
    where: str | None
    rows: int
    slots: tuple[str, ...]


def find_table(settings: Settings, text: str) -> TableName:
    """Return the captured table that is meant: `schema.table` as in CDC_TABLES, or a name that is there once.

    Raises:
        RequestError: It is none of CDC_TABLES.
    """
    try:
        meant = list(parse_tables(text))
    except ValueError:
        meant = [table for table in settings.cdc_tables if table.name == text]
    if len(meant) != 1 or meant[0] not in settings.cdc_tables:
        captured = ", ".join(map(str, settings.cdc_tables))
        remedy = f"Name one of CDC_TABLES ({captured}), or add the table to CDC_TABLES and start the engine again."
        raise RequestError(Kind.TABLE, f"the engine does not capture a table {text}", remedy)
    return meant[0]


def check(
    connection: Connection[Any], settings: Settings, name: TableName, choose: Callable[[Table], str | None]
) -> Estimate:
    """Make sure that the engine can meet the request, and estimate its rows; `choose` gives the condition on them.

    Raises:
        RequestError: It cannot; the error names the remedy.
        DatabaseError: The connection is lost.
    """
    slots = require_engine(connection, settings)
    if missing_tables(connection, [name]):
        raise RequestError(Kind.TABLE, f"there is no table {name}", "Create it, or correct the name.")
    publication = settings.publication_name
    table = {each.name: each for each in read_tables(connection, publication)}.get(name)
    if table is None:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {};").format(
            sql.Identifier(publication), sql.Identifier(name.schema, name.name)
        )
        message = f"the publication {publication} does not have the table {name}"
        raise RequestError(Kind.PUBLICATION, message, statement.as_string())
    if not table.order:
        message = f"{name} has no unique key by which its rows could be read in order"
        remedy = "Give it a primary key, or a unique index as REPLICA IDENTITY, with all of its columns published."
        raise RequestError(Kind.TABLE_KEY, message, remedy)
    if unreadable_tables(connection, [name]):
        statement = sql.SQL("GRANT SELECT ON {} TO <user>;").format(sql.Identifier(name.schema, name.name))
        raise RequestError(Kind.REPLICATION_RIGHT, f"{name} may not be read", statement.as_string())
    where = choose(table)
    return Estimate(table, where, _plan(connection, table, where), slots)


def require_engine(connection: Connection[Any], settings: Settings) -> tuple[str, ...]:
    """Make sure that an engine streams; return its slots, of which each is to be asked: each shard has its own rows.

    Raises:
        RequestError: There is no slot, nobody reads it, or the number of shards is just being changed.
    """
    remedy = "Start the engine and wait until it streams (headwater cdc status); SLOT_NAME names its slot."
    parts = parts_in_use(connection, settings.slot_name)
    if len(parts) != parts[0].generation.shards or len(generations(parts)) > 1:
        raise RequestError(Kind.SHARDS, f"the shards of the slot {settings.slot_name} are just being changed", remedy)
    names = tuple(part.slot(settings.slot_name) for part in parts)
    for name in names:
        slot = read_slot(connection, name)
        if slot is None:
            raise RequestError(Kind.SLOT_LOST, f"there is no slot {name}", remedy)
        if not slot.active:
            raise RequestError(Kind.SLOT_ACTIVE, f"no engine streams from the slot {name}", remedy)
    return names


def send(connection: Connection[Any], messages: Iterable[Request | Cancel]) -> None:
    """Write requests or cancellations into the WAL, one for each slot.

    Raises:
        DatabaseError: The connection is lost, or the server is a standby, which takes no messages.
    """
    with translated(), connection.transaction():
        # The transaction id makes the commit flush: a message alone would wait for somebody else's commit. Whether a
        # standby has it is of no concern.
        connection.execute("SET LOCAL synchronous_commit = local")
        for message in messages:
            connection.execute(
                "SELECT pg_logical_emit_message(false, %s, %s), pg_current_xact_id()", (PREFIX, encode(message))
            )


def listen(connection: Connection[Any]) -> None:
    """Begin to take notices; to be called before the request is sent.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))


def follow(connection: Connection[Any], slots: Sequence[str], request: str, patience: float) -> Iterator[Notice | None]:
    """Yield how a request stands at each notice, until the caller has heard enough; None every second without one.

    Args:
        connection: One that listens.
        slots: Those that were asked; they tell whether the engine is there.
        request: The id of the request.
        patience: How many seconds a slot may be without its engine.

    Raises:
        RequestError: The engine has been away for longer than `patience`.
        DatabaseError: The connection is lost; the job goes on without us.
    """
    seen = time.monotonic()
    heard: dict[str, Notice] = {}
    while True:
        with translated():
            found = list(connection.notifies(timeout=_POLL_S, stop_after=1))
        for each in found:
            try:
                notice = decode_notice(each.payload)
            except ValueError:
                continue
            if notice.request == request:
                seen = time.monotonic()
                heard[notice.slot] = notice
                yield together(slots, heard)
        if found:
            continue
        yield None
        left = [name for name in slots if name not in heard or heard[name].outcome not in ENDED]
        away = [name for name in left if (slot := read_slot(connection, name)) is None or not slot.active]
        if not away:
            seen = time.monotonic()
        elif time.monotonic() - seen > patience:
            message = f"no engine has read the slot {away[0]} for {patience:.0f} s"
            remedy = "Start it again: the request waits in the WAL, and the snapshot goes on where it stopped."
            raise RequestError(Kind.SLOT_ACTIVE, message, remedy)


def together(slots: Sequence[str], heard: Mapping[str, Notice]) -> Notice:
    """Return how a request stands that every one of some slots was asked for: at an end when all are."""
    notices = [heard[name] for name in slots if name in heard]
    outcomes = [notice.outcome for notice in notices]
    first = notices[0]
    if len(notices) == len(slots) and all(outcome in ENDED for outcome in outcomes):
        outcome = next((each for each in (Outcome.FAILED, Outcome.CANCELLED) if each in outcomes), Outcome.DONE)
    else:
        outcome = next((each for each in outcomes if each not in ENDED), Outcome.RUNNING)
    return Notice(
        first.slot,
        first.request,
        outcome,
        sum(notice.rows for notice in notices),
        max(notice.seconds for notice in notices),
        next((notice.error for notice in notices if notice.error is not None), None),
    )


def _plan(connection: Connection[Any], table: Table, where: str | None) -> int:
    """Let the server plan the reading, which also checks the condition; return the rows that it expects."""
    statement = query.single(query.explained(table, where))
    try:
        with translated(), connection.transaction():
            connection.execute(_PATIENCE)
            # A parameter, even one that stands for nothing, lets the server take one statement only.
            row: Any = connection.execute(f"{statement} LIMIT %s".encode(), (2**62,)).fetchone()
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege | psycopg.errors.LockNotAvailable):
            raise
        message = f"the condition cannot be used on {table.name}: {str(error).splitlines()[0]}"
        remedy = "Give what would stand behind WHERE in a SELECT from this table alone, with its quotes."
        raise RequestError(Kind.SETTINGS, message, remedy) from error
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return int(plan[0]["Plan"]["Plan Rows"])

"""Owns what the database holds of the shards: looks at their slots and publications, makes and drops them. No plan.

Source of facts: PostgreSQL manual, "Replication Management Functions", `pg_copy_logical_replication_slot`, and
slotfuncs.c: a copy begins where its source has confirmed and waits for nobody's transaction, as a new slot would.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from cdc.errors import CdcError, DatabaseError, Kind
from cdc.lsn import Lsn, parse_lsn
from cdc.postgres import translated
from cdc.shards.filters import Definition
from cdc.shards.names import WHOLE, Generation, Part, generations
from cdc.shards.plan import SlotSeen
from cdc.slots.guard import PREFIX
from cdc.slots.slot import PLUGIN, publication_exists

_SLOTS: Final = """
SELECT slot_name::text, confirmed_flush_lsn::text, active_pid
  FROM pg_replication_slots
 WHERE database = current_database() AND plugin = %s AND NOT temporary AND starts_with(slot_name::text, %s)
 ORDER BY slot_name
"""
_PUBLICATIONS: Final = """
SELECT pubname::text, oid::bigint, obj_description(oid, 'pg_publication')
  FROM pg_publication WHERE starts_with(pubname::text, %s)
"""
_WRITERS: Final = """
SELECT own.virtualtransaction, min(own.pid)
  FROM pg_locks own JOIN pg_locks touched USING (virtualtransaction)
 WHERE own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock' AND own.granted
   AND touched.locktype = 'relation'
   AND touched.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND own.pid IS DISTINCT FROM pg_backend_pid()
 GROUP BY 1
"""
_NOT_HASHED: Final = "could not identify a hash function"


def read_seen(connection: Connection[Any], base: str) -> tuple[SlotSeen, ...]:
    """Return every slot of an engine, whichever generation it is of; `base` is SLOT_NAME.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        rows = connection.execute(_SLOTS, (PLUGIN, base)).fetchall()
    found = []
    for name, confirmed, pid in rows:
        if (part := Part.parse(base, name)) is not None:
            found.append(SlotSeen(part, None if confirmed is None else parse_lsn(confirmed), pid))
    return tuple(found)


def parts_in_use(connection: Connection[Any], base: str) -> tuple[Part, ...]:
    """Return the parts that have a slot, in order; the whole, if none has.

    Raises:
        DatabaseError: The connection is lost.
    """
    return tuple(sorted(each.part for each in read_seen(connection, base))) or (WHOLE,)


def refuse_others(connection: Connection[Any], base: str, part: Part) -> None:
    """Refuse to go on as one shard where slots of another generation exist.

    Raises:
        CdcError: RESHARDED; they do, so this generation has been handed over, or is about to be.
        DatabaseError: The connection is lost.
    """
    others = generations(each.part for each in read_seen(connection, base) if each.part.generation != part.generation)
    if others:
        message = f"this engine reads {part.generation}, but there are slots of {', '.join(map(str, others))}"
        raise CdcError(Kind.RESHARDED, message)


def refuse_shards(connection: Connection[Any], base: str) -> None:
    """Refuse to let another engine take over from shards.

    Raises:
        CdcError: SHARDS; there are some.
        DatabaseError: The connection is lost.
    """
    if parts_in_use(connection, base) != (WHOLE,):
        raise CdcError(Kind.SHARDS, f"there are shards of the slot {base}: start the engine once with CDC_SHARDS=1")


def require_publication(connection: Connection[Any], publication: str) -> None:
    """Refuse to go on without the publication of a shard: one made now would not be there for the WAL before.

    Raises:
        CdcError: SHARDS; it is gone.
        DatabaseError: The connection is lost.
    """
    if not publication_exists(connection, publication):
        raise CdcError(Kind.SHARDS, f"somebody has dropped the publication {publication} of a shard")


def published(connection: Connection[Any], base: str) -> dict[Part, tuple[int, str | None]]:
    """Return the publications of shards, each with its oid and the mark of its definition; `base` is PUBLICATION_NAME.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        rows = connection.execute(_PUBLICATIONS, (base,)).fetchall()
    found = {Part.parse(base, name): (oid, mark) for name, oid, mark in rows}
    return {part: kept for part, kept in found.items() if part is not None and part.label is not None}


def publish(connection: Connection[Any], base: str, definitions: Mapping[Part, Definition]) -> None:
    """Make the publications of a generation that no slot uses yet; those that are there and fit stay.

    Raises:
        CdcError: SHARD_KEY, a key cannot be hashed or stand in a filter; or the right is missing.
    """
    there = {part: mark for part, (_, mark) in published(connection, base).items()}
    if all(there.get(part) == definition.mark for part, definition in definitions.items()):
        return
    try:
        # All or none: the rows that one shard leaves out are another's.
        with translated(), connection.transaction():
            for part, definition in definitions.items():
                for check in definition.checks:
                    connection.execute(check)
                connection.execute(
                    sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(part.publication(base)))
                )
                for statement in definition.statements:
                    connection.execute(statement)
    except DatabaseError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.errors.FeatureNotSupported | psycopg.errors.InvalidObjectDefinition) or (
            isinstance(cause, psycopg.errors.UndefinedFunction) and _NOT_HASHED in str(cause)
        ):
            assert isinstance(cause, psycopg.Error)
            detail = ": ".join(part for part in (cause.diag.message_primary, cause.diag.message_detail) if part)
            raise DatabaseError(Kind.SHARD_KEY, f"the keys cannot be shared out among shards: {detail}") from error
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            script = "; ".join(each.as_string(connection) for item in definitions.values() for each in item.statements)
            message = f"{error}; make the publications of the shards as their tables' owner: {script};"
            raise DatabaseError(Kind.PUBLICATION, message) from error
        raise


def writers(connection: Connection[Any]) -> dict[str, int | None]:
    """Return the open transactions of this database that may have written; each with its process, a prepared one None.

    Whatever has written has an id of its own and holds locks until it ends ("Viewing Locks", `pg_locks`).

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        return dict(connection.execute(_WRITERS).fetchall())


def unpublish(connection: Connection[Any], base: str, keep: Generation) -> None:
    """Drop the publications of every generation of shards but one.

    Raises:
        DatabaseError: The connection is lost, or the right is missing.
    """
    for part in published(connection, base):
        if part.generation != keep:
            with translated():
                connection.execute(
                    sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(part.publication(base)))
                )


def next_lsn(connection: Connection[Any]) -> Lsn:
    """Return an LSN that lies behind everything so far, and make certain that the server soon shows to have passed it.

    Raises:
        DatabaseError: The connection is lost, or the server is a standby, which takes no message.
    """
    with translated():
        row: Any = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        with connection.transaction():
            # Its commit is flushed, and it is a transaction that every slot is sent.
            connection.execute("SET LOCAL synchronous_commit = local")
            connection.execute("SELECT pg_logical_emit_message(true, %s, '')", (PREFIX,))
    return parse_lsn(row[0])


def copy_slot(connection: Connection[Any], source: str, target: str) -> None:
    """Make the slot `target`, which begins where `source` has confirmed; one that is there is as good.

    Raises:
        DatabaseError: The connection is lost, or no slot is free.
    """
    with translated(), suppress(psycopg.errors.DuplicateObject):
        connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s, false)", (source, target))

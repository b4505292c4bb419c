"""Owns which rows a shard has: the definition of its publication, made from that of the whole. Runs no statement.

A publication's row filter may call built-in immutable functions only, and for updates and deletions it may look at the
columns of the replica identity only (PostgreSQL manual, "Row Filters"). So the hash is `hash_record` of the columns
that make the record's key: it takes every built-in type that can be hashed, and several columns as well as one. All
records of a key are one shard's, in the order of their commits. Where a key changes and moves to another shard, the
server makes of the update a deletion for the one and an insert for the other (same chapter, "UPDATE Transformations").
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, sql

from cdc.catalog import Table
from cdc.envelope import key_columns
from cdc.errors import CdcError, Kind
from cdc.pgoutput.messages import ReplicaIdentity
from cdc.postgres import translated
from cdc.shards.names import Generation, Part
from cdc.slots.slot import PUBLISHED

_OPTIONS: Final = """
SELECT ARRAY[pubinsert, pubupdate, pubdelete, pubtruncate], pubviaroot, coalesce(to_jsonb(p) ->> 'pubgencols', 'n')
  FROM pg_publication p WHERE pubname = %s
"""
_STORED: Final = "s"
_FIRST_OF_USERS: Final = 16_384
"""`FirstNormalObjectId`: below it are the server's own types (transam.h)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the publication of the whole sends; those of the shards send the same."""

    operations: tuple[str, ...] = PUBLISHED
    via_root: bool = False
    generated: bool = False
    """Whether stored generated columns are among them (PostgreSQL 18 and newer)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """How the publication of a shard is made: what must work before, and the statements."""

    checks: tuple[sql.Composed, ...]
    statements: tuple[sql.Composed, ...]
    mark: str
    """What its comment says, by which a later start knows whether it is still the one that is asked for."""


def read_options(connection: Connection[Any], publication: str) -> Options:
    """Return the options of the publication of the whole.

    Raises:
        CdcError: PUBLICATION; there is none.
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(_OPTIONS, (publication,)).fetchone()
    if row is None:
        raise CdcError(
            Kind.PUBLICATION, f"there is no publication {publication}, of which those of the shards are made"
        )
    sends, via_root, generated = row
    operations = tuple(kind for kind, sent in zip(PUBLISHED, sends, strict=True) if sent)
    return Options(operations, via_root, generated == _STORED)


def definitions(base: str, tables: Sequence[Table], options: Options, generation: Generation) -> dict[Part, Definition]:
    """Return the definition of each shard's publication.

    Args:
        base: PUBLICATION_NAME, the publication of the whole.
        tables: The captured tables as that one publishes them.
        options: What else that one says.
        generation: Of several shards.

    Raises:
        CdcError: SHARD_KEY; a table has no key.
    """
    return {part: _definition(base, tables, options, part) for part in generation.parts}


def share(table: Table, part: Part) -> sql.Composed:
    """Return the condition on a table's rows that makes them a shard's.

    Raises:
        CdcError: SHARD_KEY; the table has no key.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, _key(table)))
    # The remainder has the sign of the hash; as many hashes are above zero as below.
    return sql.SQL("pg_catalog.abs(pg_catalog.hash_record(ROW({})) % {}) = {}").format(
        columns, sql.Literal(part.generation.shards), sql.Literal(part.index)
    )


def _definition(base: str, tables: Sequence[Table], options: Options, part: Part) -> Definition:
    given = [sql.SQL("publish = {}").format(sql.Literal(", ".join(options.operations)))]
    given.append(sql.SQL("publish_via_partition_root = {}").format(sql.Literal(options.via_root)))
    if options.generated:
        given.append(sql.SQL("publish_generated_columns = stored").format())
    name = sql.Identifier(part.publication(base))
    listed = sql.SQL(", ").join(_listed(table, part) for table in tables)
    made = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(name, listed, sql.SQL(", ").join(given))
    mark = f"headwater {hashlib.sha256(made.as_string().encode()).hexdigest()[:16]}"
    comment = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(name, sql.Literal(mark))
    return Definition(tuple(map(_check, tables)), (made, comment), mark)


def _listed(table: Table, part: Part) -> sql.Composed:
    condition = share(table, part)
    if table.row_filter is not None:
        # The catalogue's own rendering of the expression.
        condition = sql.SQL("({}) AND {}").format(sql.SQL(table.row_filter), condition)
    columns: sql.Composable = sql.SQL("")
    if table.withheld:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
        columns = sql.SQL(" ({})").format(names)
    return sql.SQL("ONLY {}{} WHERE ({})").format(_named(table), columns, condition)


def _check(table: Table) -> sql.Composed:
    """Return a statement that fails if the key cannot be hashed: the walsender would, at the first change."""
    nulls = sql.SQL(", ").join(
        sql.SQL("(SELECT {} FROM ONLY {} LIMIT 0)").format(sql.Identifier(name), _named(table)) for name in _key(table)
    )
    return sql.SQL("SELECT pg_catalog.hash_record(ROW({}))").format(nulls)


def _key(table: Table) -> tuple[str, ...]:
    key = key_columns(table.relation, table.primary_key)
    marked = any(column.is_key for column in table.columns)
    own = table.replica_identity in (ReplicaIdentity.DEFAULT, ReplicaIdentity.INDEX) and marked
    if not own and set(key) != set(table.primary_key):
        message = f"{table.name} has no key but its whole row, by which its rows cannot be shared out among shards"
        raise CdcError(Kind.SHARD_KEY, message)
    for column in table.columns:
        if column.name in key and column.type_oid >= _FIRST_OF_USERS:
            raise CdcError(Kind.SHARD_KEY, f"the key column {column.name} of {table.name} has a user-defined type")
    return key


def _named(table: Table) -> sql.Identifier:
    return sql.Identifier(table.name.schema, table.name.name)

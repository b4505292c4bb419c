"""Owns what the catalogue says about the server and the captured tables, read once when a session opens.

Nothing of this is asked while decoding: the stream itself tells the shape of a table as it was at each change.
Source of facts: PostgreSQL manual, chapter "System Catalogs" (`pg_publication_tables` with column lists and row
filters exists since PostgreSQL 15).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from cdc.lsn import Lsn, parse_lsn
from cdc.pgoutput.messages import Column, Relation, ReplicaIdentity
from cdc.postgres import translated
from cdc.tables import TableName
from cdc.types import TypeCatalog, TypeInfo

OLDEST_SERVER: Final = 150_000

_SERVER: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       current_database(),
       current_setting('server_version_num')::int,
       current_setting('wal_level'),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
       current_user::text,
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
       OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'USAGE')),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       pg_is_in_recovery()
"""

# Before 18 no generated column is ever streamed, though the view may name it; since then the view tells the truth.
_TABLES: Final = """
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relreplident,
       p.attnames, p.rowfilter,
       (SELECT array_agg(a.attname ORDER BY k.place)
          FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts),
       (SELECT array_agg(a.attname ORDER BY k.place)
          FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE i.indrelid = c.oid AND i.indisreplident AND k.place <= i.indnkeyatts),
       (SELECT json_agg(json_build_array(a.attname, a.atttypid::bigint, a.atttypmod) ORDER BY a.attnum)
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (p.attnames)
           AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000)),
       (SELECT array_agg(a.attname ORDER BY a.attnum)
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
           AND a.attname <> ALL (p.attnames))
  FROM pg_publication_tables p
  JOIN pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
 WHERE p.pubname = %s
 ORDER BY n.nspname, c.relname
"""

# Domains, arrays, and what has a name of its own; composite types alone, of which every table is one, keep their text.
_TYPES: Final = """
SELECT t.oid::bigint, n.nspname, t.typname, t.typbasetype::bigint, t.typtypmod,
       coalesce(e.oid, 0)::bigint, coalesce(e.typdelim, ',')::text
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_type e ON e.typarray = t.oid
 WHERE t.typtype <> 'c' AND (t.oid >= 16384 OR e.oid IS NOT NULL OR t.typtype = 'd')
"""


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the session's right on it."""

    system_identifier: str
    database: str
    version: int
    """Such as 150012 for 15.12."""
    wal_level: str
    wal_end: Lsn
    user: str
    may_replicate: bool
    slot_wal_keep_mb: int | None = None
    """`max_slot_wal_keep_size` in megabytes; negative is unlimited."""
    standby: bool = False

    @property
    def source(self) -> bytes:
        """The name of the history that positions belong to."""
        return f"{self.system_identifier}/{self.database}".encode()


@dataclass(frozen=True, slots=True)
class Table:
    """A published table: its columns as the stream will send them, its keys, its row filter."""

    name: TableName
    oid: int
    partitioned: bool
    replica_identity: ReplicaIdentity
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    identity_index: tuple[str, ...]
    row_filter: str | None
    withheld: tuple[str, ...] = ()
    """Columns that the publication's column list leaves out."""

    @property
    def relation(self) -> Relation:
        """The table as the stream would describe it."""
        return Relation(self.oid, self.name.schema, self.name.name, self.replica_identity, self.columns)

    @property
    def order(self) -> tuple[str, ...]:
        """The published columns of a unique index without nulls, which order the rows; empty when there is none."""
        key = self.primary_key or self.identity_index
        return key if set(key) <= {column.name for column in self.columns} else ()


def read_server(connection: Connection[Any]) -> Server:
    """Ask the server who it is.

    Raises:
        DatabaseError: The connection is lost, or the right is missing.
    """
    with translated():
        row: Any = connection.execute(_SERVER).fetchone()
    identifier, database, version, wal_level, wal_end, user, may_replicate, keep, standby = row
    return Server(
        identifier, database, version, wal_level, parse_lsn(wal_end), user, bool(may_replicate), keep, standby
    )


def read_tables(connection: Connection[Any], publication: str) -> tuple[Table, ...]:
    """Return every table of a publication, by name.

    Raises:
        DatabaseError: The connection is lost, or the right is missing.
    """
    with translated():
        rows = connection.execute(_TABLES, (publication,)).fetchall()
    return tuple(_table(row) for row in rows)


def _table(row: Sequence[Any]) -> Table:
    oid, schema, name, partitioned, identity, published, row_filter, primary_key, identity_index, columns, withheld = (
        row
    )
    replica_identity = ReplicaIdentity(identity)
    # Aggregates over nothing are null: a table may have no column at all.
    keys = {
        ReplicaIdentity.DEFAULT: primary_key or (),
        ReplicaIdentity.INDEX: identity_index or (),
        ReplicaIdentity.FULL: published or (),
        ReplicaIdentity.NOTHING: (),
    }[replica_identity]
    return Table(
        TableName(schema, name),
        oid,
        partitioned,
        replica_identity,
        tuple(Column(column, type_oid, modifier, column in keys) for column, type_oid, modifier in columns or ()),
        tuple(primary_key or ()),
        tuple(identity_index or ()),
        row_filter,
        tuple(withheld or ()),
    )


def read_types(connection: Connection[Any]) -> TypeCatalog:
    """Return the types that are made of others, and how `money` is written here.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        rows = connection.execute(_TYPES).fetchall()
        digits: Any = connection.execute("SELECT scale(1::money::numeric)").fetchone()
    return TypeCatalog(tuple(TypeInfo(*row) for row in rows), digits[0])


def missing_tables(connection: Connection[Any], names: Sequence[TableName]) -> frozenset[TableName]:
    """Return those of the names that are no table of the database.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        rows = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s)",
            ([name.schema for name in names],),
        ).fetchall()
    return frozenset(names) - {TableName(schema, name) for schema, name in rows}


def unreadable_tables(connection: Connection[Any], names: Sequence[TableName]) -> tuple[TableName, ...]:
    """Return those of these existing tables that the role may not SELECT from.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        rows = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s)"
            " AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'))",
            ([name.schema for name in names],),
        ).fetchall()
    return tuple(sorted(set(names) & {TableName(schema, name) for schema, name in rows}, key=str))

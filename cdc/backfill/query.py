"""Owns the statements of an incremental snapshot: a chunk in key order, the greatest key, who writes at this moment.

Every name and every key is quoted by the driver. The condition of a request is SQL of its author: it is put between
parentheses on lines of its own, and every statement that holds one is sent with a parameter, which makes the driver
use the protocol that takes one statement only.
"""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection, sql

from cdc.backfill.messages import KeyTexts
from cdc.backfill.window import Snapshot
from cdc.catalog import Table
from cdc.pgoutput.messages import Row
from cdc.postgres import hand_out_texts

CHUNK_BYTES: Final = 1024 * 1024
_FIRST_BATCH: Final = 10

ReadRow = tuple[Row, tuple[bool, ...]]
"""A row, and for each boundary asked for whether the row lies beyond it."""

# Whoever changes a table holds one of these locks until others can see the change.
_WRITERS: Final = """
SELECT x.transactionid::text::bigint
  FROM pg_locks w
  JOIN pg_locks x ON x.virtualtransaction = w.virtualtransaction AND x.locktype = 'transactionid' AND x.granted
                 AND x.mode = 'ExclusiveLock'
 WHERE w.locktype = 'relation' AND w.granted
   AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND w.relation IN (SELECT %(oid)s::oid UNION SELECT relid FROM pg_partition_tree(%(oid)s::oid))
   AND w.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""


def take_snapshot(connection: Connection[Any]) -> Snapshot:
    """Begin a transaction that reads, and return what it sees."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row: Any = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    return Snapshot.parse(row[0])


def writers(connection: Connection[Any], table: Table) -> frozenset[int]:
    """Return the ids of the transactions that have a lock to change the table, prepared ones too."""
    return frozenset(row[0] for row in connection.execute(_WRITERS, {"oid": table.oid}))


def greatest_key(connection: Connection[Any], table: Table, where: str | None) -> KeyTexts | None:
    """Return the key of the last row that is asked for; None when there is none."""
    key = _key(table)
    query = _select(table, key, where, [])
    descending = sql.SQL(", ").join(sql.SQL("{} DESC").format(each) for each in key)
    rows = _texts(connection, sql.SQL("{} ORDER BY {}").format(query, descending), 1)
    return tuple(map(str, rows[0])) if rows else None


def read_chunk(
    connection: Connection[Any],
    table: Table,
    where: str | None,
    between: tuple[KeyTexts | None, KeyTexts],
    boundaries: Sequence[KeyTexts],
    limit: int,
) -> tuple[list[ReadRow], bool]:
    """Return the next rows in the order of the key, and whether there are no more behind them.

    At most `limit` rows, and fewer when they are large: about a megabyte.

    Args:
        connection: In a transaction that reads.
        table: The table; its published columns and its row filter are the publication's.
        where: The condition of the request.
        between: The key behind which to begin, None for the first, and the one to end with.
        boundaries: Keys to compare each row with. The server compares, because only it knows its collations.
        limit: The number of rows that are expected to fit.
    """
    after, upper = between
    key = _key(table)
    columns = [sql.Identifier(column.name) for column in table.columns]
    flags = [_compared(key, ">", boundary) for boundary in boundaries]
    bounds = [_compared(key, "<=", upper), *([] if after is None else [_compared(key, ">", after)])]
    query = sql.SQL("{} ORDER BY {}").format(_select(table, [*columns, *flags], where, bounds), sql.SQL(", ").join(key))
    width = len(columns)
    rows: list[ReadRow] = []
    size, batch = 0, _FIRST_BATCH
    # A cursor on the server: the rows before told nothing of the size of these.
    with connection.cursor("cdc_chunk") as cursor:
        hand_out_texts(cursor)
        cursor.execute(f"{single(query)} LIMIT %s".encode(), (limit,))
        while len(rows) < limit and size < CHUNK_BYTES:
            found = cursor.fetchmany(min(batch, limit - len(rows)))
            rows += [(row[:width], tuple(flag == "t" for flag in row[width:])) for row in found]
            if len(found) < batch and len(rows) < limit:
                return rows, True
            size += sum(len(value) for row in found for value in row if value is not None)
            batch = max(_FIRST_BATCH, min(limit, CHUNK_BYTES * len(rows) // max(1, size)) // 2)
    return rows, False


def explained(table: Table, where: str | None) -> sql.Composed:
    """Return the statement that plans the reading of every row asked for, and runs nothing."""
    columns = [sql.Identifier(column.name) for column in table.columns]
    return sql.SQL("EXPLAIN (FORMAT JSON) {}").format(_select(table, columns, where, []))


def single(query: sql.Composed) -> str:
    """Return a statement's text, with nothing special about its percent signs, for a call with parameters."""
    return query.as_string().replace("%", "%%")


def _key(table: Table) -> list[sql.Composable]:
    return [sql.Identifier(name) for name in table.order]


def _compared(key: Sequence[sql.Composable], operator: str, texts: KeyTexts) -> sql.Composable:
    return sql.SQL("({}) {} ({})").format(
        sql.SQL(", ").join(key), sql.SQL(operator), sql.SQL(", ").join(map(sql.Literal, texts))
    )


def _select(
    table: Table, columns: Sequence[sql.Composable], where: str | None, bounds: Sequence[sql.Composable]
) -> sql.Composed:
    conditions = list(bounds)
    # The catalogue's own rendering of the publication's expression; then that of the request.
    conditions += [sql.SQL("(\n{}\n)").format(sql.SQL(text)) for text in (table.row_filter, where) if text is not None]
    query = sql.SQL("SELECT {} FROM {} {}").format(
        sql.SQL(", ").join(columns),
        sql.SQL("" if table.partitioned else "ONLY"),
        sql.Identifier(table.name.schema, table.name.name),
    )
    if not conditions:
        return query
    return sql.SQL("{} WHERE {}").format(query, sql.SQL(" AND ").join(conditions))


def _texts(connection: Connection[Any], query: sql.Composed, limit: int) -> list[tuple[str | None, ...]]:
    with connection.cursor() as cursor:
        hand_out_texts(cursor)
        return cursor.execute(f"{single(query)} LIMIT %s".encode(), (limit,)).fetchall()

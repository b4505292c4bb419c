"""Owns the choice of rows by key, time or type, as the SQL condition of a request. Asks no database."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from psycopg import sql

from cdc.backfill.command import RequestError
from cdc.catalog import Table
from cdc.errors import Kind

TIME_COLUMN, TYPE_COLUMN = "saved_date", "event_type"
"""Where `event_headers` has its time and its type."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows that meet every part that is given; with none, all rows."""

    keys: Sequence[str] = ()
    """Each the value of a key of one column, or a record's key: a JSON object with all key columns."""
    since: str | None = None
    """Rows whose time is not before this one, in any form that PostgreSQL reads."""
    types: Sequence[str] = field(default=())
    time_column: str = TIME_COLUMN
    type_column: str = TYPE_COLUMN


def condition(table: Table, selection: Selection) -> str | None:
    """Return what would stand behind WHERE; None for all rows.

    Raises:
        RequestError: The table has no such column, or a key is not one of its keys.
    """
    parts: list[sql.Composable] = []
    if selection.keys:
        keys = [_key(table, text) for text in selection.keys]
        parts.append(sql.SQL("({})").format(sql.SQL(" OR ").join(keys)))
    if selection.since is not None:
        column = _column(table, selection.time_column, "--time-column")
        parts.append(sql.SQL("{} >= {}").format(column, sql.Literal(selection.since)))
    if selection.types:
        column = _column(table, selection.type_column, "--type-column")
        parts.append(sql.SQL("{} IN ({})").format(column, sql.SQL(", ").join(map(sql.Literal, selection.types))))
    return sql.SQL(" AND ").join(parts).as_string() if parts else None


def _key(table: Table, text: str) -> sql.Composable:
    values = _object(text)
    if values is None and len(table.order) == 1:
        values = {table.order[0]: text}
    if values is None or set(values) != set(table.order):
        named = ", ".join(table.order)
        remedy = f'Give a record\'s key, a JSON object with {named}, such as {{"{table.order[0]}":"…"}}.'
        raise RequestError(Kind.SETTINGS, f"{text} is not a key of {table.name}", remedy)
    matches = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(str(values[name]))) for name in table.order]
    return sql.SQL("({})").format(sql.SQL(" AND ").join(matches))


def _object(text: str) -> dict[str, object] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _column(table: Table, name: str, option: str) -> sql.Identifier:
    if name not in {column.name for column in table.columns}:
        named = ", ".join(column.name for column in table.columns)
        raise RequestError(Kind.SETTINGS, f"{table.name} has no column {name}", f"Name one by {option}: {named}.")
    return sql.Identifier(name)

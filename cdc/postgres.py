"""Owns how the engine reaches PostgreSQL and what it makes of its errors. Knows no slot, no table, no record.

Every session, walsender included, gets the settings under which one value has one text, and no time limit of the
role or the database: a snapshot may read for hours. The engine goes straight to the server, never through a pool or
a proxy (CD-9): replication and exported snapshots belong to a session.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import BaseConnection, Connection, conninfo
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.postgres import types
from psycopg.types.string import TextLoader

from cdc.errors import CdcError, DatabaseError, Kind
from cdc.values import SESSION_SETTINGS

_CONNECT_TIMEOUT_S: Final = 10
_NO_LIMITS: Final[Mapping[str, str]] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

# SQLSTATEs and classes: PostgreSQL manual, appendix A. Whatever is in neither stops the engine.
_BY_STATE: Final[Mapping[str, Kind]] = {
    "28000": Kind.CREDENTIALS,
    "28P01": Kind.CREDENTIALS,
    "42501": Kind.REPLICATION_RIGHT,
    "42710": Kind.SLOT_ACTIVE,  # somebody else creates our slot at this moment
    "53400": Kind.NO_FREE_SLOT,
    "55006": Kind.SLOT_ACTIVE,
    "55P03": Kind.DATABASE_BUSY,
    "57P01": Kind.CONNECTION_LOST,
    "57P02": Kind.CONNECTION_LOST,
    "57P03": Kind.DATABASE_UNREACHABLE,
    "57P05": Kind.CONNECTION_LOST,
}
_BY_CLASS: Final[Mapping[str, Kind]] = {
    "08": Kind.CONNECTION_LOST,
    "40": Kind.DATABASE_BUSY,
    "53": Kind.DATABASE_BUSY,
}
# One SQLSTATE stands for several faults, or a refused connection has none; then only the text tells them apart.
_BY_TEXT: Final[Mapping[str, Kind]] = {
    "can no longer get changes from replication slot": Kind.SLOT_INVALIDATED,
    "can no longer access replication slot": Kind.SLOT_INVALIDATED,
    "logical decoding requires": Kind.WAL_LEVEL,
    "snapshot": Kind.SNAPSHOT_INTERRUPTED,
    "replication slot": Kind.SLOT_LOST,
    "publication": Kind.PUBLICATION,
    "password authentication failed": Kind.CREDENTIALS,
    "no password supplied": Kind.CREDENTIALS,
    "no pg_hba.conf entry": Kind.CREDENTIALS,
    "permission denied to start WAL sender": Kind.REPLICATION_RIGHT,
    "must be superuser or replication role to start walsender": Kind.REPLICATION_RIGHT,
    "max_wal_senders": Kind.DATABASE_BUSY,
    "certificate": Kind.TLS,
    "server does not support SSL": Kind.TLS,
}
_TEXT_DECIDES: Final = frozenset({"22023", "42704", "53300", "55000"})


def connect(url: str, *, replication: bool = False) -> Connection[tuple[Any, ...]]:
    """Connect with the engine's session settings, in autocommit.

    Args:
        url: A PostgreSQL connection string or URI; its own `options` are kept.
        replication: Open a walsender session of that database, which takes replication commands.

    Raises:
        DatabaseError: No connection; the text names host and database, never the password.
    """
    with translated():
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The original's text quotes the string, and with it the password.
            raise CdcError(Kind.SETTINGS, "DATABASE_URL is not a PostgreSQL connection string") from None
        settings = {**SESSION_SETTINGS, **_NO_LIMITS}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        extra: dict[str, Any] = {"replication": "database"} if replication else {}
        extra["options"] = f"{given.get('options') or ''} {options}".strip()
        extra.setdefault("connect_timeout", given.get("connect_timeout", _CONNECT_TIMEOUT_S))
        extra.setdefault("application_name", given.get("application_name", "headwater-cdc"))
        return psycopg.connect(url, autocommit=True, **extra)


def hand_out_texts(cursor: AdaptContext) -> None:
    """Let a cursor give every column as PostgreSQL's text, whatever its type: as the stream does."""
    # The stream's decoder hands out bytes that are no text in the same way.
    loader = _AnyTextLoader if cursor.connection is not None and keeps_any_bytes(cursor.connection) else TextLoader
    for info in types:
        cursor.adapters.register_loader(info.oid, loader)
        if info.array_oid:
            cursor.adapters.register_loader(info.array_oid, loader)
    cursor.adapters.register_loader(0, loader)


def keeps_any_bytes(connection: BaseConnection[Any]) -> bool:
    """Say whether the database may hold texts that are no UTF-8: one in SQL_ASCII.

    To a client that asked for UTF-8 its server refuses such a row, and with it everything behind it. Such a client has
    to ask for SQL_ASCII, at the moment when rows come: psycopg would take every text for bytes.
    """
    return connection.info.parameter_status("server_encoding") == "SQL_ASCII"


class _AnyTextLoader(Loader):
    def load(self, data: Buffer) -> str:
        return str(data, "utf-8", "surrogateescape")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into `DatabaseError` with their kind and cause."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseError(kind_of(error.sqlstate, str(error)), str(error).strip()) from error
    except psycopg.Error as error:
        # Without a state it is the driver that refuses what we asked of it; waiting does not cure that.
        kind = Kind.DATABASE if error.sqlstate is None else kind_of(error.sqlstate, str(error))
        raise DatabaseError(kind, str(error).strip()) from error


def kind_of(sqlstate: str | None, text: str) -> Kind:
    """Return the kind of an error of the server, or of the driver when `sqlstate` is None."""
    if sqlstate is None or sqlstate in _TEXT_DECIDES:
        for part, kind in _BY_TEXT.items():
            if part in text:
                return kind
    if sqlstate is None:
        # Refused, reset, timed out, name not resolved, still starting: all of it may pass.
        return Kind.DATABASE_UNREACHABLE
    return _BY_STATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or Kind.DATABASE

"""One SQL text that is run again and again, in one call of libpq.

Owns the way past psycopg's cursors, which cost more processor time than the round trip itself: about 19 of 38 µs, and a
wake-up more (bench/README.md). It knows no retry and no meaning of a failure; errors are psycopg's own classes. While
the server works no Python signal handler of the calling thread runs, so what runs here is short and has the statement
timeout. Fact: https://www.postgresql.org/docs/18/libpq-exec.html.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


class Statement:
    """Hold a statement that returns no rows, with psycopg's placeholders such as `%(id)s`.

    Args:
        name: Under which the server keeps it, where it is prepared; unlike that of every other statement.
        text: The SQL.
    """

    __slots__ = ("_columns", "name", "text")

    def __init__(self, name: LiteralString, text: LiteralString) -> None:
        self._columns = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
        places = {column: f"${place}" for place, column in enumerate(self._columns, 1)}
        self.text: Final = _PLACEHOLDER.sub(lambda found: places[found[1]], text).encode()
        self.name: Final = name.encode()

    def values(self, parameters: Mapping[str, str | None], encoding: str) -> list[bytes | None]:
        """Return the parameters as text in the order of the statement.

        Raises:
            psycopg.DataError: A text has U+0000, where libpq would end it in silence.
        """
        values = [None if (text := parameters[name]) is None else text.encode(encoding) for name in self._columns]
        if b"\0" in b"".join(filter(None, values)):
            raise psycopg.DataError("PostgreSQL text cannot contain NUL (0x00) bytes")
        return values


class Runner:
    """Run statements over one connection, each prepared at its first use or never.

    Args:
        connection: In autocommit, and used by one thread at a time.
        prepare: Whether named statements may be used.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, prepare: bool) -> None:
        self.connection: Final = connection
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._prepared: set[bytes] | None = set() if prepare else None

    def run(self, statement: Statement, parameters: Mapping[str, str | None]) -> None:
        """Run one statement as one transaction.

        Raises:
            psycopg.Error: The server refuses it, or the connection is lost.
        """
        values = statement.values(parameters, self._encoding)
        prepared = self._prepared
        if prepared is None:
            self._check(self._pgconn.exec_params(statement.text, values))
            return
        if statement.name not in prepared:
            self._check(self._pgconn.prepare(statement.name, statement.text))
            prepared.add(statement.name)
        self._check(self._pgconn.exec_prepared(statement.name, values))  # type: ignore[arg-type]  # takes NULLs too

    def _check(self, result: PGresult) -> None:
        if result.status == ExecStatus.COMMAND_OK:
            return
        if self._pgconn.status == ConnStatus.BAD and not result.error_field(psycopg.pq.DiagnosticField.SQLSTATE):
            raise psycopg.OperationalError(self._pgconn.get_error_message(self._encoding))
        raise psycopg.errors.error_from_result(result, encoding=self._encoding)

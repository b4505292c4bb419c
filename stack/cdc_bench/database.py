"""Owns what the measurement asks of PostgreSQL: an empty set of tables, slots, positions, the judge's ids."""

import time
from collections.abc import Iterator, Sequence
from threading import Event

import psycopg

from stack import postgres
from stack.errors import StackError
from stack.local import LocalStack

_SECONDS = 30

# Nothing of the server's own housekeeping falls into a measurement; it is done between them.
_QUIET = ("autovacuum = off", "max_wal_size = '16GB'", "checkpoint_timeout = '1h'")


class Database:
    """The event database of one stack.

    Args:
        stack: A stack whose PostgreSQL runs.
    """

    def __init__(self, stack: LocalStack) -> None:
        postgres.create_tables(stack.settings)
        self.url = stack.settings.database_url
        self._connection = psycopg.connect(self.url, autocommit=True)
        for setting in _QUIET:
            self._connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        self._connection.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Leave it."""
        self._connection.close()

    def empty(self) -> None:
        """Empty the three tables."""
        self._connection.execute("TRUNCATE business_events, event_headers, entities")
        self._connection.execute("CHECKPOINT")

    def create_slots(self, names: Sequence[str]) -> None:
        """Create slots that see everything from here on."""
        for name in names:
            self._connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))

    def drop_slot(self, name: str) -> None:
        """Drop a slot, once nobody reads it any more.

        Raises:
            StackError: Somebody does.
        """
        pacer, deadline = Event(), time.monotonic() + _SECONDS
        while self.walsender(name) is not None:
            if time.monotonic() > deadline:
                raise StackError(f"The slot {name} is still read.", "See `logs/postgres.log`.")
            pacer.wait(0.05)
        self._connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))

    def walsender(self, slot: str) -> int | None:
        """Return the process that sends to the reader of a slot; None when nobody reads it."""
        row = self._connection.execute(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (slot,)
        ).fetchone()
        return None if row is None else row[0]

    def settle(self) -> str:
        """Write everything to disk and return the LSN behind it."""
        self._connection.execute("CHECKPOINT")
        row = self._connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return str(row[0])

    def ids(self) -> Iterator[str]:
        """Give the id of every header that is committed."""
        for (name,) in self._connection.execute("SELECT id FROM event_headers"):
            yield name

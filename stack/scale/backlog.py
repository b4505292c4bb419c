"""Owns the backlog that the figures of `headwater sim scale` are measured on: its transactions, its slots, its filters.

The server writes it, so that no client's speed is in it. Facts: PostgreSQL manual, CREATE PUBLICATION (row filters).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

import schemas

SHARDS: Final = (1, 2, 4, 8)
"""Row filters that are measured: a shard of so many."""

_SHARD: LiteralString = "abs(hashtext(id))"

_LOAD: Final = """
CREATE OR REPLACE PROCEDURE measured_load(transactions int, events int, document jsonb) LANGUAGE plpgsql AS $$
DECLARE
    made text[];
    header jsonb := document -> 'eventHeader';
BEGIN
    FOR turn IN 1 .. transactions LOOP
        SELECT array_agg(gen_random_uuid()::text) INTO made FROM generate_series(1, events);
        INSERT INTO business_events
            SELECT id, header ->> 'eventName', header ->> 'eventType', now(), now(), document FROM unnest(made) AS id;
        INSERT INTO event_headers
            SELECT id, header ->> 'eventName', header ->> 'eventType', now(), now(),
                jsonb_set(header, '{uuid}', to_jsonb(id))
            FROM unnest(made) AS id;
        INSERT INTO entities
            SELECT 'Car', id, now(), now(), (document #> '{entities,0}') - 'entityHeader', id FROM unnest(made) AS id;
        COMMIT;
    END LOOP;
END $$
"""


class Backlog:
    """Write events as the producer does, and read them again through publications of any size.

    Args:
        connection: To the event database, with its tables, in autocommit.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(_LOAD)
        # One slot needs no filter; the last one lets no row through, but looks at each.
        conditions = {1: "true", **{each: f"{_SHARD} % {each} = 0" for each in SHARDS[1:]}, 0: f"{_SHARD} < 0"}
        for shards, condition in conditions.items():
            name = sql.Identifier(publication(shards))
            where = sql.SQL("") if shards == 1 else sql.SQL(f"WHERE ({condition})")
            connection.execute(sql.SQL("CREATE PUBLICATION {} FOR TABLE event_headers {}").format(name, where))

    @property
    def backend(self) -> int:
        """Return the server's process that writes it."""
        return self._connection.info.backend_pid

    def load(self, transactions: int, events: int) -> tuple[int, int]:
        """Commit so many transactions of so many events; return the bytes of WAL and of storage that they have made."""
        before, size = self.position(), self._size()
        document = json.dumps(schemas.sized_event("CarCreated"))
        self._connection.execute("SET synchronous_commit = off")
        self._connection.execute("CALL measured_load(%s, %s, %s::jsonb)", (transactions, events, document))
        self._connection.execute("SET synchronous_commit = on")
        return int(self._ask("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before)), self._size() - size

    def _size(self) -> int:
        return int(self._ask("SELECT pg_database_size(current_database())"))

    def position(self) -> str:
        """Return the end of the WAL, everything before it on disk and so within reach of a walsender."""
        # This commit is a synchronous one, and takes with it what was committed without waiting.
        self._connection.execute("SELECT pg_logical_emit_message(true, 'headwater.measured', '')")
        return str(self._ask("SELECT pg_current_wal_flush_lsn()::text"))

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Keep everything from now on for copies of this slot; drop it afterwards."""
        self._ask("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')::text", name)
        try:
            yield
        finally:
            self._connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))

    @contextmanager
    def copy(self, source: str) -> Iterator[str]:
        """Give a slot that begins where another one began, and drop it afterwards."""
        self._ask("SELECT pg_copy_logical_replication_slot(%s, %s)::text", source, copied := f"{source}_copy")
        try:
            yield copied
        finally:
            self._connection.execute("SELECT pg_drop_replication_slot(%s)", (copied,))

    def walsender(self, slot: str) -> int | None:
        """Return the process that reads a slot, if there is one."""
        pid = self._ask("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", slot)
        return None if pid is None else int(pid)

    def _ask(self, question: LiteralString, *values: object) -> Any:
        row = self._connection.execute(question, values).fetchone()
        assert row is not None
        return row[0]


def publication(shards: int) -> str:
    """Return the publication of one shard of so many; 0 for the one without a row."""
    return f"measured_{shards}"

"""Owns the run of one large transaction: how long the engine takes to carry it to Kafka, and how much memory."""

import time
from dataclasses import asdict, dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

import psutil
import psycopg

from stack import kafka, postgres
from stack.errors import StackError
from stack.local import LocalStack
from stack.routes import RAW_TOPIC
from stack.sightings import end_offsets

_SECONDS = 600

_ROWS = """
INSERT INTO {table} (id, event_name, {column})
SELECT 'row-' || number, 'Large Transaction', jsonb_build_object('text', repeat(md5(number::text), {repeats}))
FROM generate_series(1, {rows}) AS number
"""


@dataclass(frozen=True, slots=True)
class TransactionReport:
    """Say how one transaction travelled; memory is the engine's resident set at its peak."""

    rows: int
    bytes_per_row: int
    streaming: bool
    delivered: int
    seconds: float
    rows_per_second: int
    peak_memory_mb: int

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        return asdict(self)


def run(stack: LocalStack, rows: int, bytes_per_row: int, *, streaming: bool) -> TransactionReport:
    """Commit `rows` headers of about `bytes_per_row` bytes in one transaction and wait until Kafka has them all.

    Args:
        stack: A stack with nothing running, opened in an environment that says how to stream.
        rows: How many.
        bytes_per_row: The size of the JSON document in each.
        streaming: What that environment says: the server sends the transaction while it runs, or after its commit.

    Raises:
        StackError: Kafka does not have them in time.
    """
    stack.start("postgres", "kafka")
    postgres.create_tables(stack.settings)
    kafka.create_topics(stack.settings)
    stack.start("cdc")
    with (
        _Memory(stack.processes()["cdc"].pid) as memory,
        psycopg.connect(stack.settings.database_url, autocommit=True) as connection,
    ):
        with connection.transaction():
            for table, column, size in (("business_events", "event_data", 0), ("event_headers", "header_data", 1)):
                repeats = max(1, size * bytes_per_row // 32)
                connection.execute(_ROWS.format(table=table, column=column, repeats=repeats, rows=rows).encode())
        started = time.perf_counter()
        target = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        _await(connection, target)
    seconds = time.perf_counter() - started
    return TransactionReport(
        rows=rows,
        bytes_per_row=bytes_per_row,
        streaming=streaming,
        delivered=sum(end.offset for end in end_offsets(stack.settings.kafka_bootstrap, [RAW_TOPIC])),
        seconds=round(seconds, 2),
        rows_per_second=round(rows / seconds),
        peak_memory_mb=round(memory.peak / 1e6),
    )


class _Memory:
    """Watch the largest resident set of a process, also while its transaction is still open."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)


def _await(connection: psycopg.Connection, target: tuple[object, ...] | None) -> None:
    """Return when the engine's slot has confirmed the target."""
    pacer, deadline = Event(), time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        row = connection.execute(
            "SELECT bool_or(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots", target
        ).fetchone()
        if row and row[0]:
            return
        pacer.wait(0.02)
    raise StackError(f"Kafka does not have the transaction after {_SECONDS} s.", "See `logs/cdc.log`.")

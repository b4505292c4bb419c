"""Owns the run of one large transaction: how long the engine takes to carry it to Kafka, and how much memory."""

import time
from dataclasses import asdict, dataclass
from threading import Event

import psutil
import psycopg

import schemas
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
    delivered: int
    seconds: float
    rows_per_second: int
    peak_memory_mb: int

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        return asdict(self)


def run(stack: LocalStack, rows: int, bytes_per_row: int) -> TransactionReport:
    """Commit `rows` headers of about `bytes_per_row` bytes in one transaction and wait until Kafka has them all.

    Raises:
        StackError: Kafka does not have them in time.
    """
    stack.start("postgres", "kafka")
    postgres.apply_schema(stack.settings, schemas.postgres_sql())
    kafka.create_topics(stack.settings)
    stack.start("cdc")
    engine = psutil.Process(stack.processes()["cdc"].pid)
    with psycopg.connect(stack.settings.database_url, autocommit=True) as connection:
        with connection.transaction():
            for table, column, size in (("business_events", "event_data", 0), ("event_headers", "header_data", 1)):
                repeats = max(1, size * bytes_per_row // 32)
                connection.execute(_ROWS.format(table=table, column=column, repeats=repeats, rows=rows).encode())
        started = time.perf_counter()
        target = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        peak = _watch(connection, engine, target)
    seconds = time.perf_counter() - started
    return TransactionReport(
        rows=rows,
        bytes_per_row=bytes_per_row,
        delivered=sum(end.offset for end in end_offsets(stack.settings.kafka_bootstrap, [RAW_TOPIC])),
        seconds=round(seconds, 2),
        rows_per_second=round(rows / seconds),
        peak_memory_mb=round(peak / 1e6),
    )


def _watch(connection: psycopg.Connection, engine: psutil.Process, target: tuple[object, ...] | None) -> int:
    """Return the engine's largest resident set until its slot has confirmed the target."""
    peak, pacer, deadline = 0, Event(), time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        peak = max(peak, engine.memory_info().rss)
        row = connection.execute(
            "SELECT bool_or(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots", target
        ).fetchone()
        if row and row[0]:
            return peak
        pacer.wait(0.02)
    raise StackError(f"Kafka does not have the transaction after {_SECONDS} s.", "See `logs/cdc.log`.")

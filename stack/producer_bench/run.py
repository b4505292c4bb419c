"""Owns the order of the measurement: contestants in turn over rounds, each on empty tables, then counted.

Must never print.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from stack import postgres
from stack.local import LocalStack
from stack.producer_bench.contestants import SCRIPT, Contestant, LambdaHandler, PgBench, newest_event
from stack.producer_bench.report import HANDLER, PREPARED, UNPREPARED, ProducerReport, Series

_TABLES: Final = ("business_events", "event_headers", "entities")
_SERVER: Final = ("fsync", "synchronous_commit", "wal_level")

Tell = Callable[[str], None]


def run(stack: LocalStack, clients: Sequence[int], seconds: float, rounds: int, tell: Tell) -> ProducerReport:
    """Let the handler and `pgbench` write events in turn.

    Args:
        stack: A stack with nothing running.
        clients: With how many clients at the same time, one number after the other.
        seconds: How long each run is.
        rounds: How often each is run.
        tell: Hears of each run that has ended.

    Raises:
        StackError: A part does not start, or a contestant fails.
    """
    stack.start("postgres")
    postgres.create_tables(stack.settings)
    url, folder = stack.settings.database_url, Path(stack.state.root)
    handler = LambdaHandler(HANDLER, url, folder)
    with psycopg.connect(url, autocommit=True) as connection:
        server = {name: _setting(connection, name) for name in _SERVER}
        handler.measure(1, 0)
        script = folder / "bench-producer.sql"
        script.write_text(SCRIPT)
        values = newest_event(connection)
        contestants: tuple[Contestant, ...] = (
            handler,
            PgBench(PREPARED, url, script, values, "prepared"),
            LambdaHandler(UNPREPARED, url, folder, prepare=False),
            PgBench("pgbench_extended", url, script, values, "extended"),
            PgBench("pgbench_simple", url, script, values, "simple"),
        )
        found = {count: {each.name: Series() for each in contestants} for count in clients}
        for turn in range(rounds):
            for count in clients:
                for each in contestants:
                    _empty(connection)
                    taken = each.measure(count, seconds)
                    found[count][each.name].note(taken, _rows(connection))
                    tell(f"round {turn + 1} of {rounds}, {count} at once, {each.name}: {taken.rate:,.0f} tx/s")
    return ProducerReport(found, server, seconds)


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row is not None else ""


def _empty(connection: psycopg.Connection[Any]) -> None:
    """Give every run the same start: no rows, and no checkpoint due."""
    connection.execute("TRUNCATE business_events, event_headers, entities")
    connection.execute("CHECKPOINT")


def _rows(connection: psycopg.Connection[Any]) -> list[int]:
    counts = []
    for table in _TABLES:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own three names
        counts.append(int(row[0]) if row is not None else 0)
    return counts

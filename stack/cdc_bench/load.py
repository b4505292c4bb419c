"""Owns the load: the producer's three inserts by `pgbench`, as a backlog or in an open loop, and its record of it.

`pgbench` is what PostgreSQL measures itself with: in C, with prepared statements, and with `--rate` an open loop whose
transactions have an intended start. An id says who wrote it and where it stands: `<run>-<client>-<number>-<event>`.
Facts: PostgreSQL manual, pgbench, `--rate` and "Per-Transaction Logging".
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stack.cdc_bench.plan import Shape
from stack.errors import StackError
from stack.postgres import BINARIES

BACKLOG: Final = "backlog"
"""The run that backlogs are of."""

_BACKLOG_CLIENTS = 4
_PACED_CLIENTS = 16
_SECONDS = 900

# What a record has beside the filling: nine fields and a header document.
_RECORD_BYTES = 262

_SCRIPT = """
\\set n :n + 1
WITH one AS (
    SELECT :run::text || '-' || :client_id::text || '-' || :n::text || '-' || event AS id
    FROM generate_series(1, :events::int) AS event
), header AS MATERIALIZED (
    SELECT id, jsonb_build_object('uuid', id, 'eventName', 'Car Created', 'text', repeat('x', :filling::int)) AS header
    FROM one
), business_event AS (
    INSERT INTO business_events (id, event_name, event_type, created_date, saved_date, event_data)
    SELECT id, 'Car Created', 'CarCreated', now(), now(), jsonb_build_object('eventHeader', header) FROM header
), event_header AS (
    INSERT INTO event_headers (id, event_name, event_type, created_date, saved_date, header_data)
    SELECT id, 'Car Created', 'CarCreated', now(), now(), header FROM header
)
INSERT INTO entities (entity_type, entity_id, created_at, updated_at, entity_data, event_id)
SELECT 'Car', id, now(), now(), header, id FROM header;
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Say when one paced transaction was to start, how late it did, and when its commit returned.

    Attributes:
        record: The id of its one event.
        intended: Seconds since the epoch.
        late: Seconds after that.
        committed: Seconds since the epoch.
    """

    record: str
    intended: float
    late: float
    committed: float


class Load:
    """Write events into one database.

    Args:
        url: The database.
        folder: Where script and logs go.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._script = folder / "transaction.sql"
        self._script.write_text(_SCRIPT)

    def backlog(self, shape: Shape) -> None:
        """Commit every transaction of a shape, as fast as it goes and without waiting for the disk.

        Raises:
            StackError: `pgbench` fails.
        """
        clients = min(_BACKLOG_CLIENTS, shape.transactions)
        whole, rest = divmod(shape.transactions, clients)
        for number, (count, each) in enumerate(((clients, whole), (1, rest))):
            if each:
                options = ["-c", str(count), "-t", str(each), *self._variables(f"{BACKLOG}{number}", shape)]
                self._pgbench(options, "-c synchronous_commit=off", _SECONDS)

    def paced(self, run: str, rate: int, seconds: int, shape: Shape) -> list[Start]:
        """Commit one-event transactions at random moments of a rate; return when each was to start and was committed.

        Raises:
            StackError: `pgbench` fails.
        """
        one = Shape(shape.name, rate * seconds, 1, shape.size)
        prefix = self._folder / f"paced-{run}"
        options = ["-c", str(_PACED_CLIENTS), "-T", str(seconds), "--rate", str(rate), "--log"]
        self._pgbench([*options, "--log-prefix", str(prefix), *self._variables(run, one)], "", seconds + _SECONDS)
        starts: list[Start] = []
        for file in self._folder.glob(f"{prefix.name}.*"):
            starts += parse(run, file.read_text().splitlines())
            file.unlink()
        return starts

    def _variables(self, run: str, shape: Shape) -> list[str]:
        given = {"n": 0, "run": run, "events": shape.events, "filling": max(0, shape.size - _RECORD_BYTES)}
        return [part for name, value in given.items() for part in ("-D", f"{name}={value}")]

    def _pgbench(self, options: Sequence[str], settings: str, seconds: float) -> None:
        command = [str(BINARIES / "pgbench"), "-n", "-M", "prepared", "-j", "1", "-f", str(self._script)]
        environment = {**os.environ, "PGOPTIONS": settings}
        done = subprocess.run(
            [*command, *options, self._url],
            env=environment, capture_output=True, text=True, check=False, timeout=seconds, cwd=self._folder,
        )  # fmt: skip
        if done.returncode != 0:
            raise StackError(f"pgbench fails: {done.stderr.strip()[-400:]}", "See `logs/postgres.log`.")


def parse(run: str, lines: Sequence[str]) -> Iterator[Start]:
    """Read `pgbench`'s log of transactions: client, number, microseconds since the intended start, …, end, lag."""
    for line in lines:
        client, number, took, _script, seconds, micros, late = map(int, line.split()[:7])
        committed = seconds + micros / 1e6
        yield Start(f"{run}-{client}-{number}-1", committed - took / 1e6, late / 1e6, committed)

"""Owns who is measured: the Lambda handler in processes of its own, and `pgbench` with the plain transaction.

Both write rows of the same content and size, and have the same server with the same settings. Must never print.
Fact: https://www.postgresql.org/docs/18/pgbench.html.
"""

import json
import re
import resource
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, Protocol

import psycopg
from psycopg.rows import dict_row

from stack.errors import StackError
from stack.line_process import line_process
from stack.postgres import BINARIES

_ID: Final = "'0f8fad5b-d9cd-469f' || :number"
"""36 characters in random order like a UUID: `pgbench` has numbers alone."""

SCRIPT: Final = f"""\\set number random(100000000000000000, 999999999999999999)
BEGIN;
INSERT INTO business_events (id, event_name, event_type, created_date, saved_date, event_data)
    VALUES ({_ID}, :name, :type, :created, :saved, :event);
INSERT INTO event_headers (id, event_name, event_type, created_date, saved_date, header_data)
    VALUES ({_ID}, :name, :type, :created, :saved, :header);
INSERT INTO entities (entity_type, entity_id, created_at, updated_at, entity_data, event_id)
    VALUES (:entity_type, {_ID}, :entity_created, :entity_updated, :entity, {_ID});
COMMIT;
"""  # noqa: S608 - nothing of it comes from outside
"""The plain transaction; its values are variables, so that they travel with every one, as those of an event do."""

_VALUES: Final = {
    "name": "business_events.event_name",
    "type": "business_events.event_type",
    "created": "business_events.created_date::text",
    "saved": "business_events.saved_date::text",
    "event": "event_data::text",
    "header": "header_data::text",
    "entity_type": "entity_type",
    "entity_created": "created_at::text",
    "entity_updated": "updated_at::text",
    "entity": "entity_data::text",
}

_REMEDY: Final = "Run the command again; when it fails again, run it with `LOG_LEVEL=debug`."


@dataclass(frozen=True, slots=True)
class Taken:
    """Say what one run of a contestant did.

    Attributes:
        rate: Committed transactions a second of all clients together, without the time that connecting takes.
        committed: How many transactions were reported as committed, those before the clock started among them.
        refused: How many were reported as anything else.
        client_us: Microseconds of processor time for each transaction, the client's alone.
    """

    rate: float
    committed: int
    refused: int
    client_us: float


class Contestant(Protocol):
    """What can be measured."""

    @property
    def name(self) -> str:
        """Return what it is reported as."""
        ...

    def measure(self, clients: int, seconds: float) -> Taken:
        """Run this many clients for this long."""
        ...


@dataclass(frozen=True, slots=True)
class LambdaHandler:
    """Call the handler in as many processes as there are clients, each with its own connection."""

    name: str
    database_url: str
    folder: Path
    prepare: bool = True

    def measure(self, clients: int, seconds: float) -> Taken:
        """Run warm processes for this long.

        Raises:
            StackError: One of them ended without an answer.
        """
        environment = {"DATABASE_URL": self.database_url, "DB_PREPARE_STATEMENTS": str(self.prepare)}
        with ExitStack() as open_things:
            workers = []
            for number in range(clients):
                seed, log = SystemRandom().randrange(2**62), self.folder / f"bench-producer-{number}.log"
                started = line_process("stack.producer_bench.worker", [str(seed)], log, environment)
                workers.append(open_things.enter_context(started))
            for worker in workers:
                worker.line()
            for worker in workers:
                worker.tell(str(seconds))
            told: list[dict[str, Any]] = [json.loads(worker.line()) for worker in workers]
        spent = sum(each["processor_seconds"] for each in told)
        measured = sum(each["committed"] for each in told)
        return Taken(
            rate=sum(each["committed"] / each["seconds"] for each in told),
            committed=measured + sum(each["warm"] for each in told),
            refused=sum(each["refused"] for each in told),
            client_us=spent * 1e6 / max(1, measured),
        )


@dataclass(frozen=True, slots=True)
class PgBench:
    """Run `pgbench` with one thread for each client.

    Attributes:
        name: As it is reported.
        database_url: Where.
        script: The file of its transaction.
        values: What its variables hold.
        mode: Its `-M`.
    """

    name: str
    database_url: str
    script: Path
    values: Mapping[str, str]
    mode: str

    def measure(self, clients: int, seconds: float) -> Taken:
        """Run it for whole seconds.

        Raises:
            StackError: It fails.
        """
        options = ["-n", "-M", self.mode, "-c", str(clients), "-j", str(clients), "-T", str(max(1, round(seconds)))]
        for name, value in self.values.items():
            # In this mode a variable is replaced in the text of the statement, in the others it is a parameter.
            options += ["-D", f"{name}={_quoted(value) if self.mode == 'simple' else value}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [str(BINARIES / "pgbench"), *options, "-f", str(self.script), self.database_url],
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        processed = re.search(r"transactions actually processed: (\d+)", done.stdout)
        failed = re.search(r"failed transactions: (\d+)", done.stdout)
        if done.returncode != 0 or rate is None or processed is None or failed is None:
            raise StackError(f"pgbench fails: {(done.stderr or done.stdout).strip()[-400:]}", _REMEDY)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        count = int(processed[1])
        return Taken(float(rate[1]), count, int(failed[1]), spent * 1e6 / max(1, count))


def newest_event(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return what an event that the handler has stored holds, by the names that `SCRIPT` has for it.

    Args:
        connection: To its database.

    Raises:
        StackError: There is none.
    """
    columns = ", ".join(f"{text} AS {name}" for name, text in _VALUES.items())
    with connection.cursor(row_factory=dict_row) as cursor:
        joined = "business_events JOIN event_headers USING (id) JOIN entities ON event_id = id"
        row = cursor.execute(f"SELECT {columns} FROM {joined} LIMIT 1").fetchone()  # noqa: S608 - our own names
    if row is None:
        raise StackError("The handler has stored nothing.", _REMEDY)
    return {name: str(value) for name, value in row.items()}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

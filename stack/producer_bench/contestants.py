"""Owns who is measured: the Lambda handler in processes of its own, and `pgbench` with the plain transaction.

Both write rows of the same content and size, and have the same server with the same settings. Must never print.
Fact: https://www.postgresql.org/docs/18/pgbench.html.
"""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, Protocol

import psycopg

from stack.errors import StackError
from stack.postgres import BINARIES

_ID: Final = "'0f8fad5b-d9cd-469f' || :number"
"""36 characters in random order like a UUID: `pgbench` has numbers alone."""

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
        with _workers(self, clients) as workers:
            for worker in workers:
                worker.expect("ready")
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


class _Worker:
    """Hold one process, and speak with it."""

    def __init__(self, contestant: LambdaHandler, number: int) -> None:
        self._log = contestant.folder / f"bench-producer-{number}.log"
        environment = {
            **os.environ,
            "DATABASE_URL": contestant.database_url,
            "DB_PREPARE_STATEMENTS": str(contestant.prepare),
        }
        reads, writes = os.pipe()
        seed = SystemRandom().randrange(2**62)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.producer_bench.worker", str(seed), str(writes)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writes,),
                env=environment,
                text=True,
            )
        os.close(writes)
        self._answers = os.fdopen(reads)

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Return what it says next.

        Raises:
            StackError: It has ended.
        """
        if not (line := self._answers.readline()):
            end = self._log.read_text(errors="replace").strip()[-400:]
            raise StackError(f"The handler does not work: {end}", _REMEDY)
        return line

    def expect(self, word: str) -> None:
        if (line := self.line().strip()) != word:
            raise StackError(f"The handler's process says {line!r} instead of {word}.", _REMEDY)

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._answers.close()
        self.process.wait()


@contextmanager
def _workers(contestant: LambdaHandler, clients: int) -> Iterator[list[_Worker]]:
    with ExitStack() as open_things:
        workers = []
        for number in range(clients):
            worker = _Worker(contestant, number)
            open_things.callback(worker.close)
            workers.append(worker)
        yield workers


@dataclass(frozen=True, slots=True)
class PgBench:
    """Run `pgbench` with one thread for each client.

    Attributes:
        name: As it is reported.
        database_url: Where.
        script: The file of its transaction.
        mode: Its `-M`.
    """

    name: str
    database_url: str
    script: Path
    mode: str

    def measure(self, clients: int, seconds: float) -> Taken:
        """Run it for whole seconds.

        Raises:
            StackError: It fails.
        """
        options = ("-n", "-M", self.mode, "-c", str(clients), "-j", str(clients), "-T", str(max(1, round(seconds))))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [BINARIES / "pgbench", *options, "-f", self.script, self.database_url],
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


def plain_transaction(connection: psycopg.Connection[Any]) -> str:
    """Return a script for `pgbench` that writes rows such as the newest event has, in three inserts.

    Args:
        connection: To a database that holds an event which the handler stored.

    Raises:
        StackError: It holds none.
    """
    row = connection.execute(
        "SELECT event_name, event_type, created_date::text, saved_date::text, event_data::text, header_data::text,"
        " entity_type, created_at::text, updated_at::text, entity_data::text FROM business_events"
        " JOIN event_headers USING (id, event_name, event_type, created_date, saved_date)"
        " JOIN entities ON event_id = id LIMIT 1"
    ).fetchone()
    if row is None:
        raise StackError("The handler has stored nothing.", _REMEDY)
    name, kind, created, saved, event, header, entity_type, created_at, updated_at, entity = map(_quoted, row)
    head = f"{_ID}, {name}, {kind}, {created}, {saved}"
    columns = "id, event_name, event_type, created_date, saved_date"
    return f"""\\set number random(100000000000000000, 999999999999999999)
BEGIN;
INSERT INTO business_events ({columns}, event_data) VALUES ({head}, {event});
INSERT INTO event_headers ({columns}, header_data) VALUES ({head}, {header});
INSERT INTO entities (entity_type, entity_id, created_at, updated_at, entity_data, event_id)
    VALUES ({entity_type}, {_ID}, {created_at}, {updated_at}, {entity}, {_ID});
COMMIT;
"""  # noqa: S608 - written for pgbench, of our own sample's text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Owns the fault run: kill what carries the changes, again and again under load, then count what reached Kafka.

The database is the judge: every change raises a counter in its row, so a key whose counter ends at 7 must have left the
records 1 to 7 in the raw topic, each once and in this order, whatever a client was told about its last commit.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

import psycopg
from confluent_kafka import Consumer, TopicPartition

from stack import kafka, postgres
from stack.errors import StackError
from stack.local import LocalStack
from stack.routes import RAW_TOPIC
from stack.settings import DATABASE, StackSettings
from stack.sightings import end_offsets

_KEYS = 400
_CHANGES_PER_TRANSACTION = 5
_LARGE_TRANSACTIONS = 1 / 400
_RECOVERY_SECONDS = 90

_CHANGE = """
WITH key AS (INSERT INTO business_events (id, event_name, event_data) VALUES (%(id)s, 'Fault Run', '{}')
             ON CONFLICT (id) DO NOTHING)
INSERT INTO event_headers (id, event_name, header_data) VALUES (%(id)s, 'Fault Run', '{"n": 1}')
ON CONFLICT (id) DO UPDATE
SET header_data = jsonb_build_object('n', (event_headers.header_data ->> 'n')::int + 1)
"""

_CHANGE_ALL = """
WITH keys AS (SELECT 'fault-' || key AS id FROM generate_series(0, %(keys)s - 1) key),
     made AS (INSERT INTO business_events (id, event_name, event_data) SELECT id, 'Fault Run', '{}' FROM keys
              ON CONFLICT (id) DO NOTHING)
INSERT INTO event_headers (id, event_name, header_data) SELECT id, 'Fault Run', '{"n": 1}' FROM keys
ON CONFLICT (id) DO UPDATE
SET header_data = jsonb_build_object('n', (event_headers.header_data ->> 'n')::int + 1)
"""


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Say what a fault run found: `events` are changes the database holds, the counts compare the topic with it."""

    rounds: int
    events: int
    lost: int
    duplicates: int
    reordered: int
    rounds_by_fault: dict[str, int]
    seed: int

    @property
    def ok(self) -> bool:
        """Tell whether every change is in the topic once and in order."""
        return self.events > 0 and not (self.lost or self.duplicates or self.reordered)

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        return asdict(self)


class Load:
    """Change rows at a steady rate in a thread of its own, through every absence of the database."""

    def __init__(self, settings: StackSettings, rate: float, seed: int) -> None:
        self._url = settings.database_url
        self._pause = _CHANGES_PER_TRANSACTION / rate
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop changing rows."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._url, connect_timeout=2) as connection:
                self._change(connection)
            self._stop.wait(0.1)

    def _change(self, connection: psycopg.Connection) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            if self._random.random() < _LARGE_TRANSACTIONS:
                self._change_all(connection)
            # Sorted, so that no two transactions wait for each other's rows.
            keys = sorted(self._random.sample(range(_KEYS), self._random.randint(1, 2 * _CHANGES_PER_TRANSACTION - 1)))
            with connection.transaction():
                for key in keys:
                    connection.execute(_CHANGE, {"id": f"fault-{key}"})
            due += self._pause
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _change_all(self, connection: psycopg.Connection) -> None:
        """Change every row twice in one transaction, which the server streams, and once behind a savepoint, in vain."""
        with connection.transaction():
            connection.execute(_CHANGE_ALL, {"keys": _KEYS})
            with connection.transaction():
                connection.execute(_CHANGE_ALL, {"keys": _KEYS})
                raise psycopg.Rollback
            connection.execute(_CHANGE_ALL, {"keys": _KEYS})


class FaultRun:
    """Break one part a round.

    Args:
        stack: A stack of its own, opened and with no service running.
        seed: Decides which part breaks when.
    """

    def __init__(self, stack: LocalStack, seed: int) -> None:
        self._stack = stack
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self._seed = seed
        self._pacer = threading.Event()
        self._faults: dict[str, Callable[[], None]] = {
            "engine": lambda: self._kill("cdc"),
            "broker": lambda: self._kill("kafka"),
            "postgres": lambda: self._kill("postgres"),
            "walsender": self._end_walsender,
            "frozen engine": lambda: self._freeze("cdc"),
            "frozen broker": lambda: self._freeze("kafka"),
        }

    def run(self, rounds: int, rate: float, report: Callable[[int, str], None]) -> FaultReport:
        """Run the rounds and compare the topic with the database.

        Raises:
            StackError: A part does not come back.
        """
        self._start()
        counts: Counter[str] = Counter()
        load = Load(self._stack.settings, rate, self._seed)
        try:
            for number in range(rounds):
                self._pacer.wait(self._random.uniform(0.3, 1.5))
                name = self._random.choice(list(self._faults))
                report(number + 1, name)
                self._faults[name]()
                counts[name] += 1
                self._wait_until_moving()
        finally:
            load.close()
        return self._judge(rounds, dict(counts))

    def _start(self) -> None:
        stack = self._stack
        stack.start("postgres", "kafka")
        postgres.create_tables(stack.settings)
        kafka.create_topics(stack.settings)
        with psycopg.connect(stack.settings.database_url, autocommit=True) as connection:
            # So that the server streams what changes some hundred rows, before it commits.
            connection.execute(f"ALTER DATABASE {DATABASE} SET logical_decoding_work_mem = '64kB'")
        stack.start("cdc")

    def _pid(self, name: str) -> int:
        return self._stack.processes()[name].pid

    def _kill(self, name: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid(name), signal.SIGKILL)

    def _freeze(self, name: str) -> None:
        pid = self._pid(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._pacer.wait(self._random.uniform(0.5, 3))
            os.kill(pid, signal.SIGCONT)

    def _end_walsender(self) -> None:
        with suppress(psycopg.Error), psycopg.connect(self._stack.settings.database_url) as connection:
            connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")

    def _wait_until_moving(self) -> None:
        """Wait until the slot has confirmed what was written when the question was asked."""
        target: str | None = None

        def moving() -> bool:
            nonlocal target
            with psycopg.connect(self._stack.settings.database_url, connect_timeout=2) as connection:
                if target is None:
                    row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
                    target = row[0] if row else None
                found = connection.execute(
                    "SELECT bool_or(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots WHERE database = %s",
                    (target, DATABASE),
                ).fetchone()
                return bool(found and found[0])

        self._wait(moving, "the slot does not move on")

    def _wait(self, question: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + _RECOVERY_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.Error):
                if question():
                    return
            self._pacer.wait(0.1)
        raise StackError(f"After {_RECOVERY_SECONDS} s {problem}.", f"See the logs in {self._stack.state.logs}.")

    def _judge(self, rounds: int, counts: dict[str, int]) -> FaultReport:
        self._wait_until_moving()
        with psycopg.connect(self._stack.settings.database_url) as connection:
            rows = connection.execute("SELECT id, (header_data ->> 'n')::int FROM event_headers").fetchall()
        held = self._records()
        lost = sum(len(set(range(1, last + 1)) - set(held[key])) for key, last in rows)
        unique = {key: list(dict.fromkeys(numbers)) for key, numbers in held.items()}
        return FaultReport(
            rounds=rounds,
            events=sum(last for _key, last in rows),
            lost=lost,
            duplicates=sum(len(numbers) - len(unique[key]) for key, numbers in held.items()),
            reordered=sum(numbers != sorted(numbers) for numbers in unique.values()),
            rounds_by_fault=counts,
            seed=self._seed,
        )

    def _records(self) -> dict[str, list[int]]:
        """Return the counters of each key in the order of the topic."""
        bootstrap = self._stack.settings.kafka_bootstrap
        ends = {end.partition: end.offset for end in end_offsets(bootstrap, [RAW_TOPIC]) if end.offset > 0}
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "fault-run", "enable.auto.commit": False})
        reader.assign([TopicPartition(RAW_TOPIC, partition, 0) for partition in ends])
        held: dict[str, list[int]] = defaultdict(list)
        try:
            while ends:
                message = reader.poll(30)
                if message is None or message.error() is not None:
                    raise StackError("The raw topic cannot be read to its end.", "See `logs/kafka.log`.")
                if (value := message.value()) is not None:
                    record = json.loads(value)
                    held[record["id"]].append(json.loads(record["header_data"])["n"])
                partition = message.partition() or 0
                if (message.offset() or 0) + 1 >= ends[partition]:
                    del ends[partition]
        finally:
            reader.close()
        return held

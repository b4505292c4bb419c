"""Owns the run: the same statements under both engines, each of which writes topics of its own. Judges nothing."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from cdc.debezium.client import Connect
from cdc.positions import partition_of
from tests.integration.cdc.conformance.engines import BARRIER, Lane, Reading, Sent, connector, environment
from tests.integration.cdc.conformance.shapes import OTHER_CONNECTION
from tests.integration.cdc.engines import EngineProcess, engines
from tests.integration.cdc.server import Database
from tests.integration.cdc.topics import PARTITIONS, fresh_topics
from tests.waiting import eventually

_BARRIER_SECONDS = 120
_LOOKS_BETWEEN_CHECKS = 25


def _barrier_ids() -> tuple[str, ...]:
    """Return a key for every partition, so that a row of each is behind everything before it."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(
            partition_of(json.dumps({"id": str(number)}, separators=(",", ":")).encode(), PARTITIONS), str(number)
        )
        number += 1
    return tuple(found.values())


_BARRIER_IDS = _barrier_ids()


@dataclass(frozen=True)
class Recording:
    """What both engines wrote of each lane."""

    lanes: tuple[Lane, ...]
    ours: Mapping[str, Sequence[Sent]]
    theirs: Mapping[str, Sequence[Sent]]
    types: Mapping[tuple[str, str], str]
    """The type of each table's columns; of one that was changed, the first."""
    stopped: Mapping[str, str]
    """Why Debezium's task has failed, by table."""
    seconds: float


class Run:
    """Both engines on the lanes of one database.

    Args:
        database: A database of its own.
        lanes: What is compared.
        making: What the shapes need: types.
    """

    def __init__(self, database: Database, lanes: Sequence[Lane], making: Sequence[str]) -> None:
        self._database = database
        self._lanes = tuple(lanes)
        self._making = making
        self._shapes = tuple(dict.fromkeys(each for lane in lanes for each in lane.shapes))
        self._alone = tuple(Lane(f"stops_{each.name}", [each]) for lane in lanes for each in lane.shapes if lane.stops)
        self._other = psycopg.connect(database.url, autocommit=True)
        self._workers: dict[str, Connect] = {}
        self._failing: dict[str, Connect] = {}
        self._starts: dict[str, Callable[[], EngineProcess]] = {}
        self._processes: dict[str, EngineProcess] = {}
        self._ours: dict[str, Reading] = {}
        self._theirs: dict[str, Reading] = {}
        self._types: dict[tuple[str, str], str] = {}
        self._barrier = 0

    def record(self, bootstrap: str, connect_url: str) -> Recording:
        """Make the tables, start both engines, let everything happen, and return what they wrote."""
        began = time.monotonic()
        with ExitStack() as held:
            held.enter_context(self._other)
            self._make()
            make_topic = held.enter_context(fresh_topics(bootstrap))
            for lane in (*self._alone, *(each for each in self._lanes if not each.stops)):
                theirs = make_topic()
                worker = held.enter_context(connector(self._database, theirs, connect_url, lane))
                if lane in self._alone:
                    self._failing[lane.tables[-1].name] = worker
                else:
                    self._workers[lane.name] = worker
                    self._theirs[lane.name] = held.enter_context(closing(Reading(theirs)))
            for lane in self._lanes:
                ours = make_topic()
                start = held.enter_context(engines(self._database, ours))
                self._starts[lane.name] = partial(start, **environment(lane, self._database))
                self._processes[lane.name] = self._starts[lane.name]()
                self._ours[lane.name] = held.enter_context(closing(Reading(ours)))
            self._wait_until_streaming()
            self._stream()
            self._read_types()
            return Recording(
                self._lanes,
                {name: each.records for name, each in self._ours.items()},
                {name: each.records for name, each in self._theirs.items()},
                self._types,
                {table: _failure(worker) for table, worker in self._failing.items()},
                time.monotonic() - began,
            )

    def _make(self) -> None:
        self._execute(self._making)
        self._database.run(f"CREATE TABLE {BARRIER} (id text PRIMARY KEY, number int)")
        for each in self._shapes:
            self._execute((*each.made, *each.there))
        for lane in (*self._lanes, *self._alone):
            lane.publish(self._database)
        self._read_types()

    def _read_types(self) -> None:
        rows = self._database.run(
            "SELECT c.relname, a.attname, t.typname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_type t ON t.oid = a.atttypid WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND c.oid >= 16384"
        )
        for table, column, kind in rows:
            self._types.setdefault((table, column), re.sub(r"^_(.*)", r"\1[]", kind))

    def _wait_until_streaming(self) -> None:
        for process in self._processes.values():
            process.wait_for("streaming", 60)
        statement = (
            "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL AND slot_name = ANY (%s)"
        )
        slots = [f"{self._database.name}_{lane}" for lane in self._workers]

        def made() -> bool:
            self._check()
            return bool(self._database.run(statement, slots)[0][0] == len(slots))

        # What is written from here on is no row of a snapshot, and is sent when the snapshot is complete.
        eventually(made, "Debezium has its slots", _BARRIER_SECONDS)
        self._wait()

    def _check(self) -> None:
        """Fail at once when an engine has ended that should not have."""
        for process in self._processes.values():
            assert process.process.poll() is None, process.log
        for worker in self._workers.values():
            state = worker.state()
            assert state is None or not state.failed, state.trace

    def _execute(self, statements: Sequence[str]) -> None:
        """Run statements, each as a transaction of its own, on the connection that it names."""
        for statement in statements:
            if statement.startswith(OTHER_CONNECTION):
                self._other.execute(statement.removeprefix(OTHER_CONNECTION).encode())
            else:
                self._database.run(statement)

    def _stream(self) -> None:
        """Let everything happen that the shapes tell."""
        for each in self._shapes:
            if not (each.paced or each.unseen):
                self._execute(each.steps)
        paced = [each for each in self._shapes if each.paced]
        for number in range(max(len(each.steps) for each in paced)):
            self._wait()
            for each in paced:
                self._execute(each.steps[number : number + 1])
        self._wait()
        self._stop()
        for each in self._shapes:
            if each.unseen:
                self._execute(each.steps)
        self._go_on()
        self._wait()

    def _stop(self) -> None:
        """Stop both engines in order."""
        for worker in self._workers.values():
            worker.stop()
        for name, process in self._processes.items():
            assert process.stop() == 0, name
        for worker in self._workers.values():
            worker.wait_until_stopped()

    def _go_on(self) -> None:
        """Start both engines again."""
        for worker in self._workers.values():
            worker.resume()
        for name, start in self._starts.items():
            self._processes[name] = start()

    def _wait(self) -> None:
        """Wait until both engines have sent everything so far."""
        self._barrier += 1
        for number in _BARRIER_IDS:
            statement = "INSERT INTO barrier VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET number = excluded.number"
            self._database.run(statement, number, self._barrier)
        readings = [*self._ours.values(), *self._theirs.values()]
        looks = 0

        def everywhere() -> bool:
            nonlocal looks
            looks += 1
            if looks % _LOOKS_BETWEEN_CHECKS == 0:
                self._check()
            # Each of them is to be read, whatever the others say.
            passed = [each.passed(self._barrier) for each in readings]
            return all(passed)

        eventually(everywhere, f"both engines are at barrier {self._barrier}", _BARRIER_SECONDS)


def _failure(worker: Connect) -> str:
    """Return the cause of the task's failure, once it has failed."""
    state: Any = eventually(lambda: (found := worker.state()) and found.failed and found, "Debezium's task fails", 60)
    return str(state.trace).split("Caused by: ")[-1].splitlines()[0]

"""Owns the run: the same statements under both engines, each of which writes a topic of its own. Judges nothing."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from cdc.debezium.client import Connect
from cdc.debezium.connector import document
from cdc.debezium.settings import ConnectSettings
from cdc.emission import FormatName
from cdc.positions import partition_of
from cdc.settings import Settings
from cdc.tables import TableName
from tests.integration.cdc.conformance.shapes import OTHER_CONNECTION, Shape, quoted
from tests.integration.cdc.conftest import PARTITIONS, Database, EngineProcess, Topic, engines, eventually, fresh_topics

BARRIER = "barrier"
_BARRIER_SECONDS = 60
_LOOKS_BETWEEN_CHECKS = 25


@dataclass(frozen=True)
class Sent:
    """A record as a topic holds it."""

    partition: int
    offset: int
    key: bytes | None
    value: dict[str, Any] | None
    headers: dict[str, bytes]


class Reading:
    """Everything that a topic holds, read as it comes."""

    def __init__(self, topic: Topic) -> None:
        self._consumer = Consumer({
            "bootstrap.servers": topic.bootstrap,
            "group.id": uuid4().hex,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        self._consumer.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
        self.records: list[Sent] = []
        self._passed: set[tuple[int, int]] = set()

    def passed(self, barrier: int) -> bool:
        """Read on; say whether every partition has come to this barrier."""
        for message in self._consumer.consume(500, 0.02):
            assert message.error() is None, message.error()
            value, key = message.value(), message.key()
            headers = {name: bytes(content or b"") for name, content in message.headers() or ()}
            fields = None if value is None else json.loads(value)
            sent = Sent(message.partition() or 0, message.offset() or 0, key, fields, headers)
            if fields is not None and _table_of(fields) == BARRIER:
                row = fields.get("after") or fields
                self._passed.add((row["number"], sent.partition))
            else:
                self.records.append(sent)
        return all((barrier, partition) in self._passed for partition in range(PARTITIONS))

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def _table_of(fields: dict[str, Any]) -> str:
    return str(fields["source"]["table"] if "source" in fields else fields["__table"])


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
class Lane:
    """Tables under the same settings of both engines: one slot, one topic and one process for each."""

    name: str
    shapes: Sequence[Shape]
    by_root: bool = True
    form: FormatName = FormatName.JSON
    stops: bool = False
    """Debezium's task fails at each of the shapes, so that each gets a connector of its own."""

    @property
    def publication(self) -> str:
        """The publication that both engines read."""
        return f"conformance_{self.name}"

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The captured tables."""
        named = [table for each in self.shapes for table in each.tables]
        return (TableName("public", BARRIER), *(TableName(*each) for each in named))

    def publish(self, database: Database) -> None:
        """Create the publication."""
        named = ", ".join([BARRIER, *(table for each in self.shapes for table in each.published)])
        database.run(
            f"CREATE PUBLICATION {self.publication} FOR TABLE {named}"
            f" WITH (publish_via_partition_root = {str(self.by_root).lower()})"
        )


@contextmanager
def connector(database: Database, topic: Topic, connect_url: str, lane: Lane) -> Iterator[Connect]:
    """Run a connector as `headwater cdc deploy` would, but for headers that tell a record's transaction."""
    name = f"{database.name}_{lane.name}"
    settings = Settings(
        database_url=SecretStr(database.url),
        kafka_bootstrap_servers=topic.bootstrap,
        slot_name=name,
        publication_name=lane.publication,
        cdc_tables=lane.tables,
        cdc_topic=topic.name,
        cdc_topic_prefix=name,
    )
    made = document(settings, snapshot="initial", autocreate="disabled")
    made["transforms.unwrap.add.headers"] = "source.txId,source.lsn"
    if lane.form is FormatName.DEBEZIUM:
        made = {name: value for name, value in made.items() if not name.startswith("transforms.unwrap.")}
        made["transforms"] = "route"
        made["skipped.operations"] = "none"
    where = ConnectSettings(
        connect_url=connect_url, connect_connector=name, connect_tries=400, connect_pause_seconds=0.1
    )
    with Connect(where) as worker:
        worker.wait_until_up()
        worker.put(made)
        try:
            yield worker
        finally:
            worker.stop()
            worker.wait_until_stopped()
            worker.forget()


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
        self._processes: list[EngineProcess] = []
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
                self._processes.append(start(**_environment(lane, self._database)))
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
        for process in self._processes:
            process.wait_for("streaming", 60)
        statement = (
            "SELECT count(*) FROM pg_replication_slots"
            " WHERE active AND NOT temporary AND database = current_database() AND slot_name = ANY (%s)"
        )
        slots = [f"{self._database.name}_{lane}" for lane in self._workers]

        def stream() -> bool:
            self._check()
            return bool(self._database.run(statement, slots)[0][0] == len(slots))

        eventually(stream, "Debezium streams", 120)

    def _check(self) -> None:
        """Fail at once when an engine has ended that should not have."""
        for process in self._processes:
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
            if not each.paced:
                self._execute(each.steps)
        paced = [each for each in self._shapes if each.paced]
        for number in range(max(len(each.steps) for each in paced)):
            self._wait()
            for each in paced:
                self._execute(each.steps[number : number + 1])
        self._wait()

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


def _environment(lane: Lane, database: Database) -> dict[str, str]:
    return {
        "SLOT_NAME": f"{database.name}_{lane.name}_ours",
        "PUBLICATION_NAME": lane.publication,
        "CDC_TABLES": ", ".join(f"{quoted(each.schema)}.{quoted(each.name)}" for each in lane.tables),
        "CDC_FORMAT": lane.form.value,
        "CDC_TRUNCATE": "skip" if lane.form is FormatName.JSON else "emit",
        "CDC_TOPIC_PREFIX": f"{database.name}_{lane.name}",
    }


def _failure(worker: Connect) -> str:
    """Return the cause of the task's failure, once it has failed."""
    state: Any = eventually(lambda: (found := worker.state()) and found.failed and found, "Debezium's task fails", 60)
    return str(state.trace).split("Caused by: ")[-1].splitlines()[0]

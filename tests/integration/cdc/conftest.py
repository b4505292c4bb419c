"""What the integration tests of the engine share: servers to restart, topics of their own, engine processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import conninfo, sql

import schemas
from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.pgoutput.messages import Begin, Commit, Keepalive
from cdc.records import TopicName
from cdc.settings import parse_tables
from cdc.stream import ReplicationConnection
from cdc.tables import Route
from stack import postgres as embedded
from stack.ports import free_ports
from tests.waiting import eventually

PARTITIONS = 6
VERSIONS: Mapping[str, Path] = {"18": embedded.BINARIES, "15": Path("/usr/lib/postgresql/15/bin")}


class Server:
    """A PostgreSQL server of the tests' own: it may be stopped, killed and frozen."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._binaries = binaries
        self._port = port
        self._user = embedded.account()
        self._folder = Path(tempfile.mkdtemp(prefix="cdc-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self._folder, self._user, self._user)
        self._run(
            "initdb", "-D", self._folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._binaries / program, *arguments]
        subprocess.run(command, user=self._user, cwd="/", check=True, capture_output=True)

    def dsn(self, database: str) -> str:
        """Return the URI of a database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers."""
        given = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "wal_level": "logical",
            "max_replication_slots": "20",
            "max_wal_senders": "20",
            "max_prepared_transactions": "10",
            "fsync": "off",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        command = [self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self._port), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, cwd="/", stdout=log, stderr=log)
        eventually(self._answers, "PostgreSQL answers")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT fast, SIGQUIT as by a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop and delete the data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass
class Database:
    """A database with the shipped schema, and one connection to write with."""

    url: str
    connection: psycopg.Connection[Any]

    @property
    def name(self) -> str:
        """The database's name."""
        return str(conninfo.conninfo_to_dict(self.url)["dbname"])

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows, if it has any."""
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def insert(self, *ids: str, data: str = "{}", connection: psycopg.Connection[Any] | None = None) -> None:
        """Insert events with their headers, in one transaction."""
        connection = connection or self.connection
        with connection.transaction(), connection.cursor() as cursor:
            for table, column in (("business_events", "event_data"), ("event_headers", "header_data")):
                cursor.executemany(
                    sql.SQL(
                        "INSERT INTO {} (id, event_name, event_type, created_date, saved_date, {})"
                        " VALUES (%s, 'Car Created', 'CarCreated', now(), now(), %s)"
                    ).format(sql.Identifier(table), sql.Identifier(column)),
                    [(each, data) for each in ids],
                )

    def confirmed(self, slot: str) -> int:
        """Return the LSN that a slot has confirmed."""
        statement = "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
        return int(self.run(statement, slot)[0][0])

    def wal_end(self) -> int:
        """Return the end of the write-ahead log."""
        return int(self.run("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])


@dataclass(frozen=True)
class Stored:
    """A record as a topic holds it."""

    partition: int
    key: str
    fields: dict[str, Any] | None
    headers: dict[str, bytes]
    value: bytes | None
    raw_key: bytes = b""

    @property
    def operation(self) -> str:
        """`c`, `u`, `d`, `r`, or `tombstone`."""
        return "tombstone" if self.fields is None else str(self.fields["__op"])


@dataclass(frozen=True)
class Topic:
    """A topic of the test's own."""

    name: str
    bootstrap: str
    partitions: int = PARTITIONS

    def records(self) -> list[Stored]:
        """Return everything the topic holds now, each partition in order."""
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap,
            "group.id": uuid4().hex,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        places = [TopicPartition(self.name, number, 0) for number in range(self.partitions)]
        consumer.assign(places)
        found, left = [], set(range(self.partitions))
        while left:
            message = consumer.poll(10)
            assert message is not None, "the broker does not answer"
            if message.error() is not None:
                left.discard(message.partition())
                continue
            value = message.value()
            headers = {name: bytes(content) for name, content in message.headers() or ()}
            key = json.loads(message.key()).get("id", message.key().decode())
            fields = None if value is None else json.loads(value)
            found.append(Stored(message.partition(), key, fields, headers, value, message.key()))
        consumer.close()
        return found

    def of(self, key: str) -> list[Stored]:
        """Return the records of one key, in order."""
        return [record for record in self.records() if record.key == key]


@dataclass
class EngineProcess:
    """A `python -m cdc`, with its log."""

    process: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "not_json", "text": line})

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's events of a name."""
        return [line for line in list(self.log) if line["event"] == name]

    def wait_for(self, name: str, seconds: float = 30, count: int = 1) -> dict[str, Any]:
        """Wait until the log has an event so many times."""

        def there() -> bool:
            return len(self.events(name)) >= count or self.process.poll() is not None

        try:
            eventually(there, f"the log says {name}", seconds)
        finally:
            assert len(self.events(name)) >= count, self.log
        return self.events(name)[count - 1]

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        return self.exit_code()

    def exit_code(self, seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


Launch = Callable[..., EngineProcess]


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """The bounded wait."""
    return eventually


@pytest.fixture(scope="session", params=list(VERSIONS))
def server(request: pytest.FixtureRequest, stack_settings: Any) -> Iterator[Server]:
    """A server of each PostgreSQL version of this machine."""
    binaries = VERSIONS[request.param]
    if not (binaries / "postgres").exists():
        pytest.skip(f"PostgreSQL {request.param} is not in {binaries}")
    (port,) = free_ports(1)
    made = Server(binaries, port)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def encoding() -> str:
    """The encoding of the test's database; a module of tests may give another."""
    return "UTF8"


@contextmanager
def fresh_database(server: Server, encoding: str = "UTF8") -> Iterator[Database]:
    """Make a database with the shipped tables and publication, for a while; its slots go with it."""
    name = f"cdc_{uuid4().hex[:12]}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        how = " ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" if encoding != "UTF8" else ""
        admin.execute(sql.SQL(f"CREATE DATABASE {{}}{how}").format(sql.Identifier(name), sql.Literal(encoding)))
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
        yield Database(server.dsn(name), connection)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        statement = "SELECT slot_name FROM pg_replication_slots WHERE database = %s AND NOT temporary"

        def dropped() -> bool:
            try:
                for (slot,) in admin.execute(statement, (name,)).fetchall():
                    admin.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
            except psycopg.errors.ObjectInUse:
                return False
            return True

        eventually(dropped, "the slots are free")
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def database_of() -> Callable[..., AbstractContextManager[Database]]:
    """A maker of databases for tests that share one."""
    return fresh_database


@pytest.fixture
def database(server: Server, encoding: str) -> Iterator[Database]:
    """A fresh database with the shipped tables and publication; its slots go with it."""
    with fresh_database(server, encoding) as made:
        yield made


@contextmanager
def fresh_topics(bootstrap: str) -> Iterator[Callable[..., Topic]]:
    """Give a maker of topics, deleted afterwards."""
    admin, names = AdminClient({"bootstrap.servers": bootstrap}), []

    def make(partitions: int = PARTITIONS, **config: str) -> Topic:
        name = f"cdc-{uuid4().hex[:12]}"
        given = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=given)])[name].result(30)
        names.append(name)
        return Topic(name, bootstrap, partitions)

    yield make
    if names:
        for done in admin.delete_topics(names).values():
            done.result(30)


@pytest.fixture
def new_topic(kafka_bootstrap: str) -> Iterator[Callable[..., Topic]]:
    """A maker of topics, deleted after the test."""
    with fresh_topics(kafka_bootstrap) as make:
        yield make


@pytest.fixture
def topic(new_topic: Callable[..., Topic]) -> Topic:
    """One topic of six partitions."""
    return new_topic()


@contextmanager
def engines(database: Database, topic: Topic) -> Iterator[Launch]:
    """Give a starter of engines on a database and a topic; what still runs at the end is killed."""
    started: list[EngineProcess] = []

    def start(**environment: str) -> EngineProcess:
        given = {
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap,
            "CDC_TOPIC": topic.name,
            "SLOT_NAME": f"s_{database.name[-12:]}",
            "CDC_CONFIRM_SECONDS": "0.05",
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "cdc"],
            env={**os.environ, **given},
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
        )
        started.append(EngineProcess(process))
        return started[-1]

    try:
        yield start
    finally:
        for engine in started:
            if engine.process.poll() is None:
                engine.kill()
            if engine.process.stderr is not None and not engine.process.stderr.closed:
                engine.exit_code()


@pytest.fixture
def launch(database: Database, topic: Topic) -> Iterator[Launch]:
    """A starter of engines on the test's database and topic."""
    with engines(database, topic) as start:
        yield start


@dataclass
class Change:
    """A record as the engine's core makes it: everything of it but the time at which it was read."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[Any]


class Listener:
    """One slot read by the engine's stream, assembly and capture, without Kafka."""

    def __init__(
        self,
        database: Database,
        slot: str,
        tables: str,
        *,
        streaming: bool = True,
        memory: int = 65536,
        options: str = "",
    ):
        # The server streams, or spools on its own disk, what is beyond 64 kB.
        joint = "&" if "?" in database.url else "?"
        self._connection = ReplicationConnection(
            f"{database.url}{joint}options=-c%20logical_decoding_work_mem%3D64kB{options}"
        )
        self._database = database
        self.seen: Counter[str] = Counter()
        self.frames: list[bytes] = []
        stream = self._connection.start(slot, "p", deadline=30, streaming=streaming)
        read = stream._frames.read

        def counting(data: bytes) -> Any:
            self.frames.append(bytes(data))
            event = read(data)
            self.seen[type(event).__name__] += 1
            return event

        stream._frames.read = counting  # type: ignore[method-assign]
        self.stream = Assembly(stream, memory=memory)
        routes = {table: Route(TopicName(table.name), ("id",)) for table in parse_tables(tables)}
        self._capture = Capture(routes, b"7/db", clock=lambda: 0.0)
        self.changes: list[Change] = []

    def take(self, until: int | None = None) -> list[Change]:
        """Read up to an LSN, by default the present end of the log; return all changes so far."""
        end = self._database.wal_end() if until is None else until
        # Only what is flushed is sent.
        self._database.run("SET synchronous_commit = on; SELECT txid_current()")

        def there() -> bool:
            reached = False
            for event in self.stream.read(0.02):
                if isinstance(event, Begin):
                    self._capture.begin(event)
                elif isinstance(event, Commit):
                    reached |= event.end_lsn >= end
                elif isinstance(event, Keepalive):
                    reached |= event.wal_end >= end
                else:
                    records = self._capture.records(event)
                    self.changes += [Change(each.topic, each.key, each.value, each.headers) for each in records]
            return reached

        eventually(there, "the stream is at the end of the log")
        return self.changes

    def close(self) -> None:
        """End the connection."""
        self._connection.__exit__(None, None, None)


@pytest.fixture
def listen(database: Database) -> Iterator[Callable[..., Listener]]:
    """A maker of listeners on the test's database; publication `p` must exist."""
    made: list[Listener] = []

    def make(slot: str, tables: str, **options: Any) -> Listener:
        if not database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot):
            database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
        made.append(Listener(database, slot, tables, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def slot(database: Database) -> str:
    """The name of the slot that launched engines use."""
    return f"s_{database.name[-12:]}"

"""PostgreSQL servers of the tests' own, and databases on them."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import conninfo, sql

import schemas
from stack import postgres as embedded
from tests.waiting import eventually

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

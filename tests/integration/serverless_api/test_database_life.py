"""How the API's database is reached: once, again after a loss, and while it wakes."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from database import Deadline
from functions.serverless_api.application import create_application
from functions.serverless_api.init_db import InitialisationError, initialise
from tests.waiting import eventually

GOLF = {"vin": "WVWZZZ1JZXW000001", "make": "Volkswagen", "model": "Golf", "year": 1999}


def _value(database: Any, statement: str) -> Any:
    with database.session() as session:
        return session.scalar(text(statement))


class Door:
    """A port that refuses until it is opened, and from then on leads to the server."""

    def __init__(self, url: str) -> None:
        parts = conninfo_to_dict(url)
        self._target = (str(parts["host"]), int(str(parts["port"])))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._ends: list[socket.socket] = [self._socket]

    def open(self) -> None:
        """Let connections through, from now on."""
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Close it, and what goes through it."""
        for each in self._ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    """A closed door before the server."""
    with ExitStack() as after:
        made = Door(database_url)
        after.callback(made.close)
        yield made


@contextmanager
def opened_after(door: Door, seconds: float) -> Iterator[None]:
    """Open the door after so many seconds."""
    timer = threading.Timer(seconds, door.open)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that the server asks for its password, `first`; the embedded server trusts all others."""
    name = f"rotated_{uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'first'").format(sql.Identifier(name)))
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        file = Path(row[0])
        before = file.read_text()
        file.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        eventually(lambda: not _connects(database_url, name, "wrong"), "the server asks for the password")
        yield name
        file.write_text(before)
        admin.execute("SELECT pg_reload_conf()")
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _connects(url: str, user: str, password: str) -> bool:
    try:
        psycopg.connect(make_conninfo(url, user=user, password=password)).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_request_waits_for_a_database_that_wakes(make_database: Any, door: Door) -> None:
    """Nothing listens for two seconds; the first request waits and succeeds (LC-154)."""
    database = make_database(DB_PORT=door.port)
    client = create_application(database).test_client()
    with opened_after(door, 2.0):
        began = time.monotonic()
        assert initialise(database)["created"] == ["vehicles"]
        waited = time.monotonic() - began
    assert 1.9 < waited < 30
    assert client.post("/api/vehicles", json=GOLF).status_code == 201


def test_a_database_that_sleeps_on_is_a_503_before_the_lambda_ends(make_database: Any, door: Door) -> None:
    """Tries end at the deadline, and the caller is told when to come again (LC-154)."""
    database = make_database(DB_PORT=door.port)
    client = create_application(database).test_client()
    began = time.monotonic()
    with database.until(Deadline.after(1.5)):
        answer = client.get("/api/vehicles")
    assert time.monotonic() - began < 10
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    assert answer.json == {"error": "Database unavailable", "reason": "connection"}


def test_one_connection_is_kept_and_replaced_when_it_is_lost(database: Any, database_url: str) -> None:
    """The same backend serves each use, until the server ends it; nobody sees that (LC-152, LC-158)."""
    pids = {_value(database, "SELECT pg_backend_pid()") for _ in range(3)}
    assert len(pids) == 1
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pids.pop(),))
    assert _value(database, "SELECT 1") == 1


def test_without_a_pool_each_use_has_a_connection_of_its_own(make_database: Any) -> None:
    """`DB_POOL_SIZE=0`: opened for use and closed (LC-152)."""
    database = make_database(DB_POOL_SIZE=0)
    assert len({_value(database, "SELECT pg_backend_pid()") for _ in range(3)}) == 3


def test_statements_are_ended_after_their_time(make_database: Any) -> None:
    """By the server; 60 s where nothing else is set (LC-153)."""
    assert _value(make_database(), "SHOW statement_timeout") == "1min"
    hasty = make_database(DB_STATEMENT_TIMEOUT="0.05")
    with pytest.raises(OperationalError, match="statement timeout"):
        _value(hasty, "SELECT pg_sleep(10)")


def test_behind_the_proxy_the_role_has_the_timeout_and_no_statement_a_name(
    make_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session without options still ends statements after 60 s, once the database is prepared (LC-153)."""
    initialise(make_database())
    proxied = make_database(USE_LOCAL_DB="false", USE_RDS_PROXY="true", DB_PASSWORD="x", DB_SSL_MODE="disable")
    assert _value(proxied, "SHOW statement_timeout") == "1min"
    for _ in range(8):
        _value(proxied, "SELECT 1")
    assert _value(proxied, "SELECT count(*) FROM pg_prepared_statements") == 0


def test_a_rotated_secret_is_picked_up_after_a_refusal(
    make_database: Any, database_url: str, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """The old password connects no more; the next connection reads the secret again and succeeds (LC-150, LC-165)."""
    parts = conninfo_to_dict(database_url)
    stored = {key: parts[key] for key in ("host", "port", "dbname")} | {"username": role, "password": "first"}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="us-east-1")
        client.create_secret(Name="vehicles", SecretString=json.dumps(stored))
        database = make_database(
            USE_LOCAL_DB="false",
            USE_SECRETS_MANAGER="true",
            DB_SECRET_NAME="vehicles",
            DB_SSL_MODE="disable",
            DB_POOL_SIZE=0,
        )
        assert _value(database, "SELECT current_user") == role
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'second'").format(sql.Identifier(role)))
        with pytest.raises(OperationalError, match="authentication failed"):
            _value(database, "SELECT 1")
        client.put_secret_value(SecretId="vehicles", SecretString=json.dumps(stored | {"password": "second"}))
        assert _value(database, "SELECT current_user") == role


def test_preparing_the_database_may_be_repeated_and_done_twice_at_once(make_database: Any) -> None:
    """One creates, the other finds it done; rows stay (LC-162)."""
    results: list[dict[str, Any]] = []
    databases = [make_database() for _ in range(4)]
    threads = [threading.Thread(target=lambda each=each: results.append(initialise(each))) for each in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result["created"]) for result in results) == [0, 0, 0, 1]
    create_application(databases[0]).test_client().post("/api/vehicles", json=GOLF)
    assert initialise(databases[0]) == {"created": [], "tables": ["vehicles"]}
    assert _value(databases[0], "SELECT count(*) FROM vehicles") == 1


def test_a_database_that_refuses_is_told_without_the_password(make_database: Any) -> None:
    """An operator must act, so nothing is tried for long (LC-154, LC-162)."""
    began = time.monotonic()
    with pytest.raises(InitialisationError, match="denied: ") as caught:
        initialise(make_database(DB_NAME="nowhere", DB_PASSWORD="hunter2"))
    assert time.monotonic() - began < 20
    assert "hunter2" not in f"{caught.value!r}"

"""What clients do that speak no PostgreSQL, or too slowly, and how the gateway starts and ends."""

import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from database import Failure, classify
from tests.waiting import eventually

from .conftest import MASTER_PASSWORD, Database, Gateway, Start
from .upstream import upstream

TLS_REQUEST = struct.pack("!ii", 8, 80877103)


def opened(gateway: Gateway) -> socket.socket:
    """Return a bare connection."""
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=20)


def encrypted(gateway: Gateway) -> ssl.SSLSocket:
    """Return a connection after the TLS handshake."""
    bare = opened(gateway)
    bare.sendall(TLS_REQUEST)
    assert bare.recv(1) == b"S"
    context = ssl.create_default_context(cafile=str(gateway.ca))
    return context.wrap_socket(bare, server_hostname="localhost")


def rest(connection: socket.socket) -> bytes:
    """Return everything that comes until the gateway closes, which it must."""
    data = b""
    with suppress(OSError):
        while part := connection.recv(65536):
            data += part
    return data


def test_garbage_ends_in_a_closed_connection(gateway: Gateway) -> None:
    """Before TLS and behind it; the gateway goes on, keeps no connection, and does not grow."""
    gateway.database.make_iam_user()
    dice = random.Random(7)
    before = gateway.memory()
    for number in range(60):
        with encrypted(gateway) if number % 2 else opened(gateway) as connection:
            length = dice.choice([0, 3, 7, 8, 300, 10_000, 2**31 - 1])
            code = dice.choice([0, 196608, 196610, 80877102, 80877104])
            with suppress(OSError):
                connection.sendall(struct.pack("!ii", length, code) + dice.randbytes(dice.randrange(12_000)))
                connection.shutdown(socket.SHUT_WR)
            rest(connection)
    eventually(lambda: gateway.sockets() == 0, "no connection is left")
    assert gateway.memory() - before < 20_000_000
    gateway.connect().close()


def test_what_is_sent_before_tls_never_reaches_the_session(gateway: Gateway) -> None:
    """A startup message in plain text behind the request for TLS ends the handshake (LC-92)."""
    with opened(gateway) as connection:
        connection.sendall(TLS_REQUEST + struct.pack("!ii", 14, 196608) + b"user\0\0")
        connection.recv(1)
        rest(connection)
    eventually(lambda: gateway.logged("connection_broken"), "the handshake has failed")
    assert gateway.logged("login_refused") == []


def test_a_slow_client_is_cut_off(start: Start) -> None:
    """Whoever does not log in within the time loses the connection, before TLS and behind it."""
    gateway = start(startup_seconds=1)
    for connection in (opened(gateway), encrypted(gateway)):
        with connection:
            began = time.monotonic()
            assert rest(connection) == b""
            assert time.monotonic() - began < 10
    eventually(lambda: gateway.sockets() == 0, "no connection is left")


def test_many_silent_clients_do_not_keep_others_out_for_long(start: Start) -> None:
    """Above the limit clients wait; those that say nothing lose their place."""
    gateway = start(startup_seconds=1, max_connections=4)
    gateway.database.make_iam_user()
    silent = [opened(gateway) for _ in range(6)]
    gateway.connect().close()
    for connection in silent:
        connection.close()


def test_a_lost_client_or_server_ends_the_other_side(gateway: Gateway) -> None:
    """No session is left on the server when the client is gone, and the other way round (LC-111)."""
    database = gateway.database
    database.make_iam_user()
    gone = gateway.connect()
    pid = gone.info.backend_pid
    with socket.socket(fileno=os.dup(gone.pgconn.socket)) as below:
        below.shutdown(socket.SHUT_RDWR)
    gone.close()
    eventually(lambda: not database.ask("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid), "the session has ended")
    with gateway.connect() as connection:
        database.ask("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    eventually(lambda: gateway.sockets() == 0, "no connection is left")


def test_a_lost_server_is_told_as_such(start: Start, database: Database) -> None:
    """A client may try again, and succeeds when the server is back (LC-106)."""
    database.make_iam_user()
    with upstream(database.port) as server:
        gateway = start(upstream_port=server.port)
        gateway.connect().close()
        server.lost = True
        with pytest.raises(psycopg.OperationalError, match="cannot be reached") as refused:
            gateway.connect()
        assert classify(refused.value) is Failure.CONNECTION
        server.lost = False
        gateway.connect().close()
        gateway.close()


def test_a_server_that_asks_for_a_password_gets_no_token(start: Start, database: Database) -> None:
    """The gateway needs a server that trusts it, and hands on no secret to one that does not (LC-100)."""
    database.make_iam_user()
    with upstream(database.port) as server:
        gateway = start(upstream_port=server.port)
        server.suspicious = True
        assert "let it trust the gateway" in gateway.refusal()
        gateway.close()
    assert server.told == [b""]


def test_sigterm_ends_open_sessions_after_their_grace(start: Start) -> None:
    """The process ends with 0, and a session that goes on is closed."""
    gateway = start(grace_seconds=0.5)
    gateway.database.make_iam_user()
    with gateway.connect() as connection:
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert gateway.logged("gateway_stopped")


def test_a_gateway_that_cannot_start_says_why(gateway: Gateway, database: Database, tmp_path: Any) -> None:
    """A wrong setting gives 2; no server, no master user or a used port 1; no secret is repeated."""
    right = {
        "PORT": gateway.port,
        "CREDENTIALS": '{"AKIA": {"secret_key": "hidden"}}',
        "MASTER_USER": database.master,
        "MASTER_PASSWORD": MASTER_PASSWORD,
        "UPSTREAM_PORT": database.port,
        "CERTIFICATES": tmp_path / "other",
    }
    for changed, code, words in (
        ({"CREDENTIALS": '{"AKIA": {"secret": "hidden"}}'}, 2, "IAM_GATEWAY_CREDENTIALS"),
        ({"CREDENTIALS": "hidden"}, 2, "redentials"),
        ({"MASTER_USER": ""}, 2, "IAM_GATEWAY_MASTER_USER"),
        ({"LOG_LEVEL": "loud"}, 2, "IAM_GATEWAY_LOG_LEVEL"),
        ({"MASTER_USER": "nobody_at_all"}, 1, "no role nobody_at_all"),
        ({"UPSTREAM_PORT": 1}, 1, "is it running?"),
        ({}, 1, "cannot listen"),
    ):
        variables = {f"IAM_GATEWAY_{name}": str(value) for name, value in {**right, **changed}.items()}
        done = subprocess.run(
            [sys.executable, "-m", "stack.iam_gateway"],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "hidden" not in done.stderr
        assert "Traceback" not in done.stderr

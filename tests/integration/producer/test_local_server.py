"""`python -m producer` answers as the Lambda does, and ends in good order (EV-9, LC-5, LC-8)."""

import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

import schemas
from stack.ports import free_ports

CAR = schemas.samples()["car-created"]
EVENTS = "/api/v1/events"

# Bounded: tried again every few milliseconds, for ten seconds at most.
_soon = Retrying(
    stop=stop_after_delay(10), wait=wait_fixed(0.02), retry=retry_if_exception_type((OSError, AssertionError))
)


class Server:
    """A running `python -m producer`."""

    def __init__(self, variables: dict[str, str]) -> None:
        (self.port,) = free_ports(1)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "producer"],
            env={**os.environ, "PRODUCER_PORT": str(self.port), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def listening(self) -> "Server":
        """Wait until the port is open."""
        for attempt in _soon:
            with attempt:
                assert self.process.poll() is None
                socket.create_connection(("127.0.0.1", self.port), 1).close()
        return self

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, sent, headers)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; return exit code and output."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[..., Server]]:
    """Start servers over a fresh database with tables; what still runs at the end is killed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
    with ExitStack() as ends:

        def make(**variables: str) -> Server:
            server = Server({"DATABASE_URL": database_url, **variables})
            ends.callback(server.process.communicate)
            ends.callback(server.process.kill)
            return server

        yield make


def test_the_server_answers_as_the_handler_does(start: Any, producer: Any) -> None:
    """The same status, headers and body for every kind of answer; HTTP adds only its own headers (EV-9)."""
    server = start().listening()
    calls: list[tuple[str, str, Any]] = [
        ("POST", "", CAR),
        ("POST", "", CAR),
        ("POST", "", {"eventHeader": {}}),
        ("POST", "/bulk", []),
        ("POST", "/bulk", {}),
        ("GET", "/health", None),
        ("GET", "/nothing", None),
        ("DELETE", "", None),
        ("OPTIONS", "", None),
    ]
    statuses = []
    for number, (method, path, body) in enumerate(calls):
        status, headers, said = server.request(method, EVENTS + path, body)
        statuses.append(status)
        if number == 0:  # the event is stored now, so the handler's own answer would be the next one
            assert json.loads(said)["event_id"] == CAR["eventHeader"]["uuid"]
            continue
        expected = producer.call(method, path, body)
        assert (status, json.loads(said or b"{}")) == (expected.status, expected.body)
        own = {name.lower(): value for name, value in expected.headers.items()}
        assert own.items() <= headers.items()
        assert set(headers) - set(own) <= {"content-length", "date"}
    assert statuses == [200, 409, 422, 422, 422, 200, 404, 404, 204]


def test_bodies_of_every_kind_get_an_answer(start: Any) -> None:
    """Bad UTF-8, no body, a form, a wrong content type: the body alone decides (EV-19)."""
    server = start().listening()
    assert server.request("POST", EVENTS, b"\xff\xfe")[0] == 400
    assert server.request("POST", EVENTS)[0] == 400
    assert server.request("POST", EVENTS, b"a=1&b=2", **{"Content-Type": "application/x-www-form-urlencoded"})[0] == 400
    assert server.request("POST", EVENTS, CAR, **{"Content-Type": "text/plain"})[0] == 200


@pytest.mark.parametrize("size", [1001, 3_000_000])
def test_a_body_over_the_limit_is_told_the_limit(size: int, start: Any) -> None:
    """413, with the length declared or in chunks; the next request on the same server works."""
    server = start(MAX_BODY_BYTES="1000").listening()
    expected = {"error": "Payload Too Large", "message": "Maximum 1000 bytes allowed per request", "status": 413}
    status, _, said = server.request("POST", EVENTS, b"x" * size)
    assert (status, json.loads(said)) == (413, expected)
    chunks = b"".join(b"%x\r\n%s\r\n" % (500, b"x" * 500) for _ in range(size // 500 + 1)) + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert server.request("POST", EVENTS, CAR)[0] == 200


def test_requests_at_once_share_the_allowed_connections(start: Any, producer: Any) -> None:
    """Forty requests at once over three connections, all answered (LC-4, LC-8)."""
    server = start(DB_POOL_MAX_SIZE="3").listening()
    events = [{**CAR, "eventHeader": {**CAR["eventHeader"], "uuid": str(uuid4())}} for _ in range(40)]
    with ThreadPoolExecutor(20) as senders:
        statuses = [reply[0] for reply in senders.map(lambda event: server.request("POST", EVENTS, event), events)]
    assert statuses == [200] * 40
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headwater' AND datname = current_database()"
    )
    assert producer.rows(query)[0][0] <= 3


def test_connections_are_opened_at_the_start(start: Any, producer: Any) -> None:
    """As many as are asked for, before any request (LC-4)."""
    start(DB_POOL_MIN_SIZE="3").listening()
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headwater' AND datname = current_database()"
    )
    for attempt in _soon:
        with attempt:
            assert producer.rows(query) == [(3,)]


def test_a_request_under_way_is_answered_before_the_end(start: Any, database_url: str, producer: Any) -> None:
    """SIGTERM refuses new connections, lets the waiting insert finish, and exits with 0."""
    server = start().listening()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%business_events%%'"
    with ThreadPoolExecutor(1) as sender:
        with psycopg.connect(database_url) as holder:
            holder.execute("LOCK TABLE business_events IN ACCESS EXCLUSIVE MODE")
            reply = sender.submit(server.request, "POST", EVENTS, CAR)
            for attempt in _soon:
                with attempt:
                    assert producer.rows(waiting)
            server.process.send_signal(signal.SIGTERM)
            for attempt in _soon:
                with attempt, socket.socket() as knock:
                    assert knock.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED
            assert not reply.done()
        assert reply.result(20)[0] == 200
    output, _ = server.process.communicate(timeout=20)
    assert server.process.returncode == 0
    assert '"producer_stopped"' in output
    assert producer.counts() == (1, 1, 1)


def test_the_log_is_json_with_one_line_for_each_request_and_no_secret(start: Any, database_url: str) -> None:
    """Method, path, status and time; the libraries' lines too; neither password nor event (EV-25, EV-63)."""
    server = start(DATABASE_URL=database_url.replace("postgres@", "postgres:hunter2@")).listening()
    for _ in range(20):
        event = {**CAR, "eventHeader": {**CAR["eventHeader"], "uuid": str(uuid4())}}
        assert server.request("POST", EVENTS, event)[0] == 200
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    code, output = server.stop()
    assert code == 0
    lines = [json.loads(line) for line in output.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) == 20
    assert {"request_id", "method", "path", "status", "milliseconds", "level", "timestamp"} <= requests[0].keys()
    assert [line["count"] for line in lines if line["event"] == "events_persisted"] == [10, 20]
    assert any(line["event"] == "Invalid HTTP request received." for line in lines)
    assert "hunter2" not in output
    assert CAR["entities"][0]["vin"] not in output


def test_a_missing_variable_stops_the_start(start: Any) -> None:
    """Exit code 2 and the names of what is missing (LC-5)."""
    server = start(DATABASE_URL="")
    output, _ = server.process.communicate(timeout=20)
    assert server.process.returncode == 2
    assert "the producer cannot start" in output
    assert "set DATABASE_URL, or else also AURORA_ENDPOINT" in output


def test_a_port_in_use_stops_the_start(start: Any) -> None:
    """Exit code 1 and the variable to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = start(PRODUCER_PORT=str(taken.getsockname()[1]))
        output, _ = server.process.communicate(timeout=20)
    assert server.process.returncode == 1
    assert "set PRODUCER_PORT" in output


def test_the_server_starts_before_its_database(start: Any, relay: Any, database_url: str) -> None:
    """Health says so until the database is there (EV-43)."""
    relay.close()
    server = start(DATABASE_URL=relay.url(database_url)).listening()
    assert server.request("GET", EVENTS + "/health")[0] == 503
    assert server.stop()[0] == 0

"""The handler over a fresh database, and a relay that breaks connections where a test wants them broken."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

import schemas
from producer.api import Waker
from producer.lambda_handler import answer_event
from producer.service import Service

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Reply:
    """An answer of the handler, its body parsed."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class Producer:
    """The handler of one service, called as API Gateway would call it."""

    def __init__(self, service: Service, database_url: str) -> None:
        self.service = service
        self.database_url = database_url

    def call(self, method: str, path: str, body: Any = None, seconds: float = 20.0) -> Reply:
        """Call the handler; `body` is text as it is, anything else as JSON."""
        text = body if isinstance(body, str | None) else json.dumps(body)
        http = {"method": method, "path": f"/api/v1/events{path}"}
        event = {"version": "2.0", "requestContext": {"http": http, "requestId": "r-1"}, "body": text}
        output = answer_event(self.service.api, event, None, seconds)
        assert set(output) == {"statusCode", "headers", "body"}
        return Reply(output["statusCode"], output["headers"], json.loads(output["body"] or "{}"))

    def post(self, event: Any) -> Reply:
        """Post one event."""
        return self.call("POST", "", event)

    def post_all(self, events: Any) -> Reply:
        """Post an array."""
        return self.call("POST", "/bulk", events)

    def rows(self, query: str, *parameters: object) -> list[Row]:
        """Return what a query finds, over a connection of its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def change(self, statements: str) -> None:
        """Run statements that return nothing."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statements.encode())

    def counts(self) -> tuple[int, int, int]:
        """Return the rows of business_events, event_headers and entities."""
        tables = ("business_events", "event_headers", "entities")
        events, headers, entities = (self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)  # noqa: S608
        return events, headers, entities


MakeProducer = Callable[..., Producer]


@pytest.fixture
def make_producer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeProducer]:
    """Make a producer over a database with tables; `url` reaches it by another way, the rest are variables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
    made: list[Service] = []

    def make(url: str = database_url, waker: Waker | None = None, **variables: str) -> Producer:
        for name, value in {"DATABASE_URL": url, **variables}.items():
            monkeypatch.setenv(name, value)
        made.append(Service.from_environment(waker))
        return Producer(made[-1], database_url)

    yield make
    for service in made:
        service.close()


@pytest.fixture
def producer(make_producer: MakeProducer) -> Producer:
    """A producer with the default settings."""
    return make_producer()


class Relay:
    """Pass bytes between clients and the server, and break off at a marked message.

    `break_at(marker, answered=True)` lets the message that contains the marker reach the server, waits for the whole
    answer and throws it away with the connection: the server has committed, the client cannot know. With
    `answered=False` the message itself is thrown away.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._marks: list[tuple[bytes, bool]] = []
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, database_url: str) -> str:
        """Return the database's URL through this relay."""
        parts = urlsplit(database_url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.port}").geturl()

    def break_at(self, marker: str, *, answered: bool, times: int = 1) -> None:
        """Break the next connections that send the marker."""
        self._marks += [(marker.encode(), answered)] * times

    def close(self) -> None:
        """Refuse new connections and break those there are."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                swallow = threading.Event()
                for pump in (self._up, self._down):
                    thread = threading.Thread(target=pump, args=(client, server, swallow))
                    self._threads.append(thread)
                    thread.start()

    def _up(self, client: socket.socket, server: socket.socket, swallow: threading.Event) -> None:
        with suppress(OSError):
            while sent := client.recv(1 << 20):
                mark = next((mark for mark in self._marks if mark[0] in sent), None)
                if mark is not None:
                    self._marks.remove(mark)
                    if not mark[1]:
                        break
                    swallow.set()
                server.sendall(sent)
        self._break(client, server)

    def _down(self, client: socket.socket, server: socket.socket, swallow: threading.Event) -> None:
        with suppress(OSError):
            while said := server.recv(1 << 20):
                if not swallow.is_set():
                    client.sendall(said)
                elif said[-6:-1] == b"Z\0\0\0\5":  # ReadyForQuery: the transaction has ended
                    break
        self._break(client, server)

    def _break(self, *ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(database_url: str) -> Iterator[Relay]:
    """A relay before the embedded server."""
    parts = urlsplit(database_url)
    assert parts.hostname is not None
    assert parts.port is not None
    made = Relay((parts.hostname, parts.port))
    yield made
    made.close()

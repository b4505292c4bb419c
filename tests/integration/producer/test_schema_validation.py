"""The metadata service is asked with the client's own event; without a verdict the event is let in (EV-44 to EV-46)."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import schemas
from producer.refusals import SchemaError
from producer.validation import SchemaValidator


class MetadataService(ThreadingHTTPServer):
    """A server that gives one reply to everything and keeps what it was sent."""

    def __init__(self, status: int, reply: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.reply = status, reply
        self.asked: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: MetadataService

    def do_POST(self) -> None:
        """Keep the question and give the reply."""
        self.server.asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.reply)))
        self.end_headers()
        self.wfile.write(self.server.reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


@contextmanager
def _service(status: int, reply: bytes) -> Iterator[tuple[MetadataService, SchemaValidator]]:
    with MetadataService(status, reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        validator = SchemaValidator(server.url + "/", timeout=5)
        try:
            yield server, validator
        finally:
            validator.close()
            server.shutdown()
            thread.join()


def test_a_valid_event_passes_and_was_sent_as_the_client_wrote_it() -> None:
    """The path, the wrapper and every digit of the document (EV-44, EV-45)."""
    document = '{"eventHeader": {"eventName":"é"},  "entities": [{"price": 1.10}]}'
    with _service(200, b'{"valid":true,"version":"v1","errors":[]}') as (server, validator):
        assert validator.check(document)
    assert server.asked == [("/api/v1/validate", f'{{"event":{document}}}'.encode())]


@pytest.mark.parametrize("status", [200, 422])
def test_an_invalid_event_is_refused_with_details_and_version(status: int) -> None:
    """Strict mode answers 422, the other 200; the body decides (EV-46)."""
    faults = [{"field": "entities.0.vin", "message": "too short", "more": 1}, {"field": "x", "message": "y"}]
    reply = json.dumps({"valid": False, "version": "v2", "errors": faults}).encode()
    with _service(status, reply) as (_, validator), pytest.raises(SchemaError) as caught:
        validator.check("{}")
    assert caught.value.version == "v2"
    assert caught.value.details == (
        {"field": "entities.0.vin", "message": "too short"},
        {"field": "x", "message": "y"},
    )
    assert str(caught.value) == "Schema validation failed: entities.0.vin too short; x y"


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (500, b"oops"),
        (404, b'{"error":"no such version"}'),
        (200, b"[]"),
        (200, b'{"valid":"no"}'),
        (200, b'{"valid":null}'),
        (200, b"\xff"),
    ],
)
def test_any_other_answer_lets_the_event_in(status: int, reply: bytes) -> None:
    """Fail open: no verdict, no refusal (EV-46)."""
    with _service(status, reply) as (_, validator):
        assert not validator.check("{}")


def test_a_service_that_is_gone_lets_the_event_in() -> None:
    """Nobody listens (EV-46)."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        validator = SchemaValidator(f"http://127.0.0.1:{held.getsockname()[1]}", timeout=5)
        assert not validator.check("{}")
        validator.close()


def test_a_service_that_is_silent_costs_the_timeout_and_lets_the_event_in() -> None:
    """Accepted and never answered (EV-44, EV-46)."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        validator = SchemaValidator(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        assert not validator.check("{}")
        validator.close()


CAR = schemas.samples()["car-created"]
INVALID = b'{"valid":false,"version":"v1","errors":[{"field":"entities.0.vin","message":"too short"}]}'


def test_the_api_refuses_what_the_service_refuses(make_producer: Any) -> None:
    """422 word for word with nothing stored; in an array each such event fails alone (EV-29, EV-46)."""
    with _service(422, INVALID) as (server, _):
        producer = make_producer(METADATA_SERVICE_URL=server.url)
        reply = producer.post(CAR)
        assert reply.status == 422
        assert reply.body == {
            "error": "Schema validation failed",
            "details": [{"field": "entities.0.vin", "message": "too short"}],
            "version": "v1",
            "status": 422,
        }
        reply = producer.post_all([CAR, {**CAR, "entities": []}])
        assert reply.body["errors"] == [
            "Event 0: Schema validation failed: entities.0.vin too short",
            "Event 1: Event must contain at least one entity",
        ]
        # What lacks an entity is refused before the service is asked (EV-29).
        assert len(server.asked) == 2
    assert producer.counts() == (0, 0, 0)


def test_a_service_without_verdict_is_asked_once_in_a_request(make_producer: Any) -> None:
    """An array does not wait for the same silence again and again (EV-46)."""
    with _service(500, b"") as (server, _):
        producer = make_producer(METADATA_SERVICE_URL=server.url)
        events = [{**CAR, "eventHeader": {**CAR["eventHeader"], "uuid": str(number)}} for number in range(5)]
        assert producer.post_all(events).body["processed"] == 5
        assert len(server.asked) == 1

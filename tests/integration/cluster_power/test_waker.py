"""The producer asks for its database: one call, and never longer than it may take."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import schemas
from producer.api import Wake
from producer.lambda_handler import answer_event
from producer.service import Service as Producer
from producer.waker import AutoStartWaker
from stack.ports import free_ports
from tests.integration.cluster_power.conftest import CREDENTIALS, REGION
from tests.integration.lambdas.conftest import Service as Lambdas

SAYINGS = ("starting", "available", "stopping", "transitioning", "raises", "hangs", "nonsense", "failure")


@pytest.fixture(scope="module")
def lambdas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lambdas]:
    """The local Lambda service with a function for each thing that auto-start may do."""
    package = str(Path(__file__).with_name("package"))
    functions = {
        says: {"handler": "said.handler", "code": package, "timeout_seconds": 30, "environment": {"SAYS": says}}
        for says in SAYINGS
    }
    running = Lambdas(tmp_path_factory.mktemp("waker"), functions, grace_seconds=0.1)
    yield running
    running.close()


@pytest.fixture
def environment(lambdas: Lambdas, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables of a producer whose database refuses every connection."""
    variables = {
        **CREDENTIALS,
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_ports(1)[0]}/cars",
        "AWS_ENDPOINT_URL_LAMBDA": lambdas.url,
        "REQUEST_SECONDS": "6",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def _post(event: Any = None, path: str = "") -> tuple[int, str | None, str]:
    producer = Producer.from_environment()
    try:
        body = json.dumps(event or schemas.samples()["car-created"])
        http = {"method": "POST", "path": f"/api/v1/events{path}"}
        given = {"version": "2.0", "requestContext": {"http": http}, "body": body}
        output = answer_event(producer.api, given, None, producer.settings.request_seconds)
    finally:
        producer.close()
    return output["statusCode"], output["headers"].get("Retry-After"), json.loads(output["body"])["message"]


def test_a_database_that_is_being_started_gives_two_minutes(environment: pytest.MonkeyPatch) -> None:
    """503 of EV-26 with Retry-After 120 (LC-22, EV-26)."""
    environment.setenv("AURORA_AUTO_START_FUNCTION_NAME", "starting")
    status, retry_after, message = _post()
    assert (status, retry_after) == (503, "120")
    assert message == "The database is currently starting. Please retry your request in 1-2 minutes."


@pytest.mark.parametrize("says", ["available", "stopping", "transitioning", "raises", "nonsense", "failure", "absent"])
def test_anything_else_gives_one_minute(environment: pytest.MonkeyPatch, says: str) -> None:
    """Another state, a failure of the function, or none of that name: 503 of EV-28 (LC-23, LC-24, EV-28)."""
    environment.setenv("AURORA_AUTO_START_FUNCTION_NAME", says)
    status, retry_after, message = _post()
    assert (status, retry_after) == (503, "60")
    assert message.startswith("Unable to connect to the database.")


def test_one_request_asks_once(environment: pytest.MonkeyPatch, lambdas: Lambdas) -> None:
    """An array of events too, and tries of the store notwithstanding (LC-20, EV-40)."""
    environment.setenv("AURORA_AUTO_START_FUNCTION_NAME", "starting")
    before = len(lambdas.logged("invocation"))
    event = schemas.samples()["car-created"]
    assert _post([event, event, event], "/bulk")[:2] == (503, "120")
    assert len(lambdas.logged("invocation")) == before + 1


def test_without_a_function_nobody_is_asked(environment: pytest.MonkeyPatch, lambdas: Lambdas) -> None:
    """503 of EV-28 (LC-24)."""
    environment.delenv("AURORA_AUTO_START_FUNCTION_NAME", raising=False)
    before = len(lambdas.logged("invocation"))
    assert _post()[:2] == (503, "60")
    assert len(lambdas.logged("invocation")) == before


def test_a_slow_function_is_not_waited_for(environment: pytest.MonkeyPatch, lambdas: Lambdas) -> None:
    """Longer than the timeout (LC-24)."""
    environment.setenv("AWS_ENDPOINT_URL_LAMBDA", lambdas.url)
    waker = AutoStartWaker("hangs", 0.5, REGION)
    began = time.monotonic()
    assert waker() is Wake.UNKNOWN
    assert time.monotonic() - began < 1.5


def test_an_answer_in_drops_is_not_waited_for(environment: pytest.MonkeyPatch) -> None:
    """Each read is quick enough for the SDK's own timeout, the whole is not (LC-24)."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not ended.wait(0.1):
                    connection.sendall(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        environment.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        assert AutoStartWaker("starting", 0.5, REGION)() is Wake.UNKNOWN
        took = time.monotonic() - began
        ended.set()
        dripping.join(10)
    assert took < 1.5


def test_a_request_keeps_the_time_to_ask(environment: pytest.MonkeyPatch, lambdas: Lambdas) -> None:
    """The store gives up earlier, so that a slow function does not make the request late (LC-24)."""
    environment.setenv("AURORA_AUTO_START_FUNCTION_NAME", "hangs")
    environment.setenv("AUTO_START_TIMEOUT", "1.5")
    environment.setenv("REQUEST_SECONDS", "2")
    began = time.monotonic()
    assert _post()[:2] == (503, "60")
    assert 1.4 < time.monotonic() - began < 3


def test_a_service_that_is_away_costs_no_time(environment: pytest.MonkeyPatch) -> None:
    """A refused connection is an answer (LC-24)."""
    environment.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{free_ports(1)[0]}")
    began = time.monotonic()
    assert AutoStartWaker("starting", 5.0, REGION)() is Wake.UNKNOWN
    assert time.monotonic() - began < 2

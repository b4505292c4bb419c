"""The SQL functions over the extension, the bridge, and the real function under AWS's runtime client."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import schemas
from callbacks.setup import install
from database import DatabaseSettings, Direct, Links
from database.tables import create_tables
from producer.api import Api, Request
from producer.settings import ProducerSettings
from producer.store import EventStore
from tests.integration.callbacks.bridges import Bridge
from tests.integration.lambdas.conftest import Service

Session = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The function that SQL calls."""
    settings = {"handler": "callbacks.postgres_function.handler", "timeout_seconds": 30, "memory_mb": 256}
    service = Service(tmp_path_factory.mktemp("lambdas"), {"PostgresFunction": settings})
    yield service
    service.close()


@pytest.fixture
def bridge(database_url: str, function: Service, tmp_path: Path) -> Iterator[Bridge]:
    """The bridge of a database that has the pipeline's tables and the functions."""
    create_tables(DatabaseSettings.model_validate({"database_url": database_url}))
    with psycopg.connect(database_url, autocommit=True) as connection:
        install(connection, "PostgresFunction", "us-east-1")
    started = Bridge(database_url, function.url, tmp_path / "log").ready()
    yield started
    started.close()


@pytest.fixture
def session(database_url: str, bridge: Bridge) -> Iterator[Session]:
    """A session there."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        # The first call is a cold start, on a machine that may be busy.
        connection.execute("SET aws_lambda.request_timeout_ms = 30000")
        yield connection


@pytest.fixture
def producer(database_url: str, session: Session) -> Iterator[Api]:
    """The producer's API over the same database."""
    settings = DatabaseSettings.model_validate({"database_url": database_url})
    links = Links(Direct.of(settings), settings.limits)
    yield Api(ProducerSettings(), EventStore(links))
    links.close()


def _sample(**vehicle: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(schemas.samples()["car-created"]))
    event["eventHeader"]["uuid"] = str(uuid4())
    event["entities"][0] |= vehicle
    return event


def _post(producer: Api, event: dict[str, Any]) -> int:
    return producer.handle(Request("POST", "/api/v1/events", json.dumps(event).encode(), "r", 20)).status


def _stored(session: Session, event: dict[str, Any]) -> bool:
    found = session.execute("SELECT 1 FROM business_events WHERE id = %s", (event["eventHeader"]["uuid"],))
    return found.fetchone() is not None


def _asked(session: Session, function: str, value: Any) -> Any:
    row = session.execute(f"SELECT {function}(%s::jsonb)".encode(), (json.dumps(value),)).fetchone()
    assert row is not None
    return row[0]


def test_sql_has_what_the_function_answers(session: Session) -> None:
    """All three actions, with zero as a value that is there and a number as one that is no text (LC-88, LC-90)."""
    assert _asked(session, "process_data", {"id": 0})["body"]["processedData"]["processed"] is True
    assert _asked(session, "transform_data", {"value": 7})["body"]["transformedData"]["uppercase"] is None
    assert _asked(session, "validate_data", {"id": 0, "value": False})["body"]["validationResult"]["isValid"] is True


def test_events_are_judged_by_the_pipelines_own_schemas(session: Session) -> None:
    """Every sample is valid, and a car of the future is not (LC-99)."""
    for name, event in schemas.samples().items():
        assert _asked(session, "validate_event", event)["valid"], name
    verdict = _asked(session, "validate_event", _sample(year=2031))
    assert [fault["field"] for fault in verdict["errors"]] == ["entities[0].year"]


def test_a_faulty_event_is_refused_at_commit_once_that_is_enabled(session: Session, producer: Api) -> None:
    """The producer's own write waits for the verdict; disabled, it does not (LC-99)."""
    right, wrong, later = _sample(), _sample(year=2031), _sample(year=2031)
    session.execute("SELECT enable_event_validation(timeout_ms => 20000, on_failure => 'closed')")
    assert (_post(producer, right), _stored(session, right)) == (200, True)
    assert (_post(producer, wrong), _stored(session, wrong)) == (500, False)
    session.execute("SELECT disable_event_validation()")
    assert (_post(producer, later), _stored(session, later)) == (200, True)


def test_without_a_bridge_a_write_is_decided_quickly(session: Session, producer: Api, bridge: Bridge) -> None:
    """Open stores it, closed does not, and neither waits long for what is not there (LC-99)."""
    bridge.close()
    first, second = _sample(), _sample()
    session.execute("SELECT enable_event_validation(timeout_ms => 200, on_failure => 'open')")
    began = time.monotonic()
    assert (_post(producer, first), _stored(session, first)) == (200, True)
    session.execute("SELECT enable_event_validation(timeout_ms => 200, on_failure => 'closed')")
    assert (_post(producer, second), _stored(session, second)) == (500, False)
    assert time.monotonic() - began < 10

"""The validator in the transaction of an event: off until enabled, then it decides at commit."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callbacks.setup import install
from database import DatabaseSettings
from database.tables import create_tables

VALID = {"valid": True, "errors": [], "version": "v1"}
INVALID = {
    "valid": False,
    "errors": [{"field": "entities[0].year", "message": "2031 is greater than the maximum of 2030"}],
    "version": "v1",
}

FAILURES = pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ({"error": "Unhandled"}, "lambda invocation failed: Unhandled"),
        ({"body": {"status": "error", "message": "broken"}}, "the validator gave no verdict: broken"),
        ({"milliseconds": 60_000}, "lambda invocation timed out"),
    ],
    ids=["error", "no verdict", "too slow"],
)

Session = psycopg.Connection[Any]


@pytest.fixture
def session(aws_database_url: str) -> Iterator[Session]:
    """A session in a database with the pipeline's tables and the functions."""
    create_tables(DatabaseSettings.model_validate({"database_url": aws_database_url}))
    with psycopg.connect(aws_database_url, autocommit=True) as connection:
        install(connection, "PostgresFunction", "us-east-1")
        yield connection


def _answer(session: Session, body: Any = None, *, error: str | None = None, milliseconds: int = 0) -> None:
    payload = Jsonb({"statusCode": 200, "body": body})
    session.execute(
        "INSERT INTO aws_lambda.answers VALUES ('validate_event', %s, %s, %s)", (payload, error, milliseconds)
    )


def _store(session: Session, event_id: str = "E1") -> None:
    session.execute("INSERT INTO business_events VALUES (%s, 'n', NULL, NULL, NULL, '{\"a\": 1}')", (event_id,))


def _count(session: Session, table: str = "business_events") -> int:
    row = session.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 - names of this file
    assert row is not None
    count: int = row[0]
    return count


def test_nobody_is_asked_until_it_is_enabled(session: Session) -> None:
    """Setup alone puts nothing on the commit path, and disabling takes it off again (LC-99)."""
    _answer(session, INVALID)
    _store(session)
    assert _count(session, "aws_lambda.calls") == 0
    assert _count(session, "pg_trigger WHERE tgrelid = 'business_events'::regclass AND NOT tgisinternal") == 0
    session.execute("SELECT enable_event_validation()")
    session.execute("SELECT enable_event_validation()")
    session.execute("SELECT disable_event_validation()")
    session.execute("SELECT disable_event_validation()")
    _store(session, "E2")
    assert _count(session) == 2


def test_a_valid_event_is_stored(session: Session) -> None:
    """The validator gets the stored event when the transaction commits, not before (LC-99)."""
    _answer(session, VALID)
    session.execute("SELECT enable_event_validation()")
    with session.transaction():
        _store(session)
        assert _count(session, "aws_lambda.calls") == 0
    called = session.execute("SELECT payload FROM aws_lambda.calls").fetchall()
    assert called == [({"action": "validate_event", "data": {"a": 1}},)]
    assert _count(session) == 1


def test_an_invalid_event_fails_the_transaction_with_the_reasons(session: Session) -> None:
    """The error names the event, the field and the fault, and nothing is stored (LC-99)."""
    _answer(session, INVALID)
    session.execute("SELECT enable_event_validation()")
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        _store(session)
    assert "event E1 is invalid: entities[0].year: 2031 is greater" in str(raised.value)
    assert raised.value.diag.constraint_name == "event_is_valid"
    assert _count(session) == 0


def test_an_invalid_change_is_refused(session: Session) -> None:
    """An event that is changed later is validated again (LC-99)."""
    _store(session)
    _answer(session, INVALID)
    session.execute("SELECT enable_event_validation()")
    session.execute("UPDATE business_events SET event_name = 'other'")
    with pytest.raises(psycopg.errors.CheckViolation):
        session.execute("UPDATE business_events SET event_data = '{}'")


@FAILURES
def test_a_validator_that_fails_lets_the_event_in_by_default(
    session: Session, failure: dict[str, Any], reason: str
) -> None:
    """An error, no verdict or no answer in time: a warning, and the event is stored (LC-99)."""
    _answer(session, **failure)
    session.execute("SELECT enable_event_validation(timeout_ms => 50)")
    told: list[str] = []
    session.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    _store(session)
    assert _count(session) == 1
    assert len(told) == 1
    assert told[0] == f"event E1 is stored without a verdict: {reason}"


@FAILURES
def test_a_validator_that_fails_keeps_the_event_out_when_closed(
    session: Session, failure: dict[str, Any], reason: str
) -> None:
    """`on_failure => 'closed'` fails the transaction with a remedy (LC-99)."""
    _answer(session, **failure)
    session.execute("SELECT enable_event_validation(timeout_ms => 50, on_failure => 'closed')")
    with pytest.raises(psycopg.errors.CheckViolation, match=f"event E1 was not validated: {reason}") as raised:
        _store(session)
    assert "disable_event_validation" in (raised.value.diag.message_hint or "")
    assert _count(session) == 0


def test_the_timeout_is_that_of_the_trigger_alone(session: Session) -> None:
    """The call waits no longer than it was told, and other calls keep their own timeout (LC-99)."""
    _answer(session, VALID, milliseconds=60_000)
    session.execute("SELECT enable_event_validation(timeout_ms => 50)")
    began = time.monotonic()
    with session.transaction():
        session.execute("SET LOCAL aws_lambda.request_timeout_ms = 1234")
        _store(session)
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        session.execute("SELECT process_data('{}')")
    assert time.monotonic() - began < 10
    # What the trigger asked was undone with its failure.
    assert session.execute("SELECT timeout_ms FROM aws_lambda.calls").fetchall() == [("1234",)]


@pytest.mark.parametrize(
    "given", ["timeout_ms => 0", "timeout_ms => NULL", "on_failure => 'ajar'", "on_failure => NULL"]
)
def test_a_setting_that_cannot_be_used_is_refused(session: Session, given: str) -> None:
    """The error names the setting and what it takes (LC-99)."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=given.split(" ", maxsplit=1)[0]):
        session.execute(f"SELECT enable_event_validation({given})".encode())

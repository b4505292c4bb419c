"""What the program logs of a record: both times of each date, and the entities of its event."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from pydantic import SecretStr
from structlog.testing import capture_logs

import schemas
from consumers import decode
from consumers.display import Display
from database import DatabaseSettings


class _Place:
    """Where a record came from, as Kafka's message tells it."""

    def partition(self) -> int:
        """Return the partition."""
        return 3

    def offset(self) -> int:
        """Return the offset."""
        return 7


@pytest.fixture
def stored(database_url: str) -> str:
    """A database with one event of two entities; its URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
        now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
        connection.execute(
            "INSERT INTO business_events (id, event_name, event_type, created_date, saved_date, event_data)"
            " VALUES ('e-1', 'Loan Created', 'LoanCreated', %s, %s, '{}')",
            (now, now),
        )
        connection.execute(
            "INSERT INTO event_headers (id, event_name, event_type, created_date, saved_date, header_data)"
            " VALUES ('e-1', 'Loan Created', 'LoanCreated', %s, %s, '{}')",
            (now, now),
        )
        for kind, key in (("Loan", "L-1"), ("Car", "C-1")):
            connection.execute(
                "INSERT INTO entities (entity_id, entity_type, created_at, updated_at, entity_data, event_id)"
                " VALUES (%s, %s, %s, %s, %s, 'e-1')",
                (key, kind, now, now, json.dumps({"id": key})),
            )
    return database_url


def test_a_record_is_logged_with_both_times_and_its_entities(stored: str) -> None:
    """Id, name, type, dates in UTC and display time, op, table, header, and what the event is about (FL-87)."""
    value = {
        "id": "e-1",
        "event_name": "Loan Created",
        "event_type": "LoanCreated",
        "created_date": "2026-07-01T12:00:00Z",
        "saved_date": None,
        "header_data": '{"uuid": "e-1"}',
        "__op": "c",
        "__table": "event_headers",
    }
    display = Display("America/New_York", DatabaseSettings(database_url=SecretStr(stored)))
    place: Any = _Place()
    message: Message = place
    with capture_logs() as logs:
        display(decode(json.dumps(value).encode()), message)
    display.close()
    (line,) = [line for line in logs if line["event"] == "record"]
    assert (line["id"], line["event_name"], line["event_type"]) == ("e-1", "Loan Created", "LoanCreated")
    assert line["created"] == {"utc": "2026-07-01T12:00:00+00:00", "display": "2026-07-01T08:00:00-04:00"}
    assert line["saved"] is None
    assert (line["op"], line["table"], line["header"]) == ("c", "event_headers", {"uuid": "e-1"})
    assert (line["partition"], line["offset"]) == (3, 7)
    assert line["entities"] == [
        {"type": "Car", "id": "C-1", "data": {"id": "C-1"}},
        {"type": "Loan", "id": "L-1", "data": {"id": "L-1"}},
    ]

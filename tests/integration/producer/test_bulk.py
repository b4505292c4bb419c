"""An array of events: each its own transaction, over one connection, with a full account (EV-30 to EV-41)."""

from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest

import schemas

LOAN = schemas.samples()["loan-created"]


def _events(count: int) -> list[dict[str, Any]]:
    return [{**LOAN, "eventHeader": {**LOAN["eventHeader"], "uuid": str(uuid4())}} for _ in range(count)]


def test_an_array_is_stored_and_accounted_for(producer: Any) -> None:
    """Every key of the answer (EV-35 to EV-38)."""
    reply = producer.post_all(_events(5))
    assert reply.status == 200
    assert reply.body.pop("batchId").startswith("batch-17")
    assert 0 <= reply.body.pop("processingTimeMs") < 20_000
    assert reply.body == {
        "success": True,
        "message": "All events processed successfully",
        "processedCount": 5,
        "failedCount": 0,
        "processed": 5,
        "failed": 0,
        "total": 5,
        "errors": [],
    }
    assert producer.counts() == (5, 5, 1)


def test_a_failed_event_does_not_stop_the_others(producer: Any) -> None:
    """Duplicates and missing content fail alone, each named by index and reason (EV-34, EV-36, EV-38, EV-39)."""
    events = _events(6)
    events[1] = events[0]
    events[2] = {**events[2], "entities": []}
    events[4] = {**events[4], "eventHeader": {**events[4]["eventHeader"], "eventName": ""}}
    reply = producer.post_all(events)
    assert reply.status == 200
    assert (reply.body["success"], reply.body["message"]) == (False, "Processed 3 events, 3 failed")
    assert (reply.body["processedCount"], reply.body["failedCount"], reply.body["total"]) == (3, 3, 6)
    assert reply.body["errors"] == [
        f"Event 1: duplicate event id '{events[0]['eventHeader']['uuid']}'",
        "Event 2: Event must contain at least one entity",
        "Event 4: Event header event_name is required",
    ]
    assert producer.counts() == (3, 3, 1)


def test_at_most_ten_errors_are_told(producer: Any) -> None:
    """The counts stay whole (EV-38)."""
    (event,) = _events(1)
    reply = producer.post_all([event] * 15)
    assert (reply.body["processed"], reply.body["failed"], len(reply.body["errors"])) == (1, 14, 10)


def test_one_wrong_structure_refuses_all_before_anything_is_stored(producer: Any) -> None:
    """422 that names the element (EV-33)."""
    events = _events(3)
    events[2] = deepcopy(events[2])
    del events[2]["entities"][0]["entityHeader"]["updatedAt"]
    reply = producer.post_all(events)
    reason = "Invalid event structure: event 2: entities[0].entityHeader.updatedAt: Field required"
    assert (reply.status, reply.body) == (422, {"error": reason, "status": 422})
    assert producer.counts() == (0, 0, 0)


def test_the_limit_is_100_events_unless_set(make_producer: Any) -> None:
    """400 with the number received (EV-30)."""
    expected = {
        "error": "Too many events",
        "message": "Maximum 100 events allowed per request",
        "received": 101,
        "status": 400,
    }
    reply = make_producer().post_all(_events(101))
    assert (reply.status, reply.body) == (400, expected)
    small = make_producer(MAX_BULK_EVENTS="2")
    assert small.post_all([{}] * 3).body["message"] == "Maximum 2 events allowed per request"
    assert small.post_all(_events(2)).body["success"]


REFUSED: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "EV-31 empty": ([], 422, {"error": "Invalid request: events list is null or empty", "status": 422}),
    "EV-31 not JSON": ("[", 400, {"error": "Invalid JSON", "status": 400}),
    "EV-32": (
        {"events": []},
        422,
        {"error": "Invalid event structure: the body must be a JSON array of events", "status": 422},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_array_of_events_is_refused(case: str, producer: Any) -> None:
    """Word for word (EV-31, EV-32)."""
    body, status, expected = REFUSED[case]
    reply = producer.post_all(body)
    assert (reply.status, reply.body) == (status, expected)


def test_an_array_uses_one_connection(make_producer: Any, relay: Any, database_url: str) -> None:
    """A hundred events, one connection (EV-41)."""
    producer = make_producer(relay.url(database_url))
    assert producer.post_all(_events(100)).body["success"]
    assert relay.connections == 1


def test_each_element_is_stored_as_it_was_written(producer: Any) -> None:
    """Elements keep their digits and their snake_case ones are respelled (EV-17, EV-91)."""
    about = '"entityHeader":{"entityId":"ID","entityType":"Car","createdAt":1,"updatedAt":1}'
    one = '{"eventHeader":{"uuid":"ID","eventName":"n"},"entities":[{ABOUT,"price":1.10}]}'
    other = '{"event_header":{"uuid":"ID","event_name":"n"},"entities":[{ABOUT,"price":2.20}]}'
    elements = [text.replace("ABOUT", about).replace("ID", key) for key, text in (("a", one), ("b", other))]
    assert producer.post_all(f"[ {elements[0]}\n,{elements[1]} ]").body["success"]
    assert producer.rows("SELECT event_id, entity_data::text FROM entities ORDER BY 1") == [
        ("a", '{"price": 1.10}'),
        ("b", '{"price": 2.20}'),
    ]
    assert producer.rows("SELECT count(*) FROM business_events WHERE event_data ? 'eventHeader'") == [(2,)]


def test_the_request_ends_when_its_time_is_up(producer: Any) -> None:
    """What was not attempted is told, not dropped (EV-34, EV-38)."""
    reply = producer.call("POST", "/bulk", _events(2), seconds=0)
    assert reply.body["processed"] == 0
    assert reply.body["errors"] == [f"Event {n}: not attempted, the time of the request is up" for n in (0, 1)]

"""One posted event is one transaction over three tables, and the answers are the contract's (EV-10 to EV-62)."""

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

import schemas

HEADERS = {
    "Content-Type": "application/json",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}
CAR = schemas.samples()["car-created"]


def _entity(kind: str, key: str, **properties: Any) -> dict[str, Any]:
    header = {
        "entityId": key,
        "entityType": kind,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    return {"entityHeader": header, **properties}


def _event(*entities: dict[str, Any], **header: Any) -> dict[str, Any]:
    return {"eventHeader": {"uuid": str(uuid4()), "eventName": "Car Created", **header}, "entities": list(entities)}


@pytest.mark.parametrize("name", schemas.samples())
def test_every_sample_is_stored_in_three_tables(name: str, producer: Any) -> None:
    """Answer, columns and JSON of each sample (EV-18, EV-50, EV-71 to EV-77, EV-90 to EV-96)."""
    event = schemas.samples()[name]
    head = event["eventHeader"]
    reply = producer.post(event)
    assert (reply.status, reply.headers) == (200, HEADERS)
    assert reply.body == {"success": True, "message": "Event processed successfully", "event_id": head["uuid"]}

    dates = (datetime.fromisoformat(head["createdDate"]), datetime.fromisoformat(head["savedDate"]))
    columns = (head["uuid"], head["eventName"], head["eventType"], *dates)
    assert producer.rows("SELECT * FROM business_events") == [(*columns, event)]
    assert producer.rows("SELECT * FROM event_headers") == [(*columns, head)]
    expected = []
    for entity in event["entities"]:
        about = entity["entityHeader"]
        data = {name: value for name, value in entity.items() if name != "entityHeader"}
        expected.append((about["entityType"], about["entityId"], data, head["uuid"]))
    query = "SELECT entity_type, entity_id, entity_data, event_id FROM entities ORDER BY entity_type"
    assert producer.rows(query) == sorted(expected, key=lambda row: row[0])


def test_the_document_is_stored_digit_by_digit(producer: Any) -> None:
    """No number goes through a float, neither in the event nor in its entity (EV-91, EV-93)."""
    entity = json.dumps(_entity("Car", "c"))[:-1] + ', "serial": 12345678901234567890123, "price": 932.1600}'
    body = json.dumps(_event())[:-3] + f"[{entity}]}}"
    assert producer.post(body).status == 200
    query = "SELECT entity_data ->> 'serial', entity_data ->> 'price', (SELECT event_data::text FROM business_events)"
    ((serial, price, document),) = producer.rows(query + " FROM entities")
    assert (serial, price) == ("12345678901234567890123", "932.1600")
    assert '"price": 932.1600' in document


def test_a_second_post_of_one_id_changes_nothing(producer: Any) -> None:
    """409 with the id; event, header and entity stay as they were (EV-24, EV-52)."""
    assert producer.post(CAR).status == 200
    before = producer.rows("SELECT * FROM entities"), producer.rows("SELECT * FROM business_events")
    other = deepcopy(CAR)
    other["entities"][0]["color"] = "red"
    other["entities"].append(_entity("Car", "another"))
    reply = producer.post(other)
    identity = CAR["eventHeader"]["uuid"]
    assert (reply.status, reply.headers) == (409, HEADERS)
    assert reply.body == {
        "error": "Conflict",
        "message": f"Event with ID '{identity}' already exists",
        "eventId": identity,
        "status": 409,
    }
    assert before == (producer.rows("SELECT * FROM entities"), producer.rows("SELECT * FROM business_events"))


def test_a_known_entity_is_replaced_and_keeps_its_creation_date(producer: Any) -> None:
    """The upsert takes data, update date and event of the newer event (EV-55, EV-57, EV-96)."""
    update = schemas.samples()["car-updated"]
    about = update["entities"][0]["entityHeader"]
    later = deepcopy(update)
    later["entities"][0]["entityHeader"]["createdAt"] = "2030-01-01T00:00:00Z"
    assert [producer.post(event).status for event in (CAR, later)] == [200, 200]
    query = "SELECT created_at = %s::timestamptz, updated_at = %s::timestamptz, event_id, entity_data FROM entities"
    ((kept, updated, event_id, data),) = producer.rows(query, about["createdAt"], about["updatedAt"])
    assert (kept, updated, event_id) == (True, True, update["eventHeader"]["uuid"])
    assert data == {name: value for name, value in update["entities"][0].items() if name != "entityHeader"}


def test_of_entities_with_one_key_in_one_event_the_last_wins(producer: Any) -> None:
    """No row is touched twice; types keep keys apart; order does not matter (EV-55, EV-56)."""
    event = _event(
        _entity("Car", "1", n=1), _entity("Loan", "1", n=2), _entity("Car", "0", n=3), _entity("Car", "1", n=4)
    )
    assert producer.post(event).status == 200
    rows = producer.rows("SELECT entity_type, entity_id, entity_data FROM entities ORDER BY 1, 2")
    assert rows == [("Car", "0", {"n": 3}), ("Car", "1", {"n": 4}), ("Loan", "1", {"n": 2})]
    assert producer.post({**event, "eventHeader": {"eventName": "again"}}).status == 200
    assert producer.counts() == (2, 2, 3)


def test_many_entities_are_one_statement(producer: Any) -> None:
    """Five hundred entities arrive, each with its own dates (EV-50)."""
    entities = [_entity("Car", f"{n:03}", n=n) for n in range(500)]
    for n, entity in enumerate(entities):
        entity["entityHeader"]["createdAt"] = n
    assert producer.post(_event(*entities)).status == 200
    rows = producer.rows("SELECT entity_id, (extract(epoch FROM created_at) * 1000)::int FROM entities ORDER BY 1")
    assert rows == [(f"{n:03}", n) for n in range(500)]


def test_a_missing_id_and_dates_are_filled_once_for_all_tables(producer: Any) -> None:
    """The answer, both tables and the header JSON agree (EV-15, EV-16)."""
    reply = producer.post({"eventHeader": {"eventName": "n"}, "entities": [_entity("Boat", "b")]})
    assert reply.status == 200
    query = (
        "SELECT b.id, h.id, h.header_data ->> 'uuid', e.event_id, b.saved_date = h.saved_date,"
        " b.saved_date = (h.header_data ->> 'savedDate')::timestamptz, b.created_date = b.saved_date,"
        " now() - b.saved_date < '1 minute' FROM business_events b, event_headers h, entities e"
    )
    identity = reply.body["event_id"]
    assert producer.rows(query) == [(identity, identity, identity, identity, True, True, True, True)]


def test_an_unknown_entity_type_is_stored(producer: Any) -> None:
    """A new type needs no code and no migration (EV-62, EV-95)."""
    assert producer.post(_event(_entity("Submarine", "s", depth=1))).status == 200
    assert producer.rows("SELECT entity_type FROM entities") == [("Submarine",)]


def test_dealers_reach_the_header_when_configured(make_producer: Any) -> None:
    """With HEADER_ENTITY_FIELDS dealer events can be told apart by their header JSON (EV-121, FL-20, FL-21)."""
    producer = make_producer(HEADER_ENTITY_FIELDS="ServiceRecord.dealerId")
    for number in (1, 2, 3):
        assert producer.post(schemas.samples()[f"service-dealer-00{number}"]).status == 200
    rows = producer.rows("SELECT header_data ->> 'dealerId' FROM event_headers ORDER BY 1")
    assert rows == [("DEALER-001",), ("DEALER-002",), ("DEALER-003",)]


def test_a_failure_rolls_everything_back(producer: Any) -> None:
    """A trigger that refuses the entity leaves no event and no header: 500 with the message (EV-25, EV-50)."""
    producer.change(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no boats' USING DETAIL = 'secret detail'; END $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON entities FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    reply = producer.post(CAR)
    assert (reply.status, reply.headers) == (500, HEADERS)
    assert reply.body == {"error": "Error processing event: no boats", "status": 500}
    assert producer.counts() == (0, 0, 0)


def test_a_unique_violation_on_entities_is_no_duplicate(producer: Any) -> None:
    """Only the event tables make a 409 (EV-53)."""
    producer.change("CREATE UNIQUE INDEX one_colour ON entities ((entity_data ->> 'color'))")
    assert producer.post(_event(_entity("Car", "1", color="red"))).status == 200
    reply = producer.post(_event(_entity("Car", "2", color="red")))
    assert reply.status == 500
    assert "one_colour" in reply.body["error"]


def test_of_two_posts_of_one_id_at_once_one_wins(producer: Any) -> None:
    """Exactly one 200 and one 409, every time (EV-54)."""
    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            event, together = _event(_entity("Car", "c")), Barrier(2)

            def post(event: dict[str, Any] = event, together: Barrier = together) -> int:
                together.wait(10)
                status: int = producer.post(event).status
                return status

            assert sorted(one.result(20) for one in [threads.submit(post), threads.submit(post)]) == [200, 409]


def test_events_on_the_same_entities_at_once_all_succeed(producer: Any) -> None:
    """Whatever the order of their entities, no deadlock and no failure (EV-53, EV-56)."""
    keys = ["a", "b", "c", "d"]
    events = [_event(*(_entity("Car", key) for key in keys[n % 4 :] + keys[: n % 4])) for n in range(60)]
    with ThreadPoolExecutor(4) as threads:
        statuses = [reply.status for reply in threads.map(producer.post, events)]
    assert statuses == [200] * 60
    assert producer.counts() == (60, 60, 4)


REFUSED: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "EV-19": ("{not json", 400, {"error": "Invalid JSON", "status": 400}),
    "EV-19 no body": (None, 400, {"error": "Invalid JSON", "status": 400}),
    "EV-20": ({"entities": []}, 422, {"error": "Invalid event structure: eventHeader: Field required", "status": 422}),
    "EV-21": (_event(eventName=""), 422, {"error": "Event header event_name is required", "status": 422}),
    "EV-22": (_event(), 422, {"error": "Event must contain at least one entity", "status": 422}),
    "EV-23 type": (_event(_entity("", "1")), 422, {"error": "Entity type cannot be empty", "status": 422}),
    "EV-23 id": (_event(_entity("Car", "")), 422, {"error": "Entity ID cannot be empty", "status": 422}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_event_gets_its_exact_answer_and_leaves_nothing(case: str, producer: Any) -> None:
    """Word for word, and no row (EV-19 to EV-23)."""
    body, status, expected = REFUSED[case]
    reply = producer.post(body)
    assert (reply.status, reply.headers, reply.body) == (status, HEADERS, expected)
    assert producer.counts() == (0, 0, 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PUT", ""), ("POST", "/health"), ("GET", "/bulk"), ("POST", "/other"), ("POST", "/")],
)
def test_another_path_or_method_is_not_found(method: str, path: str, producer: Any) -> None:
    """404 with the contract's body (EV-7)."""
    reply = producer.call(method, path, CAR)
    assert (reply.status, reply.headers, reply.body) == (404, HEADERS, {"error": "Not Found", "status": 404})


def test_a_browser_may_ask_first(producer: Any) -> None:
    """OPTIONS of a known path answers with the headers that allow the request (EV-6)."""
    assert [(producer.call("OPTIONS", path).status) for path in ("", "/bulk", "/health")] == [204, 204, 204]
    assert producer.call("OPTIONS", "").headers == HEADERS


def test_health_asks_the_database(producer: Any) -> None:
    """200 with the contract's body (EV-42)."""
    reply = producer.call("GET", "/health")
    assert (reply.status, reply.headers) == (200, HEADERS)
    assert reply.body == {"status": "healthy", "message": "Producer API is healthy", "database": "connected"}


def test_a_fault_of_ours_is_a_500_that_tells_nothing(producer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler never raises; an array goes on without the event (EV-8, EV-34)."""
    store = producer.service.api._store
    real = store.store

    def sometimes(event: Any, deadline: Any) -> Any:
        if event.name == "bad":
            message = f"a secret about {event.id}"
            raise RuntimeError(message)
        return real(event, deadline)

    monkeypatch.setattr(store, "store", sometimes)
    bad, good = _event(_entity("Car", "c"), eventName="bad"), _event(_entity("Car", "c"))
    with capture_logs() as logs:
        reply = producer.post(bad)
        assert (reply.status, reply.headers) == (500, HEADERS)
        assert reply.body == {
            "error": "Internal Server Error",
            "message": "An error occurred processing the request",
            "status": 500,
        }
        assert producer.post_all([bad, good]).body["errors"] == ["Event 0: internal error"]
    assert [(line["event"], line["error"]) for line in logs] == [("request_failed", "RuntimeError")] * 2
    assert "sometimes" in logs[0]["at"]
    assert "secret" not in str(logs)

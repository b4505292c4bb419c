"""Whatever is posted gets an answer of the contract, never a 500 (EV-8, EV-19, EV-20)."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.api import Request

HEADER = {"eventName": "n"}
ABOUT = {"entityId": "1", "entityType": "Car", "createdAt": 1, "updatedAt": 1}

# The database outlives the examples on purpose: they must not disturb each other either.
_against_one_database = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

_TEXT = st.text(st.characters(codec=None, categories=None), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.sampled_from([1e308, 10**25, "\0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_VALUE = _JSON | st.sampled_from(["", "x" * 256, "2026-01-01T00:00:00Z", "x"])


def _object(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of these keys, with good or bad values."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, _VALUE))


_ENTITY = st.builds(
    lambda properties, about: {**properties, "entityHeader": {**ABOUT, **about}},
    st.dictionaries(_TEXT, _JSON, max_size=3),
    _object("entityId", "entityType", "createdAt", "updatedAt", "entity_id"),
)
_EVENT = st.builds(
    lambda header, entities, rest: {"eventHeader": {**HEADER, **header}, "entities": entities, **rest},
    _object("uuid", "eventName", "eventType", "createdDate", "savedDate", "event_type"),
    st.lists(_ENTITY, max_size=3) | _VALUE,
    _object("filters", "event_header"),
)


def _send(producer: Any, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Return status and body of an answer, after checking that it has the shape of the contract."""
    answer = producer.service.api.handle(Request("POST", f"/api/v1/events{path}", body, "r", 20.0))
    said = json.loads(answer.body)
    if answer.status == 200:
        assert isinstance(said["success"], bool)
    else:
        assert isinstance(said["error"], str)
        assert said["status"] == answer.status
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status, said


@_against_one_database
@given(body=st.binary() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_answered(producer: Any, body: bytes) -> None:
    """Neither noise nor any JSON is an event: 400 or 422 (EV-19, EV-20)."""
    assert _send(producer, "", body)[0] in {400, 422}
    assert _send(producer, "/bulk", body)[0] in {400, 422}


@_against_one_database
@given(event=_EVENT)
def test_anything_like_an_event_is_stored_or_refused(producer: Any, event: dict[str, Any]) -> None:
    """What is answered with 200 is in all tables as it was sent; the rest is the sender's fault (EV-18 to EV-24)."""
    body = json.dumps(event).encode()
    status, said = _send(producer, "", body)
    assert status in {200, 400, 409, 422}
    if status == 200:
        query = "SELECT event_data = %s::jsonb FROM business_events JOIN event_headers USING (id) WHERE id = %s"
        ((as_sent,),) = producer.rows(query, body.decode(), said["event_id"])
        respelled = "event_header" in event or "event_type" in event["eventHeader"]
        assert as_sent or respelled or any("entity_id" in entity["entityHeader"] for entity in event["entities"])


@_against_one_database
@given(events=st.lists(_EVENT, max_size=4))
def test_any_array_of_such_events_is_accounted_for(producer: Any, events: list[dict[str, Any]]) -> None:
    """Every element is counted once, or all are refused (EV-33 to EV-38)."""
    status, said = _send(producer, "/bulk", json.dumps(events).encode())
    assert status in {200, 400, 422}
    if status == 200:
        assert said["processed"] + said["failed"] == said["total"] == len(events)
        assert len(said["errors"]) == said["failed"]
        assert not any("internal error" in error for error in said["errors"])


def _event_with(value: bytes) -> bytes:
    """An event whose entity has one property, given as JSON bytes."""
    event = {"eventHeader": {**HEADER, "uuid": str(uuid4())}, "entities": [{"entityHeader": ABOUT, "x": "VALUE"}]}
    return json.dumps(event).encode().replace(b'"VALUE"', value)


STORED = {
    "the largest number of a double": b"1.7976931348623157e308",
    "a tiny number": b"1e-400",
    "300 digits": b"9" * 300,
    "five hundred levels": b"[" * 500 + b"]" * 500,
    "a noncharacter": rb'"\uffff"',
    "an astral character": '"\U0001f697"'.encode(),
    "text like SQL": json.dumps("'); DROP TABLE entities; -- %s {0} $1").encode(),
    "five megabytes": b'"%s"' % (b"x" * 5_000_000),
}

REFUSED = {
    "no double": (b"1e400", 400),
    "five thousand digits": (b"9" * 5000, 400),
    "NUL": (rb'"\u0000"', 422),
    "NUL in a key": (rb'{"\u0000": 1}', 422),
    "a lone surrogate": (rb'"\ud800"', 400),
    "bad UTF-8": (b'"\xff"', 400),
    "two thousand levels": (b"[" * 2000 + b"]" * 2000, 400),
    "seven megabytes": (b'"%s"' % (b"x" * 7_000_000), 413),
}

# JSON by its grammar, and beyond what `numeric` holds: only the database finds out.
TOO_FINE = b"0." + b"0" * 17_000 + b"1"


@pytest.mark.parametrize("case", STORED)
def test_strange_but_storable_values_are_stored(case: str, producer: Any) -> None:
    """PostgreSQL's own reading of the value is what it stored (EV-91, EV-93)."""
    assert _send(producer, "", _event_with(STORED[case]))[0] == 200
    query = "SELECT entity_data -> 'x' = %s::jsonb FROM entities"
    assert producer.rows(query, STORED[case].decode()) == [(True,)]


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_nobody_can_store_are_refused(case: str, producer: Any) -> None:
    """The sender's fault, told as such, for one event and for an array (EV-19, EV-20)."""
    value, expected = REFUSED[case]
    assert _send(producer, "", _event_with(value))[0] == expected
    assert _send(producer, "/bulk", b"[%s]" % _event_with(value))[0] == expected
    assert producer.counts() == (0, 0, 0)


def test_what_only_the_database_refuses_is_the_senders_fault_too(producer: Any) -> None:
    """422 with the database's reason; in an array that event alone fails (EV-20, EV-34)."""
    status, said = _send(producer, "", _event_with(TOO_FINE))
    assert (status, said["error"]) == (422, "Invalid event structure: value overflows numeric format")
    status, said = _send(producer, "/bulk", b"[%s,%s]" % (_event_with(TOO_FINE), _event_with(b"1")))
    assert (status, said["processed"], said["errors"]) == (200, 1, ["Event 0: value overflows numeric format"])

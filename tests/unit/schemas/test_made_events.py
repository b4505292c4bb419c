"""Templates and the size generator make valid events (EV-122 to EV-125)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from schemas.events import SIZES, compact_size

Faults = Callable[[dict[str, Any]], list[str]]


@pytest.mark.parametrize("event_type", schemas.EVENT_TYPES)
def test_a_template_makes_a_valid_event_with_the_given_values(event_type: str, event_faults: Faults) -> None:
    """Placeholders take the values given, the rest their defaults (EV-125)."""
    uuid = "0b9a3d52-8d1e-4a58-9d2c-1c4c6f7a9b10"
    event = schemas.render(event_type, uuid=uuid, timestamp="2026-02-03T04:05:06Z", entityId="E-7")
    assert event_faults(event) == []
    assert "{{" not in json.dumps(event)
    assert event["eventHeader"] == {
        "uuid": uuid,
        "eventName": event["eventHeader"]["eventName"],
        "eventType": event_type,
        "createdDate": "2026-02-03T04:05:06Z",
        "savedDate": "2026-02-03T04:05:06Z",
    }
    assert event["entities"][0]["id"] == event["entities"][0]["entityHeader"]["entityId"] == "E-7"


def test_two_events_of_one_template_have_ids_of_their_own() -> None:
    """An id that nobody gave is new each time (EV-125)."""
    one, other = schemas.render("CarCreated"), schemas.render("CarCreated")
    assert one["eventHeader"]["uuid"] != other["eventHeader"]["uuid"]
    assert one["entities"][0]["id"] != other["entities"][0]["id"]


@pytest.mark.parametrize("event_type", schemas.EVENT_TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_named_size_is_met_exactly_by_a_valid_event(event_type: str, size: str, event_faults: Faults) -> None:
    """Bytes of compact UTF-8 JSON (EV-122)."""
    event = schemas.sized_event(event_type, size)
    assert compact_size(event) == SIZES[size]
    assert event_faults(event) == []


@pytest.mark.parametrize("event_type", schemas.EVENT_TYPES)
def test_the_default_entity_is_400_to_500_bytes(event_type: str, event_faults: Faults) -> None:
    """The default size is the entity's (EV-122)."""
    event = schemas.sized_event(event_type)
    assert 400 <= compact_size(event["entities"][0]) <= 500
    assert event_faults(event) == []


@given(event_type=st.sampled_from(list(schemas.EVENT_TYPES)), more=st.integers(0, 6_000))
@settings(max_examples=200, deadline=None)
def test_any_byte_count_is_met_exactly(event_type: str, more: int) -> None:
    """No count above the room that the padding itself takes is missed (EV-122)."""
    size = compact_size(schemas.render(event_type)) + len(',"padding":""') + more
    assert compact_size(schemas.sized_event(event_type, size)) == size


@pytest.mark.parametrize("event_type", schemas.EVENT_TYPES)
def test_a_large_event_is_not_one_field_repeated(event_type: str) -> None:
    """Nested objects, a list of distinct entries and padding share the bytes (EV-123)."""
    entity = schemas.sized_event(event_type, "64k")["entities"][0]
    sizes = {name: compact_size(value) for name, value in entity.items()}
    assert max(sizes.values()) < 0.9 * sum(sizes.values())
    assert sum(isinstance(value, dict) for value in entity.values()) >= 3
    longest = max((value for value in entity.values() if isinstance(value, list)), key=len)
    assert len({json.dumps(entry) for entry in longest}) == len(longest) > 100


def test_what_cannot_be_made_is_an_error_that_says_what_can() -> None:
    """Unknown types, fields and sizes, and too few bytes, name the alternatives (EV-122, EV-125)."""
    with pytest.raises(LookupError, match="there are: CarCreated"):
        schemas.render("CarSold")
    with pytest.raises(LookupError, match="no field colour; it has: color"):
        schemas.render("CarCreated", colour="red")
    with pytest.raises(LookupError, match="there are: default, 4k"):
        schemas.sized_event("CarCreated", "5k")
    with pytest.raises(ValueError, match=r"takes \d+ bytes"):
        schemas.sized_event("CarCreated", 100)

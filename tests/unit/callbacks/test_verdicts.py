"""What a verdict over an event says."""

from copy import deepcopy
from typing import Any

import pytest

import schemas
from callbacks.events import verdict


def _car() -> dict[str, Any]:
    return deepcopy(schemas.samples()["car-created"])


def test_an_entity_of_no_type_is_one_fault() -> None:
    """An unknown type is told once, not once for each type that there is (LC-99)."""
    event = _car()
    event["entities"][0]["entityHeader"]["entityType"] = "Boat"
    faults = verdict(event)["errors"]
    assert [fault["field"] for fault in faults] == ["entities[0].entityHeader.entityType"]
    assert "Boat" in faults[0]["message"]


@pytest.mark.parametrize("event", [None, 7, "x", [], {}, {"eventHeader": {}, "entities": [1]}])
def test_what_is_no_event_is_invalid(event: Any) -> None:
    """Any JSON document gets a verdict (LC-99)."""
    said = verdict(event)
    assert said["valid"] is False
    assert said["errors"]
    assert said["errors"][0]["field"]


def test_a_verdict_has_bounds() -> None:
    """However many faults an event has and however long its texts are, the answer stays short (LC-99)."""
    event = _car()
    event["entities"] = [{"x": "y" * 10_000}] * 200
    faults = verdict(event)["errors"]
    assert len(faults) == 50
    assert max(len(fault["message"]) for fault in faults) <= 300

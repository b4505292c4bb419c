"""The demonstration's verdict: it says `ok` only when every event arrived exactly once."""

import pytest

from stack.journey import DemoResult, Journey, summarise
from stack.sightings import Sighting

TOPIC = "filtered-car-created-events-flink"


def journey(name: str, status: int = 200) -> Journey:
    """Return an event that was posted at 0 s and answered at 2 ms."""
    return Journey(name, "CarCreated", TOPIC, sent=0.0, answered=0.002, status=status)


def seen(*at: float, topic: str = TOPIC) -> list[Sighting]:
    """Return sightings at these times."""
    return [Sighting(topic, 0, offset, moment, {}) for offset, moment in enumerate(at)]


def judge(
    journeys: list[Journey],
    raw: dict[str, list[Sighting]],
    filtered: dict[str, list[Sighting]],
    handled: dict[str, list[float]],
) -> DemoResult:
    """Return the verdict."""
    return summarise(journeys, raw, filtered, handled, timed=journeys)


def test_an_event_seen_once_everywhere_is_delivered() -> None:
    """The hops are counted from the POST, in milliseconds."""
    result = judge([journey("a")], {"a": seen(0.004)}, {"a": seen(0.008)}, {"a": [0.009]})
    assert result.ok
    assert {hop: row["p50"] for hop, row in result.hops_ms.items()} == {
        "post": 2.0,
        "raw_topic": 4.0,
        "filtered_topic": 8.0,
        "consumer": 9.0,
    }
    assert result.topics == {"raw-event-headers": 1, TOPIC: 1}


@pytest.mark.parametrize("place", ["raw", "filtered", "handled"])
def test_an_event_that_a_hop_never_saw_is_missing(place: str) -> None:
    """Whichever hop it was lost before."""
    world = {"raw": {"a": seen(0.004)}, "filtered": {"a": seen(0.008)}, "handled": {"a": [0.009]}}
    world[place] = {}
    result = judge([journey("a")], world["raw"], world["filtered"], world["handled"])  # type: ignore[arg-type]
    assert (result.ok, result.missing, result.delivered) == (False, ("a",), 0)


@pytest.mark.parametrize("place", ["raw", "filtered", "handled"])
def test_an_event_that_a_hop_saw_twice_is_a_duplicate(place: str) -> None:
    """Delivered, but not exactly once."""
    world = {"raw": {"a": seen(0.004)}, "filtered": {"a": seen(0.008)}, "handled": {"a": [0.009]}}
    world[place] = {"a": world[place]["a"] * 2}  # type: ignore[index]
    result = judge([journey("a")], world["raw"], world["filtered"], world["handled"])  # type: ignore[arg-type]
    assert (result.ok, result.duplicates, result.delivered) == (False, ("a",), 1)


def test_an_event_in_a_wrong_topic_is_missing_from_its_own() -> None:
    """The filter that took it is not the one that should have."""
    wrong = seen(0.008, topic="filtered-loan-created-events-flink")
    assert judge([journey("a")], {"a": seen(0.004)}, {"a": wrong}, {"a": [0.009]}).missing == ("a",)


def test_an_event_that_the_api_refused_spoils_the_verdict() -> None:
    """It is told apart from a lost one."""
    result = judge([journey("a", status=503)], {}, {}, {})
    assert (result.ok, result.refused, result.missing) == (False, ("a",), ())


def test_a_hop_is_never_later_than_the_one_behind_it() -> None:
    """A slow watcher does not make a record arrive after its consumer had it."""
    result = judge([journey("a")], {"a": seen(0.020)}, {"a": seen(0.015)}, {"a": [0.010]})
    assert [row["max"] for row in result.hops_ms.values()] == [2.0, 10.0, 10.0, 10.0]

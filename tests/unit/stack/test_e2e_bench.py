"""The measurement of the whole way: what is posted, when, and that its judge sees what is wrong."""

import json
from itertools import islice

import pytest

from stack.e2e_bench.report import EndToEndReport, RateFound
from stack.e2e_bench.sender import Posted, events
from stack.percentiles import p50_p99_max
from stack.routes import RAW_TOPIC, shipped_routes

ROUTES = {"A": "filtered-a", "B": "filtered-b"}

Seen = list[tuple[str, str, float]]


def _posted(*, status: int = 200) -> list[Posted]:
    return [
        Posted("one", "A", due=10.0, answered=10.002, status=200),
        Posted("two", "B", due=10.1, answered=10.103, status=status),
    ]


def _raw(event_id: str, at: float) -> tuple[str, str, float]:
    return RAW_TOPIC, json.dumps({"id": event_id}), at


RIGHT: Seen = [
    _raw("one", 10.004),
    ("filtered-a", "one", 10.006),
    _raw("two", 10.106),
    ("filtered-b", "two", 10.109),
]


def test_events_of_every_routed_type_have_ids_of_their_own() -> None:
    """So no two of them wait for the same rows, and each is known again in every topic (EV-11, FL-1)."""
    routes = shipped_routes()
    made = list(islice(events(list(routes), 1), 40))
    assert {event_type for _, event_type, _ in made} == set(routes)
    assert len({event_id for event_id, _, _ in made}) == 40
    for event_id, event_type, body in made:
        event = json.loads(body)
        assert (event["eventHeader"]["uuid"], event["eventHeader"]["eventType"]) == (event_id, event_type)
        assert event["entities"][0]["entityHeader"]["entityId"] == event_id


def test_hops_count_from_the_moment_an_event_was_due() -> None:
    """An open loop: what waits before it is sent is late as well."""
    found = RateFound(20)
    found.note(_posted(), RIGHT, ROUTES)
    assert (found.lost, found.duplicates, found.refused) == (0, 0, 0)
    assert found.hops_ms["post"] == {"p50": 2.0, "p99": 3.0, "max": 3.0}
    assert found.hops_ms["raw_topic"] == {"p50": 4.0, "p99": 6.0, "max": 6.0}
    assert found.hops_ms["filtered_topic"] == {"p50": 6.0, "p99": 9.0, "max": 9.0}


@pytest.mark.parametrize(
    ("seen", "lost", "duplicates"),
    [
        (RIGHT[:-1], 1, 0),
        (RIGHT[1:], 1, 0),
        ([*RIGHT, ("filtered-a", "one", 11.0)], 0, 1),
        ([*RIGHT, _raw("two", 11.0)], 0, 1),
        ([*RIGHT, ("filtered-b", "one", 11.0)], 0, 1),
        ([*RIGHT[:-1], ("filtered-a", "two", 11.0)], 1, 1),
        ([], 4, 0),
    ],
    ids=["not filtered", "not captured", "filtered twice", "captured twice", "too far", "astray", "nothing"],
)
def test_the_judge_sees_what_is_lost_repeated_or_astray(seen: Seen, lost: int, duplicates: int) -> None:
    """Each event must be once in the raw topic and once in the topic of its type, and nowhere else (FL-48)."""
    found = RateFound(20)
    found.note(_posted(), seen, ROUTES)
    assert (found.lost, found.duplicates) == (lost, duplicates)


def test_a_refused_event_is_neither_lost_nor_a_success() -> None:
    """The producer said so; a run with refusals is not good."""
    found = RateFound(20)
    found.note(_posted(status=503), RIGHT[:2], ROUTES)
    assert (found.lost, found.refused) == (0, 1)
    assert not EndToEndReport((found,), RateFound(1)).ok


def test_events_of_the_warm_up_are_counted_and_not_timed() -> None:
    """What they lose is told as well."""
    warm, found = RateFound(300), RateFound(20)
    warm.note(_posted(), RIGHT[:-1], ROUTES, timed=False)
    found.note(_posted(), RIGHT, ROUTES)
    report = EndToEndReport((found,), warm)
    assert (warm.rounds, warm.lost) == ([], 1)
    assert report.as_dict()["warm_up"] == {"rate": 300, "events": 2, "lost": 1, "duplicates": 0, "refused": 0}
    assert not report.ok


def test_one_rate_stands_at_the_top_of_the_report_and_several_in_a_list() -> None:
    """The medians of the rounds are told."""
    found = RateFound(20)
    for late in (0.0, 0.1, 0.002):
        found.note(_posted(), [(topic, key, at + late) for topic, key, at in RIGHT], ROUTES)
    alone = EndToEndReport((found,), RateFound(1)).as_dict()
    assert (alone["p50_ms"], alone["p99_ms"], alone["lost"], alone["duplicates"]) == (8.0, 11.0, 0, 0)
    assert alone["hops_ms"] == found.hops_ms
    several = EndToEndReport((found, found), RateFound(1)).as_dict()
    assert "p50_ms" not in several
    assert several["rates"] == [found.as_dict()] * 2


def test_percentiles_are_values_that_occurred() -> None:
    """Nothing is interpolated, and the last one is the maximum."""
    assert p50_p99_max([float(number) for number in range(1, 201)]) == {"p50": 100.0, "p99": 198.0, "max": 200.0}
    assert p50_p99_max([7.0]) == {"p50": 7.0, "p99": 7.0, "max": 7.0}

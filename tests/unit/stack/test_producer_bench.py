"""The measurement of the producer: what it posts, and that its judge sees what is wrong."""

import json
from random import Random

import pytest

from stack.producer_bench.contestants import Taken
from stack.producer_bench.gateway_events import maker
from stack.producer_bench.report import HANDLER, PREPARED, UNPREPARED, ProducerReport, Series


def test_every_posted_event_has_ids_of_its_own() -> None:
    """The same document otherwise, event id and entity id alike in every place (EV-3, EV-11, EV-12)."""
    make = maker(Random().randrange(2**32))
    first, second = (make() for _ in range(2))
    bodies = [json.loads(event["body"]) for event in (first, second)]
    ids = [body["eventHeader"]["uuid"] for body in bodies]
    assert ids[0] != ids[1]
    for body, identity in zip(bodies, ids, strict=True):
        (entity,) = body["entities"]
        assert entity["entityHeader"]["entityId"] == entity["id"] == identity
        assert len(identity) == 36
    assert first["body"].replace(ids[0], ids[1]) == second["body"]


@pytest.mark.parametrize(
    ("rows", "lost", "duplicates"),
    [((10, 10, 10), 0, 0), ((9, 10, 8), 3, 0), ((10, 12, 10), 0, 2), ((9, 11, 10), 1, 1)],
)
def test_rows_are_compared_with_what_was_answered(rows: tuple[int, int, int], lost: int, duplicates: int) -> None:
    """A table that has fewer rows has lost some, one that has more has some twice."""
    series = Series()
    series.note(Taken(rate=5.0, committed=10, refused=0, client_us=1.0), rows)
    assert (series.lost, series.duplicates) == (lost, duplicates)


def _series(*rates: float, refused: int = 0) -> Series:
    return Series(rates=list(rates), client_us=[50.0] * len(rates), refused=refused)


def test_ratios_are_those_of_the_same_round() -> None:
    """A machine that is slower in one round is so for both (the median of three ratios, not a ratio of medians)."""
    by_name = {HANDLER: _series(90, 50, 110), PREPARED: _series(100, 40, 100), UNPREPARED: _series(50, 20, 50)}
    report = ProducerReport({1: by_name, 8: by_name}, {"fsync": "on"}, 5).as_dict()
    assert (report["ratio_1_client"], report["ratio_8_clients"]) == (1.1, 1.1)
    assert (report["ratio_1_client_unprepared"], report["ratio_8_clients_unprepared"]) == (0.5, 0.5)
    assert report["ok"]


def test_a_refused_transaction_is_no_success() -> None:
    """A speed that was bought with refusals is not reported as good."""
    report = ProducerReport({1: {HANDLER: _series(1, refused=1), PREPARED: _series(1), UNPREPARED: _series(1)}}, {}, 1)
    assert not report.ok

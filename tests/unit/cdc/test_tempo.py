"""Records gather only while they come fast, and there is no flutter between the two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.tempo import Tempo


def rate(tempo: Tempo, start: float, records: int, seconds: float) -> bool:
    """Send records evenly in rounds of a millisecond; return what they come in at the end."""
    rounds = int(seconds * 1000)
    for number in range(1, rounds + 1):
        tempo.note(records * number // rounds - records * (number - 1) // rounds, start + number / 1000)
    return tempo.bulk


@pytest.mark.parametrize(("records", "bulk"), [(100, False), (1_000, False), (4_000, False), (20_000, True)])
def test_only_many_records_a_second_come_in_bulk(records: int, bulk: bool) -> None:
    """At a thousand a second each record goes at once."""
    assert rate(Tempo(), 5.0, records, 1) is bulk


def test_bulk_ends_when_records_become_few() -> None:
    """Between the two rates it stays as it is, and a silence ends it."""
    tempo = Tempo()
    assert rate(tempo, 0.0, 20_000, 1)
    assert rate(tempo, 1.0, 7_000, 1)
    assert not rate(tempo, 2.0, 3_000, 1)
    assert not rate(tempo, 3.0, 7_000, 1)
    assert rate(tempo, 4.0, 20_000, 1)
    assert not tempo.note(0, 6.0)


@given(st.lists(st.tuples(st.integers(0, 2_000), st.floats(0, 0.2)), max_size=60))
def test_bulk_is_never_said_of_fewer_than_the_lower_rate(rounds: list[tuple[int, float]]) -> None:
    """Whatever comes when, bulk means that more than 5,000 a second came since the last look."""
    tempo, now, since, count = Tempo(), 0.0, 0.0, 0
    tempo.note(0, now)
    for records, pause in rounds:
        now, count = now + pause, count + records
        bulk = tempo.note(records, now)
        if now - since >= 0.05:
            assert not bulk or count / (now - since) >= 5_000
            since, count = now, 0

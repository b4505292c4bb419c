"""What is known of sizes before a record is sent, and what a refusal teaches when it was not enough."""

import pytest

from cdc.letters.refusals import Refusal, Refusals
from cdc.letters.sizes import ASSUMED, limits, producer_sizes, wire_size
from cdc.lsn import Lsn, Position
from cdc.records import TopicName

A, B = TopicName("a"), TopicName("b")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {A: 20_000, B: ASSUMED}),
        ({"message.max.bytes": "5000000"}, {A: 20_000, B: 5_000_000}),
        ({"message.max.bytes": "5000"}, {A: 5000, B: 5000}),
        ({"message.max.bytes": "5000000", "compression.type": "zstd"}, {A: 5_000_000, B: 5_000_000}),
        ({"compression.type": "zstd"}, {A: 20_000, B: ASSUMED}),
        ({"message.max.bytes": "5000000", "compression.type": "none"}, {A: 20_000, B: 5_000_000}),
    ],
)
def test_the_smaller_of_what_topic_and_user_say_counts(given: dict[str, str], expected: dict[TopicName, int]) -> None:
    """Compressed sizes are known to the broker only, so with compression the user's word alone counts."""
    assert limits({A: 20_000, B: None}, given) == expected


def test_a_batch_fits_the_smallest_topic_and_a_record_the_largest() -> None:
    """The producer is one for all topics."""
    sizes = producer_sizes({A: 20_000, B: 5_000_000}, {})
    assert sizes["batch.size"] == 20_000
    assert sizes["message.max.bytes"] >= 5_000_000
    assert producer_sizes({A: 20_000}, {"batch.size": "100"})["batch.size"] == 100
    assert producer_sizes({A: 100}, {})["message.max.bytes"] >= 1000
    assert producer_sizes({}, {})["batch.size"] == ASSUMED


@pytest.mark.parametrize(("value", "expected"), [(19_920, 19_998), (19_922, 20_000), (19_923, 20_001)])
def test_a_records_size_is_the_brokers(value: int, expected: int) -> None:
    """Of these three a broker with max.message.bytes=20000 takes the first two (a key of 2, a header of 1 and 1)."""
    assert wire_size(b"k0", bytes(value), [("p", b"0")]) == expected
    assert wire_size(b"k0", None, []) < wire_size(b"k0", b"", [("p", None)])


def test_a_refusal_leads_to_the_record_in_three_sessions_at_most() -> None:
    """Ask again, then one record a batch, then a letter of the record that is named; and never for ever."""
    refusals, unnamed = Refusals(), Refusal(A)
    named = Refusal(A, Position(Lsn(8), 4), b"k")
    assert refusals.learn(unnamed, known=True, steady=False)
    assert not refusals.careful
    assert refusals.learn(unnamed, known=True, steady=False)
    assert refusals.careful
    assert refusals.learn(named, known=True, steady=False)
    assert refusals.places == {(A, Position(Lsn(8), 4)), (A, b"k")}
    assert not refusals.learn(named, known=True, steady=False)


def test_a_limit_that_nobody_tells_makes_the_engine_careful_at_once() -> None:
    """Asking again would give no other answer; a limit lowered after a good while is a new trouble."""
    unknown, lowered = Refusals(), Refusals()
    unknown.learn(Refusal(A), known=False, steady=True)
    assert unknown.careful
    lowered.learn(Refusal(A), known=True, steady=True)
    lowered.learn(Refusal(A), known=True, steady=True)
    assert not lowered.careful

"""A record is skipped exactly when its own partition already holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.lsn import Lsn, Position
from cdc.positions import Floors, murmur2, partition_of
from cdc.records import Record, TopicName

RAW = TopicName("raw")


def record(key: bytes, lsn: int, ordinal: int = 4) -> Record:
    """Return a record at a position."""
    return Record(RAW, key, b"{}", Position(Lsn(lsn), ordinal), [])


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas(key: bytes, signed: int) -> None:
    """The values of Kafka's own test of its murmur2."""
    assert murmur2(key) == signed % 2**32


@given(st.binary(max_size=100), st.integers(1, 200))
def test_a_partition_is_one_of_those_there_are(key: bytes, partitions: int) -> None:
    """Negative hashes too land within the topic."""
    assert 0 <= partition_of(key, partitions) < partitions


@given(
    st.lists(st.none() | st.builds(Position, st.integers(0, 50).map(Lsn), st.integers(0, 9)), min_size=1, max_size=6),
    st.binary(min_size=1, max_size=8),
    st.integers(0, 60),
    st.integers(0, 9),
)
def test_only_the_own_partition_decides(floors: list[Position | None], key: bytes, lsn: int, ordinal: int) -> None:
    """Another partition that is further on says nothing about this record."""
    own = floors[partition_of(key, len(floors))]
    candidate = record(key, lsn, ordinal)
    held = Floors({RAW: floors}).hold(candidate)
    assert held == (own is not None and candidate.position <= own)


@given(
    st.lists(st.none() | st.builds(Position, st.integers(0, 50).map(Lsn), st.integers(0, 9)), min_size=1, max_size=6),
    st.binary(min_size=1, max_size=8),
    st.integers(0, 60),
)
def test_the_search_ends_only_where_nothing_can_be_held(floors: list[Position | None], key: bytes, lsn: int) -> None:
    """A record beyond every floor is in no partition, so the rest of the run need not look."""
    known, candidate = Floors({RAW: floors}), record(key, lsn)
    if known.passed_by(candidate):
        assert not known.hold(candidate)


def test_an_empty_topic_holds_nothing() -> None:
    """The first record of all is beyond every floor there is."""
    assert Floors({RAW: [None, None]}).passed_by(record(b"k", 0, 0))

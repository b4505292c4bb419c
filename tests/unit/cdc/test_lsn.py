"""LSNs and positions keep their value and their order through text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.lsn import LARGEST_LSN, STEPS, Lsn, Position, format_lsn, parse_lsn

lsns = st.integers(0, LARGEST_LSN).map(Lsn)
positions = st.builds(Position, lsns, st.integers(0, 2**62))


@given(lsns)
def test_an_lsn_survives_its_text(lsn: Lsn) -> None:
    """What PostgreSQL prints is read back as the same number."""
    assert parse_lsn(format_lsn(lsn)) == lsn


def test_the_text_is_that_of_postgres() -> None:
    """The manual's example of the `pg_lsn` type."""
    assert format_lsn(0x16_B374D848) == "16/B374D848"
    assert parse_lsn("0/0") == 0


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/0/0", "0/123456789", "x/0", " 0/0", "-1/0"])
def test_what_is_no_lsn_is_refused(text: str) -> None:
    """A cut or foreign text is an error, never another LSN."""
    with pytest.raises(ValueError, match="not an LSN"):
        parse_lsn(text)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_beyond_64_bits_is_refused(number: int) -> None:
    """An overflow is an error, never a text that looks right."""
    with pytest.raises(ValueError, match="not an LSN"):
        format_lsn(number)


@given(positions)
def test_a_position_survives_its_header(position: Position) -> None:
    """What a restart reads from a topic is what was written."""
    assert Position.decode(position.encode()) == position


@given(positions, positions)
def test_positions_are_ordered_by_commit_then_ordinal(one: Position, other: Position) -> None:
    """A later transaction is later whatever the ordinals; within one the ordinal decides."""
    assert (one < other) == (one.lsn < other.lsn or (one.lsn == other.lsn and one.ordinal < other.ordinal))


@given(st.integers(1, 2**60).map(lambda n: Lsn(n * 8)), st.integers(0, 2**40))
def test_a_snapshot_row_stands_between_what_it_holds_and_what_follows(point: Lsn, row: int) -> None:
    """It is after every commit before the consistent point and before a commit exactly at it."""
    position = Position.of_snapshot_row(point, row)
    assert Position(Lsn(point - 8), 2**62) < position < Position(point, STEPS)


@pytest.mark.parametrize("data", [b"", b"0/0", b"0/0/", b"0/0/x", b"0/0/1 ", b"0/0/-1"])
def test_a_foreign_header_is_no_position(data: bytes) -> None:
    """A header of the same name with another content is refused."""
    with pytest.raises(ValueError, match="not a position"):
        Position.decode(data)

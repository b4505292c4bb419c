"""Dates are read in three spellings and stored in one (EV-13, EV-14)."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from producer.instants import parse_instant, write_instant

READ = {
    "2026-01-15T10:30:00Z": "2026-01-15T10:30:00Z",
    "2026-01-15t10:30:00z": "2026-01-15T10:30:00Z",
    "2026-01-15T10:30:00+02:00": "2026-01-15T08:30:00Z",
    "2026-01-15T10:30:00-0530": "2026-01-15T16:00:00Z",
    "2026-01-15T10:30:00": "2026-01-15T10:30:00Z",
    "2026-01-15 10:30": "2026-01-15T10:30:00Z",
    "2026-01-15": "2026-01-15T00:00:00Z",
    "20260115T103000Z": "2026-01-15T10:30:00Z",
    "2026-01-15T10:30:00.5Z": "2026-01-15T10:30:00.500000Z",
    "2026-01-15T10:30:00.500000Z": "2026-01-15T10:30:00.500000Z",
    "2026-01-15T10:30:00.000000Z": "2026-01-15T10:30:00Z",
    "2026-01-15T10:30:00.123456789Z": "2026-01-15T10:30:00.123456Z",
    1768473000000: "2026-01-15T10:30:00Z",
    1768473000123.0: "2026-01-15T10:30:00.123000Z",
    "1768473000123": "2026-01-15T10:30:00.123000Z",
    0: "1970-01-01T00:00:00Z",
    -1: "1969-12-31T23:59:59.999000Z",
}


@pytest.mark.parametrize(("given_as", "stored_as"), READ.items(), ids=repr)
def test_each_spelling_is_read_as_one_instant(given_as: object, stored_as: str) -> None:
    """ISO 8601, epoch milliseconds as number and as digits; no offset means UTC (EV-13, EV-14)."""
    assert parse_instant(given_as) == stored_as


REFUSED = [
    "",
    "yesterday",
    "2026-13-01",
    "2026-02-30",
    "2026-02-30T10:30:00Z",
    "2026-W03-4T10:30:00Z",
    "0000-01-01T00:00:00Z",
    "2026-01-15T24:00:00Z",
    "2026-01-15x10:30:00",
    "2026-01-15T25:00:00Z",
    "2026-01-15T10:30:00Z and more",
    "2026-01-15T10:30:00+99:00",
    "15/01/2026",
    "-1",
    "1.5",
    "١٢٣",
    "9" * 18,
    "9" * 5000,
    "0001-01-01T00:00:00+01:00",
    10**30,
    float("1e300"),
    True,
    None,
    [],
    {"$date": 1},
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: repr(value)[:30])
def test_anything_else_is_refused(value: object) -> None:
    """Other texts, other types, and instants outside the years 1 to 9999 (EV-13)."""
    with pytest.raises(PydanticCustomError, match="not a date"):
        parse_instant(value)


_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=_OFFSETS))  # noqa: DTZ001
def test_every_instant_survives_reading_and_writing(instant: datetime) -> None:
    """Text in any offset comes back as the same instant, in UTC (EV-13, EV-14)."""
    written = parse_instant(instant.isoformat())
    assert written == write_instant(instant)
    assert datetime.fromisoformat(written) == instant
    assert datetime.fromisoformat(written).tzinfo == UTC


@given(st.text() | st.integers() | st.floats(allow_nan=False) | st.none() | st.booleans())
def test_reading_either_returns_an_instant_or_refuses(value: object) -> None:
    """No other exception leaves it, whatever it is given (EV-8)."""
    with suppress(PydanticCustomError):
        assert parse_instant(value).endswith("Z")

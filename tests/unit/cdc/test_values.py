"""Texts of PostgreSQL become JSON values in Debezium's forms; nothing is rounded, shortened or guessed (CD-42)."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.postgres import types

from cdc.values import JsonValue, converter, money


def convert(type_name: str, text: str, modifier: int = -1) -> JsonValue:
    """Return the JSON value of a text, as the envelope would."""
    function = converter(types[type_name].oid, modifier)
    return text if function is None else function(text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-21 03:05:00.123456+00", "2026-11-21T03:05:00.123456Z"),
        ("2026-11-21 03:05:00.12+00", "2026-11-21T03:05:00.12Z"),
        ("2026-11-21 03:05:00+00", "2026-11-21T03:05:00Z"),
        ("0001-01-01 00:00:00+00", "0001-01-01T00:00:00Z"),
        ("0001-12-31 23:59:59.9+00 BC", "0000-12-31T23:59:59.9Z"),
        ("0044-03-15 00:00:00+00 BC", "-0043-03-15T00:00:00Z"),
        ("4714-11-24 00:00:00+00 BC", "-4713-11-24T00:00:00Z"),
        ("10000-01-01 00:00:00+00", "+10000-01-01T00:00:00Z"),
        ("294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_is_iso_8601_in_utc(text: str, iso: str) -> None:
    """Microseconds as far as they are there, years before 1 and beyond 9999."""
    assert convert("timestamptz", text) == iso
    assert convert("timestamp", text.replace("+00", "")) == iso


def test_infinite_instants_are_those_of_debezium() -> None:
    """Measured on 3.7.0: a word with a time zone, the driver's last instant without one."""
    assert [convert("timestamptz", text) for text in ("infinity", "-infinity")] == ["infinity", "-infinity"]
    assert convert("timestamp", "infinity") == "+292278994-08-16T23:00:00Z"
    assert convert("timestamp", "-infinity") == "-292275055-05-16T23:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_keeps_every_microsecond(instant: datetime) -> None:
    """Whatever the fraction, the ISO text names the same instant."""
    fraction = f".{instant.microsecond:06}".rstrip("0") if instant.microsecond else ""
    text = f"{instant:%Y-%m-%d %H:%M:%S}{fraction}+00"
    text = text.rjust(len(text) + 4 - text.index("-"), "0")
    value = convert("timestamptz", text)
    assert isinstance(value, str)
    assert datetime.fromisoformat(value) == instant


@pytest.mark.parametrize("text", ["", "2026-11-21", "2026-11-21 03:05:00+02", "21.11.2026 03:05:00+00", "today"])
def test_an_instant_of_another_session_is_refused(text: str) -> None:
    """A text that is not ISO and UTC is an error, never a wrong time."""
    with pytest.raises(ValueError, match="not an instant"):
        convert("timestamptz", text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-21", "2026-11-21Z"),
        ("0044-03-15 BC", "-0043-03-15Z"),
        ("10000-01-01", "+10000-01-01Z"),
        ("infinity", "+5877611-06-21Z"),
        ("-infinity", "-5877611-06-22Z"),
    ],
)
def test_a_date_is_iso_8601(text: str, iso: str) -> None:
    """Dates follow the same rules as instants."""
    assert convert("date", text) == iso


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("bool", "t", True),
        ("bool", "f", False),
        ("int2", "-32768", -32768),
        ("int8", "9223372036854775807", 9223372036854775807),
        ("oid", "4294967295", 4294967295),
        ("float8", "0.1", 0.1),
        ("float8", "1e+300", 1e300),
        ("float8", "NaN", "NaN"),
        ("float8", "-Infinity", "-Infinity"),
        ("float4", "3.4028235e+38", 3.4028235e38),
        ("numeric", "123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ("numeric", "NaN", "NAN"),
        ("numeric", "Infinity", "POSITIVE_INFINITY"),
        ("numeric", "-Infinity", "NEGATIVE_INFINITY"),
        ("time", "10:15:30.5", "10:15:30.5Z"),
        ("jsonb", '{"a": 1}', '{"a": 1}'),
        ("uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("text", "", ""),
    ],
)
def test_a_value_has_one_form(type_name: str, text: str, value: JsonValue) -> None:
    """Numbers that JSON can hold exactly are numbers; numeric, JSON and unknown types stay text."""
    converted = convert(type_name, text)
    assert converted == value
    assert type(converted) is type(value)


@given(st.binary(max_size=200))
def test_bytes_are_base64(content: bytes) -> None:
    """Every byte string comes back from its base64."""
    value = convert("bytea", "\\x" + content.hex())
    assert isinstance(value, str)
    assert base64.b64decode(value, validate=True) == content


def test_bytes_of_another_session_are_refused() -> None:
    """The escape format would be read as something else."""
    with pytest.raises(ValueError, match="bytea_output"):
        convert("bytea", "abc")


def test_a_type_without_a_rule_keeps_its_text() -> None:
    """Of an unknown type nothing is guessed."""
    assert converter(999_999) is None


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"),
        ("-1 days -02:03:04.5", "P0Y0M-1DT-2H-3M-4.5S"),
        ("1 mon -1 days +02:03:04", "P0Y1M-1DT2H3M4S"),
        ("-1 years -2 mons", "P-1Y-2M0DT0H0M0S"),
        ("00:00:00", "P0Y0M0DT0H0M0S"),
        ("00:00:00.3", "P0Y0M0DT0H0M0.3S"),
        ("-00:00:00.5", "P0Y0M0DT0H0M-0.5S"),
        ("00:00:20", "P0Y0M0DT0H0M20S"),
        ("00:00:00.000001", "P0Y0M0DT0H0M0.000001S"),
        ("1000:00:00", "P0Y0M0DT1000H0M0S"),
        ("infinity", "infinity"),
    ],
)
def test_an_interval_is_debeziums_duration(text: str, iso: str) -> None:
    """Every part with its own sign, microseconds exact."""
    assert convert("interval", text) == iso


@pytest.mark.parametrize("text", ["", "P1D", "@ 1 day", "1 day ago", "1-2"])
def test_an_interval_of_another_style_is_refused(text: str) -> None:
    """Only the style of the engine's session is read."""
    with pytest.raises(ValueError, match="intervalstyle"):
        convert("interval", text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("10:15:30.5+02", "08:15:30.5Z"),
        ("00:15:00+05:30", "18:45:00Z"),
        ("23:59:59.999999-01:00:01", "01:00:00.999999Z"),
        ("12:00:00+00", "12:00:00Z"),
        ("24:00:00-01", "01:00:00Z"),
    ],
)
def test_a_time_with_time_zone_is_shifted_to_utc(text: str, iso: str) -> None:
    """As Debezium shifts it: the day it may fall on is not told."""
    assert convert("timetz", text) == iso


@pytest.mark.parametrize(
    ("modifier", "text", "value"),
    [(1, "1", True), (1, "0", False), (2, "11", "Aw=="), (10, "1000000001", "AQI="), (8, "00000000", ""), (-1, "", "")],
)
def test_one_bit_is_a_boolean_and_more_are_bytes(modifier: int, text: str, value: object) -> None:
    """The lowest byte first, leading zeros left out: Debezium's BitSet."""
    assert convert("bit", text, modifier) == convert("varbit", text, modifier) == value


@pytest.mark.parametrize(
    ("digits", "text", "value"),
    [
        (2, "$1,234.50", "1234.50"), (2, "-$1,234.50", "-1234.50"), (2, "1.234,50 €", "1234.50"),
        (2, "($0.05)", "-0.05"), (0, "￥1,234", "1234"), (3, "د.ك.1,234.567", "1234.567"),
        (2, "-$92,233,720,368,547,758.08", "-92233720368547758.08"),
    ],
)  # fmt: skip
def test_money_is_a_number_in_every_locale(digits: int, text: str, value: str) -> None:
    """Symbol and grouping are the locale's; digits are digits."""
    assert money(digits)(text) == value

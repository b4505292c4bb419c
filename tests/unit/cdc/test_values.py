"""Texts of PostgreSQL become JSON values in Debezium's forms; nothing is rounded, shortened or guessed (CD-42)."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.postgres import types

from cdc.values import JsonValue, converter


def convert(type_name: str, text: str) -> JsonValue:
    """Return the JSON value of a text, as the envelope would."""
    function = converter(types[type_name].oid)
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
        ("infinity", "+292278994-08-16T23:00:00Z"),
        ("-infinity", "-292275055-05-16T23:00:00Z"),
    ],
)
def test_an_instant_is_iso_8601_in_utc(text: str, iso: str) -> None:
    """Microseconds as far as they are there, years before 1 and beyond 9999, and infinity as Debezium has it."""
    assert convert("timestamptz", text) == iso
    assert convert("timestamp", text.replace("+00", "")) == iso


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
        ("numeric", "NaN", "NaN"),
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

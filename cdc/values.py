"""Owns how one column's text becomes a JSON value, by type. Knows no table and no record.

The forms are those of Debezium with `time.precision.mode=isostring`, `decimal.handling.mode=string` and
`binary.handling.mode=base64`, so that either engine can feed the same readers. A type without a rule of its own keeps
PostgreSQL's text. The texts are those of a session with the settings of `SESSION_SETTINGS`.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from psycopg.postgres import types

JsonValue: TypeAlias = str | int | float | bool | None
Converter: TypeAlias = Callable[[str], JsonValue]

SESSION_SETTINGS: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
"""What every session sets, walsender included, so that one value has one text (PostgreSQL manual, chapter 20.11)."""

_DATE: Final = re.compile(r"(\d{4,7})(-\d\d-\d\d)( BC)?")
_INSTANT: Final = re.compile(r"(\d{4,6})(-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:\+00)?( BC)?")
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})

# Java's rendering of the JDBC driver's infinities, which is what Debezium writes for them.
_INFINITE_INSTANT: Final = {
    "infinity": "+292278994-08-16T23:00:00Z",
    "-infinity": "-292275055-05-16T23:00:00Z",
}
_INFINITE_DATE: Final = {"infinity": "+5877611-06-21Z", "-infinity": "-5877611-06-22Z"}


def converter(type_oid: int) -> Converter | None:
    """Return the function that turns a text of this type into its JSON value; None when the text is the value."""
    return _CONVERTERS.get(type_oid)


def _boolean(text: str) -> bool:
    return text == "t"


def _float(text: str) -> float | str:
    # JSON has no such numbers; Connect's JsonConverter quotes them as well.
    return text if text in _NOT_FINITE else float(text)


def _timestamptz(text: str) -> str:
    # Of the four-digit years nearly all are: cut and paste before any parsing. "2026-11-21 03:05:00.5+00"
    if text[-3:] == "+00" and text[10:11] == " " and text[4] == "-":
        return f"{text[:10]}T{text[11:-3]}Z"
    return _INFINITE_INSTANT.get(text) or _instant(text)


def _timestamp(text: str) -> str:
    if text[10:11] == " " and text[4] == "-" and text[-2:] != "BC":
        return f"{text[:10]}T{text[11:]}Z"
    return _INFINITE_INSTANT.get(text) or _instant(text)


def _instant(text: str) -> str:
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an instant of an ISO, UTC session: {text!r}")
    return f"{_year(match[1], match[4])}{match[2]}T{match[3]}Z"


def _date(text: str) -> str:
    if len(text) == 10 and text[4] == "-":
        return f"{text}Z"
    if text in _INFINITE_DATE:
        return _INFINITE_DATE[text]
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date of an ISO session: {text!r}")
    return f"{_year(match[1], match[3])}{match[2]}Z"


def _year(digits: str, era: str | None) -> str:
    """Return the ISO 8601 year: the year before 1 is 0, and one of more than four digits carries its sign."""
    year = 1 - int(digits) if era else int(digits)
    if 0 <= year <= 9999:
        return f"{year:04}"
    return f"{year:+05}"


def _time(text: str) -> str:
    return f"{text}Z"


def _bytea(text: str) -> str:
    if not text.startswith("\\x"):
        raise ValueError("not a bytea of a session with bytea_output = hex")
    return b64encode(bytes.fromhex(text[2:])).decode("ascii")


_BY_NAME: Final[Mapping[str, Converter]] = {
    "bool": _boolean,
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "float4": _float,
    "float8": _float,
    "timestamptz": _timestamptz,
    "timestamp": _timestamp,
    "date": _date,
    "time": _time,
    "bytea": _bytea,
}
_CONVERTERS: Final[Mapping[int, Converter]] = {types[name].oid: function for name, function in _BY_NAME.items()}

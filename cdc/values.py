"""Owns how one column's text becomes a JSON value, by type. Knows no table and no record.

The forms are those that Debezium 3.7.0 was measured to give with `time.precision.mode=isostring`,
`decimal.handling.mode=string`, `binary.handling.mode=base64` and `interval.handling.mode=string`, so that either engine
can feed the same readers; where it leaves out or alters a value, the value wins (docs/conformance.md has the list). A
type without a rule of its own keeps PostgreSQL's text. The texts are those of a session with `SESSION_SETTINGS`.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from psycopg.postgres import types

JsonValue: TypeAlias = str | int | float | bool | list[object] | None
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

_TIMETZ: Final = re.compile(r"(\d\d):(\d\d):(\d\d)(\.\d{1,6})?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?")
_DAY_S: Final = 86_400
_INTERVAL: Final = re.compile(
    r"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    r"(?:([+-])?(\d+):(\d\d):(\d\d)(\.\d{1,6})?)?"
)

# Java's rendering of the JDBC driver's infinities, which is what Debezium writes for them, but for `timestamptz`.
_INFINITE_INSTANT: Final = {
    "infinity": "+292278994-08-16T23:00:00Z",
    "-infinity": "-292275055-05-16T23:00:00Z",
}
_INFINITE_DATE: Final = {"infinity": "+5877611-06-21Z", "-infinity": "-5877611-06-22Z"}
_INFINITE: Final = frozenset({"infinity", "-infinity"})

# Debezium names its own constants here.
_SPECIAL_NUMERIC: Final = {"NaN": "NAN", "Infinity": "POSITIVE_INFINITY", "-Infinity": "NEGATIVE_INFINITY"}


def converter(type_oid: int, modifier: int = -1) -> Converter | None:
    """Return the function that turns a text of this built-in scalar type into its JSON value.

    None where the text is the value. The modifier is the column's: one bit is a boolean, more are bytes.
    """
    if type_oid in _BITS:
        return _bit if modifier == 1 else _bits
    return _CONVERTERS.get(type_oid)


def money(digits: int) -> Converter:
    """Return the converter of `money` in a session whose `lc_monetary` has so many digits after the point.

    Symbol, grouping and sign differ with the locale; the digits and their number after the point do not lie.
    """

    def convert(text: str) -> str:
        number = "".join(filter(str.isdecimal, text)).rjust(digits + 1, "0")
        if digits:
            number = f"{number[:-digits]}.{number[-digits:]}"
        return f"-{number}" if "-" in text or "(" in text else number

    return convert


def boolean(text: str) -> bool:
    """Return a `boolean`."""
    return text == "t"


def _float(text: str) -> float | str:
    # JSON has no such numbers; Connect's JsonConverter quotes them as well.
    return text if text in _NOT_FINITE else float(text)


def timestamptz(text: str) -> str:
    """Return an instant in UTC (CD-42).

    Raises:
        ValueError: The text is not of an ISO session in UTC.
    """
    # Of the four-digit years nearly all are: cut and paste before any parsing. "2026-11-21 03:05:00.5+00"
    if text[-3:] == "+00" and text[10:11] == " " and text[4] == "-":
        return f"{text[:10]}T{text[11:-3]}Z"
    return text if text in _INFINITE else _instant(text)


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


def _timetz(text: str) -> str:
    if text[-3:] == "+00":
        return f"{text[:-3]}Z"
    match = _TIMETZ.fullmatch(text)
    if match is None:
        raise ValueError("not a time with time zone of an ISO session")
    hours, minutes, seconds, fraction, sign, *offset = match.groups()
    east = sum(int(part or 0) * unit for part, unit in zip(offset, (3600, 60, 1), strict=True))
    local = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    second = (local + (east if sign == "-" else -east)) % _DAY_S
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{fraction or ''}Z"


def _interval(text: str) -> str:
    if text in _INFINITE:
        return text
    match = _INTERVAL.fullmatch(text)
    if match is None or not text:
        raise ValueError("not an interval of a session with intervalstyle = postgres")
    years, months, days, sign, hours, minutes, seconds, fraction = match.groups()
    # The sign of the clock belongs to each of its parts; a zero has none.
    hour, minute, second = (_signed(sign, int(part or 0)) for part in (hours, minutes, seconds))
    if fraction := (fraction or "").rstrip("0."):
        second = f"{'-' if sign == '-' else ''}{int(seconds)}{fraction}"
    return f"P{int(years or 0)}Y{int(months or 0)}M{int(days or 0)}DT{hour}H{minute}M{second}S"


def _signed(sign: str | None, number: int) -> str:
    return str(-number if sign == "-" else number)


def _numeric(text: str) -> str:
    return _SPECIAL_NUMERIC.get(text, text)


def _bit(text: str) -> bool:
    return text == "1"


def _bits(text: str) -> str:
    """Return the bits as bytes, the lowest first, without leading zeros: what Java's BitSet gives."""
    number = int(text, 2) if text else 0
    return b64encode(number.to_bytes((number.bit_length() + 7) // 8, "little")).decode("ascii")


def _bytea(text: str) -> str:
    if not text.startswith("\\x"):
        raise ValueError("not a bytea of a session with bytea_output = hex")
    return b64encode(bytes.fromhex(text[2:])).decode("ascii")


_BY_NAME: Final[Mapping[str, Converter]] = {
    "bool": boolean,
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "float4": _float,
    "float8": _float,
    "timestamptz": timestamptz,
    "timestamp": _timestamp,
    "date": _date,
    "time": _time,
    "timetz": _timetz,
    "interval": _interval,
    "numeric": _numeric,
    "bytea": _bytea,
}
_BITS: Final = frozenset({types["bit"].oid, types["varbit"].oid})
_CONVERTERS: Final[Mapping[int, Converter]] = {types[name].oid: function for name, function in _BY_NAME.items()}

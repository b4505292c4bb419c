"""Owns how text becomes a value, as Flink reads it: paths into JSON, numbers, booleans and instants.

What is no such value is None, which is SQL's null. Must never know a filter or SQL. Facts, each tried on Flink 2.2.1:
`SqlJsonUtils` (Jackson with exact fractions, Jayway paths), `BinaryStringDataUtil` and `StringUtf8Utils` for casts,
`BigDecimal` for digits, `TO_TIMESTAMP_LTZ` for its range.
"""

import json
import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final

from flink_jobs.conditions import NUMBER_DIGITS, NUMBER_SCALE

Value = str | int | bool | Decimal
"""A field as it is compared; an instant is a whole number of microseconds since 1970 in UTC."""

_STEP: Final = re.compile(r"\.([a-zA-Z0-9_]+)|\[([0-9]+)\]")
_INT32: Final = 2**31
_MOST_DIGITS: Final = 1000
"""Jackson refuses a document with a longer number, as it does with more than 1000 levels."""

_NUMBER: Final = re.compile(
    r"[ \t\n]*([+-]?(?=[0-9.]{1,100}(?![0-9.]))(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)[ \t\n]*"
)
_QUANTUM: Final = Decimal(1).scaleb(-NUMBER_SCALE)
_LIMIT: Final = Decimal(10) ** (NUMBER_DIGITS - NUMBER_SCALE)
_ROUNDING: Final = Context(prec=NUMBER_DIGITS * 2, rounding=ROUND_HALF_UP)

_TRUE: Final = frozenset({"t", "true", "y", "yes", "1"})
_FALSE: Final = frozenset({"f", "false", "n", "no", "0"})

_INSTANT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]+))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CAPTURE_TIMES: Final = range(-62_167_219_200_000, 253_402_300_800_000)
"""Milliseconds that are a timestamp for Flink: the years 0 to 9999."""


def json_value(text: str, path: str) -> str | None:
    """Return what a path such as `.items[0].id` leads to in a JSON text, as text; objects, arrays and null are None.

    A text that is no JSON has nothing at any path. As Flink reads it: the last of equal keys counts, what follows the
    document is not looked at, and a fraction keeps every digit but is written as Java writes it (1e5 is `1E+5`). Where
    more than some 900 levels are nested, Python gives up before Jackson's 1000.
    """
    try:
        found, _ = _JSON.raw_decode(text.lstrip(" \t\n\r"))
    except (ValueError, RecursionError):
        return None
    for name, index in _STEP.findall(path):
        if name and isinstance(found, dict):
            found = found.get(name)
        elif index and isinstance(found, list) and int(index) < min(len(found), _INT32):
            found = found[int(index)]
        else:
            return None
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str) else None


def well_formed(text: str) -> str:
    """Return a text as it is ordered: half a surrogate pair, which UTF-8 cannot hold, is a question mark."""
    return re.sub("[\ud800-\udfff]", "?", text)


def as_number(text: str) -> Decimal | None:
    """Return text as DECIMAL(38, 18), rounded half up; at most 100 digits and an exponent of three."""
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    number = Decimal(found.group(1))
    if number and number.adjusted() > NUMBER_DIGITS:
        return None
    rounded = number.quantize(_QUANTUM, context=_ROUNDING)
    return rounded if abs(rounded) < _LIMIT else None


def as_boolean(text: str) -> bool | None:
    """Return text as a boolean: true, yes, t, y and 1, or their opposites, in any case."""
    word = text.lower() if text.isascii() else ""
    return True if word in _TRUE else False if word in _FALSE else None


def as_instant(text: str) -> int | None:
    """Return ISO 8601 text as microseconds since 1970; what is finer is cut off, and without an offset it is UTC."""
    found = _INSTANT.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return None
    ahead = int(f"{sign}1") * (int(hours) * 60 + int(minutes)) if sign else 0
    seconds = (((days * 24 + int(hour)) * 60) + int(minute) - ahead) * 60 + int(second)
    return seconds * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))


def as_capture_time(milliseconds: int) -> int | None:
    """Return a capture time as microseconds since 1970."""
    return milliseconds * 1000 if milliseconds in _CAPTURE_TIMES else None


def microseconds(instant: datetime) -> int:
    """Return a point in time as microseconds since 1970."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _whole_number(text: str) -> str:
    _limited(text)
    return "0" if text == "-0" else text


def _fraction(text: str) -> str:
    _limited(text)
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("an exponent that nobody can hold") from error
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not -_INT32 < exponent <= _INT32:
        raise ValueError("an exponent that Java cannot hold")
    # Java has no negative zero.
    return str(number or abs(number))


def _limited(text: str) -> None:
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number that Jackson does not read")


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_JSON: Final = json.JSONDecoder(parse_int=_whole_number, parse_float=_fraction, parse_constant=_no_constant)

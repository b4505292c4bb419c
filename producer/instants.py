"""Read the three spellings of a date that the API takes, and write the one that it stores (EV-13, EV-14)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# `datetime.fromisoformat` takes any character between date and time; ISO 8601 does not.
_ISO: Final = re.compile(
    r"\d{4}-?\d{2}-?\d{2}([Tt ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?([Zz]|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII
)
# As it is stored; most senders write it so. A fraction of zeros is not.
_STORED: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.(?!000000)\d{6})?Z", re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)


def parse_instant(value: object) -> str:
    """Return the instant as ISO 8601 text in UTC with `Z`, microseconds kept when there are any.

    Takes ISO 8601 text, epoch milliseconds as a number, or epoch milliseconds as digits in text. A date without an
    offset, and epoch milliseconds, are UTC.

    Raises:
        PydanticCustomError: Anything else, or a year outside 1 to 9999.
    """
    try:
        match value:
            case str() if _STORED.fullmatch(value):
                datetime.fromisoformat(value)
                return value
            case bool():
                pass
            case str() if _DIGITS.fullmatch(value):
                return write_instant(_EPOCH + timedelta(milliseconds=int(value)))
            case str() if _ISO.fullmatch(value):
                read = datetime.fromisoformat(value.upper())
                return write_instant(read if read.tzinfo is not None else read.replace(tzinfo=UTC))
            case int() | float():
                return write_instant(_EPOCH + timedelta(milliseconds=value))
    except (ValueError, OverflowError):
        pass  # a month 13, or a year that no calendar of ours has: refused below like every other text
    raise PydanticCustomError("instant", "not a date: write ISO 8601, or epoch milliseconds")


def write_instant(instant: datetime) -> str:
    """Return an aware instant in the one spelling that is stored.

    Raises:
        OverflowError: In UTC the instant leaves the years 1 to 9999.
    """
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[str, PlainValidator(parse_instant)]

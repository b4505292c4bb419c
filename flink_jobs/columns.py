"""Owns the columns of the raw record and what a filter's field may name: a column, or a path into the header JSON.

Must never know an operator or a dialect. Facts: CD-41 and FL-6 of the contract; JSON paths as Flink's JSON_VALUE takes
them (`lax`, dots and array indices).
"""

import re
from dataclasses import dataclass
from typing import Final

TEXT_COLUMNS: Final = (
    "id",
    "event_name",
    "event_type",
    "created_date",
    "saved_date",
    "header_data",
    "__op",
    "__table",
)
"""The columns that are text, in the order of the record; a filtered topic carries exactly these (FL-41)."""

CAPTURE_TIME: Final = "__ts_ms"
"""The one column that is a number: milliseconds since 1970 (CD-45)."""

COLUMNS: Final = (*TEXT_COLUMNS, CAPTURE_TIME)

DOCUMENT: Final = "header_data"
"""The only column a path may start at; it holds a JSON document as text."""

_PATH = re.compile(r"(?:\.[a-zA-Z0-9_]+|\[[0-9]+\])+")


class UnknownFieldError(ValueError):
    """Say that a field names no column and no path into the header."""


@dataclass(frozen=True, slots=True)
class Field:
    """Name what a condition looks at.

    Attributes:
        column: A column of the raw record.
        path: The rest of a dotted path, such as `.eventName` or `.items[0].id`; empty for the column itself.
    """

    column: str
    path: str = ""

    @property
    def is_number(self) -> bool:
        """Return True when the field is a number by itself and needs no cast."""
        return self.column == CAPTURE_TIME


def parse_field(text: str) -> Field:
    """Read a condition's field, such as `event_type` or `header_data.eventName`.

    Raises:
        UnknownFieldError: No such column, or a path that starts elsewhere than at `header_data` (FL-8).
    """
    column = re.split(r"[.\[]", text, maxsplit=1)[0]
    path = text[len(column) :]
    if column not in COLUMNS:
        raise UnknownFieldError(f"unknown column {column!r}; there are {', '.join(COLUMNS)}")
    if path and column != DOCUMENT:
        raise UnknownFieldError(f"{text!r} goes into {column}, which is no JSON; only {DOCUMENT} can be followed")
    if path and not _PATH.fullmatch(path):
        raise UnknownFieldError(f"{text!r} is no path; write names after dots and numbers in brackets, as in a.b[0].c")
    return Field(column, path)

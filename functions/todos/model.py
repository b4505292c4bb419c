"""What callers may send, and what a todo is (LC-126, LC-127, LC-130, LC-132).

Owns validation and its one-line findings. It knows neither HTTP nor a store.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, StringConstraints, ValidationError

Status = Literal["pending", "in_progress", "completed", "cancelled"]
Priority = Literal["low", "medium", "high", "urgent"]
STATUSES: Final = ("pending", "in_progress", "completed", "cancelled")
CLOSED: Final = frozenset({"completed", "cancelled"})

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE_LENGTH: Final = len("2026-01-31")


def _without_nul(text: str) -> str:
    # PostgreSQL cannot store it.
    if "\x00" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


def _iso(text: str) -> str:
    """Return a date as it is, and a date with time in UTC; without an offset it is UTC already."""
    try:
        if len(text) == _DATE_LENGTH:
            return date.fromisoformat(text).isoformat()
        moment = datetime.fromisoformat(text)
        return instant(moment.replace(tzinfo=moment.tzinfo or UTC))
    except (ValueError, OverflowError):
        raise ValueError("should be an ISO 8601 date, or date and time") from None


def instant(moment: datetime) -> str:
    """Return a moment in UTC as text of one width, so that the order of texts is that of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(shortest: int, longest: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


_Plain = AfterValidator(_without_nul)


class UserInput(BaseModel):
    """Hold what makes a user; other fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, _text(2, 255), _Plain]
    email: Annotated[EmailStr, Field(max_length=255), _Plain]
    department: Annotated[str, _text(0, 100), _Plain] | None = None


class TodoInput(BaseModel):
    """Hold what makes a todo; other fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: Annotated[str, _text(1, 255), _Plain]
    description: Annotated[str, _text(0, 1000), _Plain] | None = None
    status: Status = "pending"
    priority: Priority = "medium"
    due_date: Annotated[str, AfterValidator(_iso)] | None = None


class TodoChanges(TodoInput):
    """Hold the fields to change; null takes the description or the date away."""

    title: Annotated[str, _text(1, 255), _Plain] = ""

    def given(self) -> dict[str, str | None]:
        """Return the fields that were sent."""
        return self.model_dump(include=self.model_fields_set)


def findings(error: ValidationError) -> list[str]:
    """Return a line for each fault, which names the field and repeats no value."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in faults
    ]


def identity(text: str) -> str | None:
    """Return an id in its one spelling, or None for what is none."""
    return str(UUID(text)) if _UUID.fullmatch(text) else None


def overdue(todo: dict[str, Any], now: datetime) -> bool:
    """Tell whether an open todo is past its date; a date without time ends with its day, in UTC (LC-133)."""
    due = todo.get("due_date")
    if due is None or todo["status"] in CLOSED:
        return False
    if len(due) == _DATE_LENGTH:
        return bool(date.fromisoformat(due) < now.astimezone(UTC).date())
    return bool(datetime.fromisoformat(due) < now)

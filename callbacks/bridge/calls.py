"""Owns what a call and its answer are, and how a request is written. No I/O; must never show a payload."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

_KINDS: Final = ("RequestResponse", "Event", "DryRun")


class RequestError(Exception):
    """A message that is no request."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a session; times are seconds of the server's clock since the Unix epoch."""

    id: UUID
    generation: UUID
    deadline: float
    connect_seconds: float
    function: str
    kind: str
    log: str
    context: str | None
    qualifier: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a session gets: a result, or a failure of the function (`function`) or of the way to it (`api`)."""

    id: UUID
    expires: float
    status_code: int | None = None
    payload: bytes | None = None
    executed_version: str | None = None
    log_result: str | None = None
    failure: str | None = None
    detail: str | None = None
    hint: str | None = None


def read_call(content: bytes) -> Call:
    """Return the call that a message has: a line of JSON, then the payload as it is.

    Raises:
        RequestError: It is none. Whoever may run SQL may write such a message; the text never repeats it.
    """
    head, newline, payload = content.partition(b"\n")
    try:
        fields: dict[str, Any] = orjson.loads(head)
        call = Call(
            id=UUID(fields["id"]),
            generation=UUID(fields["generation"]),
            deadline=float(fields["deadline"]),
            connect_seconds=float(fields["connect_ms"]) / 1000,
            function=_text(fields["function"]),
            kind=_text(fields["type"]),
            log=_text(fields["log"]),
            context=_optional(fields["context"]),
            qualifier=_optional(fields["qualifier"]),
            payload=payload,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"not a request ({type(error).__name__})") from None
    if not newline or call.kind not in _KINDS:
        raise RequestError("not a request")
    return call


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)

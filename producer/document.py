"""Read the body of a request as JSON text, and keep that text.

Owns the difference between what a sender wrote and what a parser makes of it: the event is stored as received
(EV-91), so numbers keep every digit, which no round trip through floats would do.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import orjson
from pydantic.alias_generators import to_camel

from producer.refusals import NotJsonError, StructureError

_ENTITY_HEADER: Final = {to_camel(name): name for name in ("entity_id", "entity_type", "created_at", "updated_at")}
_EVENT_HEADER: Final = {to_camel(name): name for name in ("event_name", "event_type", "created_date", "saved_date")}
_SNAKE_HEADER: Final = frozenset(_EVENT_HEADER.values())
_SNAKE_ENTITY: Final = frozenset(_ENTITY_HEADER.values())

# Finds where each element of an array ends; what the elements are is already known, so numbers stay text.
_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
# The same, but numbers are written out again digit by digit as they came.
_VERBATIM: Final = json.JSONDecoder(parse_int=orjson.Fragment, parse_float=orjson.Fragment)
_SPACE: Final = " \t\n\r"


def parse(body: bytes) -> Any:
    """Return the body as parsed JSON.

    Raises:
        NotJsonError: Not JSON, not UTF-8, a lone surrogate, or nested deeper than 1024 levels.
        StructureError: JSON that PostgreSQL's text cannot hold.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(str(error)) from error
    # U+0000 can only be spelled as an escape, so most bodies are cleared by this search. What it finds may also be an
    # escaped backslash and five harmless characters.
    if b"\\u0000" in body:
        _refuse_nul(parsed)
    return parsed


def _refuse_nul(parsed: Any) -> None:
    pending = [parsed]
    while pending:
        match pending.pop():
            case str(text) if "\0" in text:
                raise StructureError(r"text contains the character \u0000, which PostgreSQL cannot store")
            case dict(members):
                pending += members.keys()
                pending += members.values()
            case list(elements):
                pending += elements


def is_canonical(event: dict[str, Any]) -> bool:
    """Return whether every key that the pipeline reads is spelled in camelCase, as it is stored (EV-91)."""
    header = event.get("eventHeader")
    if not isinstance(header, dict) or not _SNAKE_HEADER.isdisjoint(header):
        return False
    for entity in event.get("entities") or ():
        own = entity.get("entityHeader")
        if not isinstance(own, dict) or not _SNAKE_ENTITY.isdisjoint(own) or "entity_header" in entity:
            return False
    return "event_header" not in event


def canonical(document: str) -> str:
    """Return the document with snake_case keys of event and entity headers in camelCase; the rest is untouched.

    Raises:
        StructureError: Nested too deeply to be written again.
    """
    try:
        event = _VERBATIM.decode(document)
        _rename(event, {"eventHeader": "event_header"})
        _rename(event["eventHeader"], _EVENT_HEADER)
        for entity in event.get("entities") or ():
            _rename(entity, {"entityHeader": "entity_header"})
            _rename(entity["entityHeader"], _ENTITY_HEADER)
        return orjson.dumps(event).decode()
    except (RecursionError, orjson.JSONEncodeError) as error:
        raise StructureError("nested too deeply for snake_case keys; send camelCase keys") from error


def elements(array: str) -> Iterator[str]:
    """Yield the text of each element of a valid JSON array that has at least one.

    Raises:
        StructureError: An element is nested too deeply.
    """
    position = array.index("[") + 1
    try:
        while True:
            start = _skip_space(array, position)
            _, end = _SCANNER.raw_decode(array, start)
            yield array[start:end]
            position = _skip_space(array, end)
            if array[position] == "]":
                return
            position += 1
    except RecursionError as error:
        raise StructureError("an event is nested too deeply") from error


def _skip_space(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position


def _rename(members: dict[str, Any], names: dict[str, str]) -> None:
    for camel, snake in names.items():
        if snake in members:
            value = members.pop(snake)
            members.setdefault(camel, value)

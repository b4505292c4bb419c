"""Say whether an event is valid, and if not, where and why.

Owns the verdict over the JSON Schemas of version 1 (EV-100 to EV-115) and its shape, which is that of the metadata
service: `valid`, `errors` with `field` and `message`, `version`. It never touches a database.
"""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

import schemas

VERSION: Final = "v1"

_SHOWN_FAULTS: Final = 50
_SHOWN_CHARACTERS: Final = 300


def verdict(event: Any) -> dict[str, Any]:
    """Return `{"valid": bool, "errors": [{"field", "message"}, …], "version": "v1"}` for a parsed JSON document.

    Args:
        event: Numbers with a fraction may be floats; they are judged in decimal, as they are written (EV-115).
    """
    exact = json.loads(json.dumps(event), parse_float=Decimal)
    errors = []
    for fault in _told(_validator().iter_errors(exact)):
        errors.append({"field": _place(fault), "message": fault.message[:_SHOWN_CHARACTERS]})
        if len(errors) == _SHOWN_FAULTS:
            break
    return {"valid": not errors, "errors": errors, "version": VERSION}


@cache
def _validator() -> Draft202012Validator:
    every = schemas.json_schemas(VERSION, exact=True)
    resources = [(uri, Resource.from_contents(schema)) for uri, schema in every.items()]
    return Draft202012Validator(
        schemas.json_schema(VERSION, "event", "event", exact=True),
        registry=Registry().with_resources(resources),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def _told(faults: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Yield what a sender can act on: of an entity that is none of the types, the faults of the type it names."""
    for fault in faults:
        if fault.validator == "oneOf" and fault.context:
            yield from _of_one_type(fault.context)
        else:
            yield fault


def _of_one_type(context: Iterable[ValidationError]) -> list[ValidationError]:
    alternatives: dict[Any, list[ValidationError]] = {}
    for fault in context:
        alternatives.setdefault(fault.schema_path[0], []).append(fault)
    for faults in alternatives.values():
        if not any(map(_is_about_type, faults)):
            return faults
    # It names no type that there is, or none at all: one fault says so.
    fewest = min(alternatives.values(), key=len)
    return [fault for fault in fewest if _is_about_type(fault) and fault.validator == "enum"] or fewest


def _is_about_type(fault: ValidationError) -> bool:
    return bool(fault.absolute_path) and fault.absolute_path[-1] == "entityType"


def _place(fault: ValidationError) -> str:
    """Return where a fault is, such as `entities[0].entityHeader.createdAt`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault.absolute_path)
    return text.lstrip(".") or "event"

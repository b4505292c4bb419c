"""A validator over the JSON Schemas of version 1, in decimal, as EV-115 asks."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import schemas


@pytest.fixture(scope="session")
def event_faults() -> Callable[[dict[str, Any]], list[str]]:
    """Return the faults of an event, none when it is valid; floats are read as the decimals they are written as."""
    resources = [
        (uri, Resource.from_contents(schema)) for uri, schema in schemas.json_schemas("v1", exact=True).items()
    ]
    validator = Draft202012Validator(
        schemas.json_schema("v1", "event", "event", exact=True),
        registry=Registry().with_resources(resources),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )

    def faults(event: dict[str, Any]) -> list[str]:
        exact = json.loads(json.dumps(event), parse_float=Decimal)
        return [error.message for error in validator.iter_errors(exact)]

    return faults

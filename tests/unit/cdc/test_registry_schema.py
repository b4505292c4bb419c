"""The records of the engine are what the registered schema of their topic says (FL-52)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft7Validator

import schemas
from cdc.envelope import CREATE, READ, Payload, TableEncoder
from cdc.pgoutput.messages import UNCHANGED, Delete, Relation, ReplicaIdentity, Update

NOW = 1_795_255_200_000
VALIDATOR = Draft7Validator(schemas.registry_schema("raw-event-headers-value"))
Text = str | None


def row(event: dict[str, Any]) -> tuple[Text, ...]:
    """Return the row of event_headers as the server sends it."""
    header = event["eventHeader"]
    dates = (header["createdDate"].replace("T", " ").replace("Z", "+00"), "2026-11-21 03:05:00.5+00")
    return (header["uuid"], header["eventName"], header.get("eventType"), *dates, json.dumps(header))


def assert_valid(payloads: tuple[Payload, ...] | list[Payload]) -> None:
    """Judge the value of each that is no tombstone."""
    values = [json.loads(payload.value) for payload in payloads if payload.value is not None]
    assert values
    for value in values:
        assert [error.message for error in VALIDATOR.iter_errors(value)] == []


@pytest.mark.parametrize("name", schemas.samples())
def test_a_captured_event_is_valid(headers_relation: Relation, name: str) -> None:
    """Each sample, inserted, read by a snapshot, updated and deleted under either replica identity."""
    values = row(schemas.samples()[name])
    encoder = TableEncoder(headers_relation)
    full = TableEncoder(replace(headers_relation, replica_identity=ReplicaIdentity.FULL), ("id",))
    key = (values[0], *[None] * (len(values) - 1))
    assert_valid([encoder.row(values, CREATE, NOW), encoder.row(values, READ, NOW)])
    assert_valid(encoder.update(Update(1, None, False, values), NOW))
    assert_valid(encoder.update(Update(1, key, True, ("moved", *values[1:])), NOW))
    assert_valid(encoder.delete(Delete(1, key, old_is_key=True), NOW))
    assert_valid(full.delete(Delete(1, values, old_is_key=False), NOW))


def test_a_row_of_nulls_is_valid(headers_relation: Relation) -> None:
    """Whatever may be null in the table may be so in the record."""
    assert_valid([TableEncoder(headers_relation).row(("1", None, None, None, None, None), CREATE, NOW)])


def test_a_record_without_an_untouched_column_is_valid(headers_relation: Relation) -> None:
    """A large header that an update left alone is absent, and that is no fault of the record."""
    values = ("1", "Car Created", None, None, None, UNCHANGED)
    assert_valid(TableEncoder(headers_relation).update(Update(1, None, False, values), NOW))

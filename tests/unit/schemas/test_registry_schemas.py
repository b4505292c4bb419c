"""What a schema registry is to hold: valid, and of the columns that Flink reads."""

import pytest
from jsonschema import Draft7Validator

import schemas
from flink_jobs.columns import CAPTURE_TIME, COLUMNS, TEXT_COLUMNS

VALUE = schemas.registry_schema("raw-event-headers-value")


def test_the_schema_of_the_raw_topic_is_draft_07() -> None:
    """Confluent's registry reads that draft (FL-52)."""
    assert VALUE["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(VALUE)


def test_it_has_the_columns_that_flink_reads() -> None:
    """In their order and type, and beside them only what readers ignore (CD-41, CD-46, FL-40)."""
    properties = VALUE["properties"]
    assert list(properties) == [*COLUMNS, "__deleted"]
    assert properties[CAPTURE_TIME]["type"] == "integer"
    for name in TEXT_COLUMNS:
        kinds = properties[name].get("oneOf", [properties[name]])
        assert {kind["type"] for kind in kinds} <= {"null", "string"}


def test_it_is_closed_so_that_it_can_grow() -> None:
    """Of an open one the registry would refuse a further column as not BACKWARD (FL-53)."""
    assert VALUE["additionalProperties"] is False
    grown = {**VALUE, "properties": {**VALUE["properties"], "note": {"oneOf": [{"type": "null"}, {"type": "string"}]}}}
    record = {"id": "1", "__op": "c", "__table": "event_headers", "__ts_ms": 1}
    for each in (VALUE, grown):
        Draft7Validator(each).validate(record)


@pytest.mark.parametrize(
    "fault",
    [
        {"id": None},
        {"id": 1},
        {"__ts_ms": "1"},
        {"__ts_ms": 1.5},
        {"event_type": 7},
        {"header_data": {}},
        {"more": "x"},
    ],
    ids=str,
)
def test_it_refuses_what_is_no_record(fault: dict[str, object]) -> None:
    """A missing id, another type, an object where text belongs, a column nobody declared."""
    record = {"id": "1", "__op": "c", "__table": "event_headers", "__ts_ms": 1}
    assert Draft7Validator(VALUE).is_valid(record)
    assert not Draft7Validator(VALUE).is_valid({**record, **fault})


def test_an_unknown_subject_is_an_error_that_names_it() -> None:
    """The loader says what it looked for."""
    with pytest.raises(LookupError, match="'boats-value'"):
        schemas.registry_schema("boats-value")

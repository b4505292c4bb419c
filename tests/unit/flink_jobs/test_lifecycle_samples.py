"""What a person may show to the filters, and what the job would read of it."""

import json

import pytest

import schemas
from flink_jobs.evaluator import evaluate
from flink_jobs.filters import load_filters
from flink_jobs.lifecycle.samples import Form, SampleError, read_samples

RAW = {
    "id": "e1",
    "event_name": "Car Created",
    "event_type": "CarCreated",
    "header_data": '{"amount": 1.10}',
    "__op": "u",
    "__ts_ms": 1795255200000,
}


def test_a_raw_record_is_taken_as_it_is() -> None:
    """Its operation too; unknown fields are passed over, missing ones are null (CD-116)."""
    (sample,) = read_samples(json.dumps({**RAW, "unknown": [1]}))
    assert (sample.form, sample.record) == (Form.RAW, RAW)


def test_a_row_is_taken_as_inserted() -> None:
    """A row of event_headers has no operation, and its header may be JSON or text; numbers keep their digits."""
    row = {key: value for key, value in RAW.items() if not key.startswith("__")}
    text = json.dumps({**row, "header_data": "HERE"}).replace('"HERE"', '{"amount": 1.10}')
    for form in (json.dumps(row), text):
        (sample,) = read_samples(form)
        assert sample.form is Form.ROW
        assert sample.record is not None
        assert (sample.record["__op"], sample.record["header_data"]) == ("c", '{"amount": 1.10}')


def test_every_sample_event_meets_its_filter() -> None:
    """Events as they are posted become the row that the producer writes (EV-91, FL-17)."""
    filters = load_filters(schemas.filters_path()).filters
    events = [each for each in schemas.samples().values() if each["eventHeader"]["eventType"] in schemas.EVENT_TYPES]
    assert len(events) > 5
    for sample, event in zip(read_samples(json.dumps({"events": events})), events, strict=True):
        assert sample.form is Form.EVENT
        assert sample.record is not None
        met = [one for one in filters if evaluate(one, sample.record)]
        assert [one.conditions[0].value for one in met] == [event["eventHeader"]["eventType"]]
        assert json.loads(str(sample.record["header_data"]))["uuid"] == sample.id


def test_fields_that_the_producer_copies_are_in_the_header() -> None:
    """With them the dealer filters match, without them they do not (FL-20, FL-21)."""
    filters = load_filters(schemas.dealer_filters_path()).filters
    text = json.dumps(schemas.samples()["service-dealer-002"])
    for fields, expected in (((), []), ((("ServiceRecord", "dealerId"),), ["service-by-dealer-002"])):
        (sample,) = read_samples(text, fields)
        assert sample.record is not None
        assert [one.id for one in filters if evaluate(one, sample.record)] == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"id": "a"}', 1),
        ('[{"id": "a"}, {"id": "b"}]', 2),
        ('{"id": "a"}\n\n{"id": "b"}\n', 2),
        ('{"events": [{"id": "a"}]}', 1),
    ],
)
def test_one_or_many_are_read(text: str, count: int) -> None:
    """An object, an array, the form of the bulk route, or JSON lines."""
    assert len(read_samples(text)) == count


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({**RAW, "id": 1}, "field id is not a text"),
        ({**RAW, "id": ""}, "field id is missing"),
        ({**RAW, "event_type": {}}, "field event_type is not a plain value"),
        ({**RAW, "__ts_ms": 1.5}, "field __ts_ms is not a whole number"),
        ([1], "not a JSON object"),
    ],
)
def test_what_the_job_cannot_read_is_told_with_its_reason(record: object, fault: str) -> None:
    """The reason is the one that the dead letter has (FL-49)."""
    (sample,) = read_samples(json.dumps([record]))
    assert (sample.record, sample.fault) == (None, fault)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "a"}\nnothing'])
def test_what_is_no_event_is_an_error(text: str) -> None:
    """Nothing to test is not a success."""
    with pytest.raises(SampleError):
        read_samples(text)

"""What the processor reads and writes: columns or a fault, and the bytes of a filtered record."""

import json

import pytest

from flink_jobs.columns import COLUMNS
from flink_jobs.processor.parsing import Fault, parse
from flink_jobs.processor.records import RawRecord, dead_letter, filtered


def test_a_header_gives_every_column_and_passes_over_the_rest() -> None:
    """Missing columns are null, and a number where text belongs is taken as it is written (CD-116)."""
    found = parse(b'{"x": [{"id": 1}], "id": "a", "event_name": 1.50, "__ts_ms": 7, "created_date": true}')
    assert found == dict.fromkeys(COLUMNS) | {"id": "a", "event_name": "1.50", "created_date": "true", "__ts_ms": 7}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"[]", "not a JSON object"),
        (b'{"id": "a"', "not JSON: '}' was expected at character 10"),
        (b'{"id": "a"} {', "more than one JSON value"),
        (b'{"id": ""}', "field id is missing"),
        (b'{"id": 5}', "field id is not a text"),
        (b'{"id": {}, what follows is not looked at', "field id is not a plain value"),
        (b'{"id": "a", "__ts_ms": 1.0}', "field __ts_ms is not a whole number"),
        (b'{"id": "a", "__ts_ms": 9223372036854775808}', "not JSON: the number 9223372036854775808"),
        (b'{"id": "\xff"}', "not JSON: "),
        (b'{"id": true\xe2\x80\xa8', "not JSON: a word"),
        (b'{"id": true\xff', "not JSON: a word"),
        (b'{"id": true$', "field id is not a text"),
        ('{"id": true\u2028'.encode("utf-16-be"), "field id is not a text"),
        ('{"id": true\u20ac'.encode("utf-16-be"), "not JSON: a word"),
        ('{"id": true}'.encode("utf-32-be") + b"\x00\x11\x00\x00", "not JSON: "),
    ],
)
def test_a_fault_is_the_first_one_and_has_its_reason(value: bytes, reason: str) -> None:
    """In the words of the Flink job, but for what its JSON reader says after `not JSON` (FL-49)."""
    with pytest.raises(Fault) as caught:
        parse(value)
    assert str(caught.value).startswith(reason)


def test_a_filtered_record_has_the_bytes_of_flinks_writer() -> None:
    """No blanks, capital hexadecimal digits, surrogate pairs beyond U+FFFF, the rest as UTF-8 (FL-41, FL-46)."""
    record = dict.fromkeys(COLUMNS) | {"id": "ä😀", "event_name": 'a"\\\n\x1f\x7f/\u2028'}
    written = filtered("t", record)
    assert written.key == "ä😀".encode()
    assert (
        written.value
        == (
            '{"id":"ä\\uD83D\\uDE00","event_name":"a\\"\\\\\\n\\u001F\x7f/\u2028","event_type":null,"created_date":null,'
            '"saved_date":null,"header_data":null,"__op":null,"__table":null}'
        ).encode()
    )
    assert json.loads(written.value)["id"] == "ä😀"


def test_a_dead_letter_has_the_same_bytes_and_where_they_stood() -> None:
    """Key and value are untouched (FL-49)."""
    letter = dead_letter("dead", "raw", RawRecord(2, 17, None, b"\xff", 0.0), "not JSON: x")
    assert (letter.topic, letter.key, letter.value) == ("dead", None, b"\xff")
    assert dict(letter.headers) == {
        "dlq-reason": b"not JSON: x",
        "dlq-topic": b"raw",
        "dlq-partition": b"2",
        "dlq-offset": b"17",
    }

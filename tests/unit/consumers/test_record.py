"""What a consumer reads out of the bytes of a record."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import Undecodable, decode

HEADER = {
    "id": "e-1",
    "event_name": "Car Created",
    "event_type": "CarCreated",
    "created_date": "2026-11-21T10:00:00.123456Z",
    "saved_date": None,
    "header_data": '{"uuid":"e-1","eventName":"Car Created"}',
    "__op": "c",
    "__table": "event_headers",
}


def test_plain_json_is_read() -> None:
    """Every field of the record is there, dates as instants, the header parsed (FL-85, FL-87)."""
    record = decode(json.dumps(HEADER).encode())
    assert record.id == "e-1"
    assert record.created_date == datetime(2026, 11, 21, 10, 0, 0, 123456, UTC)
    assert record.saved_date is None
    assert record.header["eventName"] == "Car Created"
    assert (record.op, record.table) == ("c", "event_headers")


def test_a_registry_frame_is_taken_off() -> None:
    """Byte 0 and a four-byte schema id before the JSON change nothing (FL-85)."""
    plain = json.dumps(HEADER).encode()
    assert decode(b"\x00\x00\x00\x01\x02" + plain) == decode(plain)


@pytest.mark.parametrize(
    "value", [b"", b"not json", b"[]", b"1", b"{}", b'{"id": 7}', b"\xff\xfe", b"\x00\x00\x00\x00\x01"]
)
def test_what_is_no_event_header_is_undecodable(value: bytes) -> None:
    """The reason is told, and trying again is not (FL-84)."""
    with pytest.raises(Undecodable):
        decode(value)


@pytest.mark.parametrize("header", ["not json", "[1]", "1", 5, None])
def test_an_odd_header_is_shown_as_it_came(header: object) -> None:
    """A header of another shape stops no consumer (CD-116)."""
    assert "raw" in decode(json.dumps({**HEADER, "header_data": header}).encode()).header


@given(
    st.binary()
    | st.dictionaries(st.text(), st.text() | st.integers() | st.none()).map(lambda d: json.dumps(d).encode())
)
def test_no_bytes_crash_the_reader(value: bytes) -> None:
    """Whatever is on the topic, the answer is a record or `Undecodable` (CD-119)."""
    try:
        decode(value)
    except Undecodable:
        return

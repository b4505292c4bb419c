"""Frames of the replication connection, and the requests in them."""

import struct
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.bridge.calls import RequestError, read_call
from callbacks.bridge.wire import Frame, WireError, decode, encode_status

LSNS = st.integers(0, 2**64 - 1)


def message(content: bytes, prefix: bytes = b"aws_lambda", flags: int = 0, wal_end: int = 7) -> bytes:
    """Return the frame of a logical message."""
    body = struct.pack("!cBQ", b"M", flags, 5) + prefix + b"\0" + struct.pack("!I", len(content)) + content
    return struct.pack("!cQQq", b"w", 5, wal_end, 0) + body


@given(st.binary(), LSNS)
def test_a_request_comes_out_as_it_went_in(content: bytes, wal_end: int) -> None:
    """Whatever its bytes are, a message of the bridge's prefix is a request (LC-98)."""
    assert decode(message(content, wal_end=wal_end)) == Frame(max(5, wal_end), request=content)


@given(st.binary(), st.sampled_from([(b"aws", 0), (b"headwater", 0), (b"aws_lambda", 1), (b"aws_lambda.flush", 0)]))
def test_other_messages_are_none(content: bytes, other: tuple[bytes, int]) -> None:
    """Another prefix, or a message that came with a commit, is nobody's call (LC-98)."""
    assert decode(message(content, *other)).request is None


@given(st.binary(max_size=40), st.data())
def test_a_frame_that_is_cut_off_is_told(content: bytes, data: st.DataObject) -> None:
    """No prefix of a frame is taken for another request (LC-98)."""
    whole = message(content)
    length = data.draw(st.integers(0, len(whole) - 1))
    try:
        frame = decode(whole[:length])
    except WireError:
        return
    # The header alone is a frame without a message.
    assert length == 25
    assert frame.request is None


@given(st.binary())
def test_any_bytes_are_a_frame_or_an_error(data: bytes) -> None:
    """Nothing that a server could send ends the bridge by another error (LC-98)."""
    try:
        decode(data)
    except WireError:
        return
    assert data[:1] in {b"w", b"k"}


@given(LSNS, st.booleans())
def test_a_keepalive_says_how_far_and_whether_to_answer(wal_end: int, reply: bool) -> None:
    """The server ends a stream that does not answer (LC-98)."""
    assert decode(struct.pack("!cQqB", b"k", wal_end, 0, reply)) == Frame(wal_end, reply=reply)


def test_a_status_confirms_what_was_read() -> None:
    """Written, flushed and applied are one place, and the time is PostgreSQL's (LC-98)."""
    expected = struct.pack("!cQQQqB", b"r", 9, 9, 9, 1_500_000, 0)
    assert encode_status(9, 946_684_801.5) == expected


def head(**changes: object) -> dict[str, object]:
    """Return the first line of a request."""
    fields: dict[str, object] = {
        "id": str(uuid4()),
        "generation": str(uuid4()),
        "deadline": 1.5,
        "connect_ms": 1000,
        "function": "f",
        "type": "Event",
        "log": "None",
        "context": None,
        "qualifier": None,
    }
    return {**fields, **changes}


@given(st.binary())
def test_a_payload_is_not_touched(payload: bytes) -> None:
    """All that follows the first line is the payload, newlines too (LC-98)."""
    call = read_call(orjson.dumps(head()) + b"\n" + payload)
    assert (call.function, call.kind, call.connect_seconds, call.payload) == ("f", "Event", 1.0, payload)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[1]\n{}",
        orjson.dumps(head()),
        orjson.dumps(head(id="x")) + b"\n1",
        orjson.dumps(head(type="Drop")) + b"\n1",
        orjson.dumps(head(function=1)) + b"\n1",
        orjson.dumps(head(deadline=None)) + b"\n1",
    ],
)
def test_what_is_no_request_is_told_without_its_text(content: bytes) -> None:
    """Whoever may run SQL may write any message: it ends nothing, and its text reaches no log (LC-96)."""
    with pytest.raises(RequestError) as raised:
        read_call(content)
    assert str(raised.value).startswith("not a request")


@given(st.binary())
def test_any_content_is_a_call_or_an_error(content: bytes) -> None:
    """No message ends the bridge (LC-96)."""
    with pytest.raises(RequestError):
        read_call(content)

"""Logical messages become records: by prefix, with the key and the bytes that their sender meant."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.capture import Capture
from cdc.emission import Emission
from cdc.lsn import STEPS, Lsn, Position
from cdc.outbox import Outbox, Routed, parse_messages
from cdc.pgoutput.messages import Begin, Insert, LogicalMessage, Message, Relation
from cdc.records import Record, TopicName
from cdc.tables import Route, TableName

EVENTS = TopicName("outbox-events")
OUTBOX = Outbox({"outbox": EVENTS})
ROW = ("1", "x", None, None, None, "{}")


def routed(content: bytes) -> Routed:
    """Return what a message under the prefix `outbox` becomes."""
    found = OUTBOX.route(LogicalMessage(True, Lsn(8), "outbox", content))
    assert found is not None
    return found


def records_of(*messages: Message) -> list[Record]:
    """Return the records of one transaction at LSN 0x100."""
    routes = {TableName("public", "event_headers"): Route(TopicName("raw"), ("id",))}
    capture = Capture(routes, b"7/db", clock=lambda: 1000.5, emission=Emission(outbox=OUTBOX))
    capture.begin(Begin(Lsn(0x100), 1_000_000, 42))
    return [record for message in messages for record in capture.records(message)]


def test_an_outbox_event_is_keyed_by_its_aggregate() -> None:
    """`payload` is the value, `id`, `type` and `aggregatetype` are headers: Debezium's outbox event router."""
    found = routed(
        b'{"id":"e1","aggregatetype":"order","aggregateid":"o-7","type":"OrderPaid","payload":{"total": 1.50, "n":[1]}}'
    )
    assert found == Routed(
        EVENTS,
        b"o-7",
        b'{"total": 1.50, "n":[1]}',
        (("id", b"e1"), ("type", b"OrderPaid"), ("aggregatetype", b"order")),
    )


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ('"text \\u00fc"', "text ü".encode()),
        ("12345678901234567890123456789.10", b"12345678901234567890123456789.10"),
        ("null", None),
        (' [1 , {"a" :"}"}] ', b'[1 , {"a" :"}"}]'),
    ],
)
def test_a_payload_keeps_its_digits_and_spaces(payload: str, value: bytes | None) -> None:
    """A text gives its characters, null a tombstone, anything else its bytes as they were written."""
    content = f' {{"id":1, "payload" :{payload}, "aggregatetype":"a" ,"aggregateid":7 }} '.encode()
    assert (routed(content).key, routed(content).value) == (b"7", value)


@given(
    payload=st.recursive(
        st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    ),
    indent=st.sampled_from([None, 2]),
)
def test_any_payload_means_the_same_as_in_the_message(payload: Any, indent: int | None) -> None:
    """However the sender's program writes JSON, the value parses to what was sent."""
    event = {"x": "{", "id": "1", "aggregatetype": "t", "aggregateid": "k", "payload": payload, "z": [{}]}
    try:
        found = routed(json.dumps(event, indent=indent, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return
    if payload is None:
        assert found.value is None
    else:
        assert found.value is not None
        assert found.value.decode() == payload if isinstance(payload, str) else json.loads(found.value) == payload


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[1]",
        b"{",
        b'{"id":1}',
        b'{"id":1,"aggregatetype":"a","aggregateid":null,"payload":1}',
        b'{"id":1,"aggregatetype":"a","aggregateid":"\\ud800","payload":1}',
    ],
)
def test_any_other_content_goes_byte_exact_under_its_prefix(content: bytes) -> None:
    """Nothing is guessed at; one prefix is one key, so its messages keep their order."""
    assert routed(content) == Routed(EVENTS, b"outbox", content)


def test_a_prefix_that_nobody_asked_for_is_not_routed() -> None:
    """Also not one that only begins like a listed one."""
    assert OUTBOX.route(LogicalMessage(True, Lsn(8), "outbox.more", b"")) is None
    assert Outbox().route(LogicalMessage(True, Lsn(8), "outbox", b"")) is None


def test_a_message_of_a_transaction_stands_among_its_changes(headers_relation: Relation) -> None:
    """Its ordinal is its place; it carries the transaction's headers and its own prefix."""
    within = LogicalMessage(True, Lsn(0x80), "outbox", b"x")
    first, message, last = records_of(headers_relation, Insert(16401, ROW), within, Insert(16401, ROW))
    assert [record.position.ordinal for record in (first, message, last)] == [4, 8, 12]
    assert (message.topic, message.key, message.value) == (EVENTS, b"outbox", b"x")
    assert dict(message.headers) == {
        "cdc.position": b"0/100/8",
        "cdc.source": b"7/db",
        "cdc.xid": b"42",
        "cdc.commit_us": b"1000000",
        "cdc.message": b"outbox",
    }


def test_a_message_outside_of_a_transaction_stands_at_its_own_place(headers_relation: Relation) -> None:
    """It belongs to no transaction, and moves the ordinals of none."""
    outside = LogicalMessage(False, Lsn(0x180), "outbox", b"x")
    message, row = records_of(headers_relation, outside, Insert(16401, ROW))
    assert message.position == Position(Lsn(0x180), 0)
    assert dict(message.headers) == {"cdc.position": b"0/180/0", "cdc.source": b"7/db", "cdc.message": b"outbox"}
    assert row.position.ordinal == STEPS


def test_a_message_whose_record_ends_where_a_commit_begins_has_a_place_of_its_own() -> None:
    """With the place of that transaction's first record, a restart took the one for the other and lost it."""
    alone = LogicalMessage(False, Lsn(0x100), "outbox", b"alone")
    message, first = records_of(alone, LogicalMessage(True, Lsn(0xF0), "outbox", b"within"))
    assert message.position < first.position


def test_routes_are_read_from_a_list() -> None:
    """Spaces around names mean nothing."""
    assert parse_messages(" outbox = outbox-events,audit=a.b ") == {"outbox": "outbox-events", "audit": "a.b"}
    assert parse_messages("") == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("outbox", "expected prefix=topic"),
        ("a=b,,c=d", "expected prefix=topic"),
        ("a=b c", "expected prefix=topic"),
        ("a=b,a=c", "twice"),
        ("headwater=x", "engine's own"),
        ("headwater.watermark=x", "engine's own"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, fault: str) -> None:
    """So is the engine's own prefix, whose messages are no events."""
    with pytest.raises(ValueError, match=fault):
        parse_messages(text)


def test_a_prefix_that_only_begins_like_the_engines_own_is_allowed() -> None:
    """What is reserved is the name and what lies below it."""
    assert parse_messages("headwaters=x") == {"headwaters": "x"}


def test_an_unrouted_message_counts_like_a_routed_one(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """CDC_MESSAGES may change between two runs without moving a row's position."""
    messages = (headers_relation, LogicalMessage(True, Lsn(1), "outbox", b""), Insert(16401, ROW))
    capture = new_capture()
    capture.begin(Begin(Lsn(0x100), 1_000_000, 42))
    plain = [record for message in messages for record in capture.records(message)]
    assert [record.position for record in plain] == [record.position for record in records_of(*messages)[1:]]

"""The decoder gives back what an independent encoder wrote, and answers any other bytes with a typed error."""

import struct
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import ProtocolError
from cdc.lsn import LARGEST_LSN, Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.frames import decode_frame, encode_status
from cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Keepalive,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    ReplicaIdentity,
    Truncate,
    Type,
    Update,
)

Encode = Callable[[Message], bytes]

oids = st.integers(0, 2**32 - 1)
lsns = st.integers(0, LARGEST_LSN).map(Lsn)
times = st.integers(0, 2**60)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60)
rows = st.lists(st.none() | st.just(UNCHANGED) | texts | st.binary(max_size=20), max_size=8).map(tuple)
columns = st.lists(st.builds(Column, names, oids, st.integers(-(2**31), 2**31 - 1), st.booleans()), max_size=8)
identities = st.sampled_from(ReplicaIdentity)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begin, lsns, times, oids),
    st.builds(Commit, lsns, lsns, times),
    st.builds(Origin, lsns, names),
    st.builds(Type, oids, names, names),
    st.builds(Relation, oids, names, names, identities, columns.map(tuple)),
    st.builds(Insert, oids, rows),
    st.builds(Update, oids, rows, st.booleans(), rows),
    st.builds(Update, oids, st.none(), st.just(False), rows),
    st.builds(Delete, oids, rows, st.booleans()),
    st.builds(Truncate, st.lists(oids, max_size=5).map(tuple), st.booleans(), st.booleans()),
    st.builds(LogicalMessage, st.booleans(), lsns, names, st.binary(max_size=40)),
)


@given(message=messages)
def test_every_message_survives_the_wire(wire: Encode, message: Message) -> None:
    """Each kind of message, with any content, is read as it was written."""
    assert decode(wire(message)) == message


@given(message=messages, data=st.data())
def test_a_cut_message_is_a_protocol_error(wire: Encode, message: Message, data: st.DataObject) -> None:
    """No prefix of a message is a message, and the offset lies within what there is."""
    whole = wire(message)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ProtocolError) as caught:
        decode(cut)
    assert 0 <= caught.value.offset <= len(cut)


@given(message=messages, extra=st.binary(min_size=1, max_size=5))
def test_bytes_after_a_message_are_a_protocol_error(wire: Encode, message: Message, extra: bytes) -> None:
    """What the server added is never passed over in silence."""
    with pytest.raises(ProtocolError):
        decode(wire(message) + extra)


@given(message=messages, seed=st.integers(0, 2**32))
def test_mutated_bytes_never_give_an_untyped_exception(wire: Encode, message: Message, seed: int) -> None:
    """Flipped, removed, doubled and inserted bytes give a message or a protocol error, nothing else."""
    random, data = Random(seed), bytearray(wire(message))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(3):
            case 0 if at < len(data):
                data[at] = random.randrange(256)
            case 1:
                del data[at : at + random.randint(1, 4)]
            case _:
                data[at:at] = random.randbytes(random.randint(1, 4))
    _decodes_or_refuses(bytes(data))


@given(st.binary(max_size=64))
def test_noise_never_gives_an_untyped_exception(data: bytes) -> None:
    """Bytes of no origin at all are refused, or happen to be a message."""
    _decodes_or_refuses(data)
    _frame_decodes_or_refuses(data)
    for kind in b"BCORYIUDTM":
        _decodes_or_refuses(bytes([kind]) + data)


def test_a_length_beyond_the_message_allocates_nothing() -> None:
    """A column that claims two gigabytes is refused by its claim."""
    with pytest.raises(ProtocolError, match="2147483647 bytes"):
        decode(b"I" + struct.pack("!IcHci", 1, b"N", 1, b"t", 2**31 - 1))


def test_a_truncate_of_four_billion_relations_is_refused_at_once() -> None:
    """The number of relations is checked against the bytes that there are."""
    with pytest.raises(ProtocolError, match="4294967295 relations"):
        decode(b"T" + struct.pack("!IB", 2**32 - 1, 0))


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"", 0),
        (b"Z", 0),
        (b"C\1" + bytes(24), 1),
        (b"I\0\0\0\1X", 5),
        (b"I\0\0\0\1N\0\1x", 8),
        (b"U\0\0\0\1X", 5),
        (b"D\0\0\0\1N", 5),
        (b"R\0\0\0\1a\0b\0x\0\0", 9),
        (b"M\2" + bytes(8), 1),
        (b"O" + bytes(8) + b"abc", 9),
    ],
)
def test_the_error_names_the_byte_at_fault(data: bytes, offset: int) -> None:
    """The offset points at what a person has to look at."""
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.offset == offset
    assert f"at byte {offset}" in str(caught.value)


def test_a_name_that_is_not_utf8_is_a_protocol_error() -> None:
    """The engine asked for UTF-8; anything else is a fault of the stream."""
    with pytest.raises(ProtocolError, match="UTF-8"):
        decode(b"Y\0\0\0\1\xff\0name\0")


def test_a_value_that_is_not_utf8_is_its_rows_trouble_alone() -> None:
    """A database in SQL_ASCII sends what was stored; the bytes travel on, for the row's dead letter."""
    assert decode(b"I\0\0\0\1N\0\1t\0\0\0\1\xff") == Insert(1, ("\udcff",))


def test_the_empty_schema_is_the_catalogue() -> None:
    """The protocol writes pg_catalog as an empty string."""
    assert decode(b"Y\0\0\0\1\0name\0") == Type(1, "pg_catalog", "name")


@given(message=messages, lsn=lsns)
def test_a_data_frame_carries_its_message(wire: Encode, message: Message, lsn: Lsn) -> None:
    """The frame's own positions and time are passed over; memoryview and bytes are alike."""
    frame = b"w" + struct.pack("!QQq", lsn, lsn, 0) + wire(message)
    assert decode_frame(frame) == message
    assert decode_frame(memoryview(frame)) == message


@given(lsns, st.booleans())
def test_a_keepalive_says_where_the_server_is(lsn: Lsn, reply: bool) -> None:
    """Position and the wish for a reply are kept."""
    assert decode_frame(b"k" + struct.pack("!QqB", lsn, 0, reply)) == Keepalive(lsn, reply)


@given(lsns, st.booleans())
def test_a_status_confirms_one_lsn_three_times(lsn: Lsn, reply: bool) -> None:
    """Written, flushed and applied are the same for us; the clock is PostgreSQL's."""
    data = encode_status(lsn, 946_684_801.0, reply_requested=reply)
    assert data == b"r" + struct.pack("!QQQqB", lsn, lsn, lsn, 1_000_000, reply)


def _decodes_or_refuses(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError as error:
        assert 0 <= error.offset <= len(data)  # noqa: PT017  # both outcomes are right


def _frame_decodes_or_refuses(data: bytes) -> None:
    try:
        decode_frame(data)
    except ProtocolError as error:
        assert error.offset >= 0  # noqa: PT017  # both outcomes are right

"""The messages around streamed and prepared transactions are read as written; a block is handed on undecoded."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import ProtocolError
from cdc.lsn import LARGEST_LSN, Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.frames import FrameReader
from cdc.pgoutput.messages import (
    BeginPrepare,
    CommitPrepared,
    Control,
    Insert,
    Keepalive,
    Origin,
    Prepare,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    Streamed,
    StreamPrepare,
    StreamStart,
    StreamStop,
)

xids = st.integers(0, 2**32 - 1)
lsns = st.integers(0, LARGEST_LSN).map(Lsn)
times = st.integers(0, 2**60)
gids = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
phases = (lsns, lsns, times, xids, gids)
controls: st.SearchStrategy[Control] = st.one_of(
    st.builds(StreamStart, xids, st.booleans()),
    st.just(StreamStop()),
    st.builds(StreamCommit, xids, lsns, lsns, times),
    st.builds(StreamAbort, xids, xids),
    st.builds(StreamAbort, xids, xids, lsns, times),
    st.builds(BeginPrepare, *phases),
    st.builds(Prepare, *phases),
    st.builds(StreamPrepare, *phases),
    st.builds(CommitPrepared, *phases),
    st.builds(RollbackPrepared, lsns, lsns, times, times, xids, gids),
)

Encode = Callable[[Control], bytes]


@given(message=controls)
def test_every_message_of_control_survives_the_wire(wire_control: Encode, message: Control) -> None:
    """Each kind, with any content, is read as it was written; the abort of protocol 4 with its place and time."""
    assert decode(wire_control(message)) == message


@given(message=controls, data=st.data())
def test_a_cut_message_of_control_is_a_protocol_error(
    wire_control: Encode, message: Control, data: st.DataObject
) -> None:
    """No prefix of a message is a message; but for the abort, whose shorter form is that of protocol 2."""
    whole = wire_control(message)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    if isinstance(message, StreamAbort) and len(cut) == 9:
        return
    with pytest.raises(ProtocolError):
        decode(cut)


@pytest.mark.parametrize("kind", [b"c\0\0\0\1\1", b"P\1", b"p\1", b"K\1", b"r\1", b"S\0\0\0\1\2"])
def test_flags_that_nobody_knows_are_refused(kind: bytes) -> None:
    """What a later server may mean by them is not passed over."""
    with pytest.raises(ProtocolError, match="flag"):
        decode(kind + bytes(60))


ROW = Insert(7, ("a",))


def test_what_is_in_a_block_is_not_decoded(frame: Callable[..., bytes]) -> None:
    """It comes with its transaction's id and otherwise as protocol 1 has it, be it well-formed or not."""
    reader = FrameReader()
    assert reader.read(frame(ROW)) == ROW
    assert reader.read(frame(StreamStart(5, True))) == StreamStart(5, True)
    streamed = reader.read(frame(ROW, 6))
    assert isinstance(streamed, Streamed)
    assert streamed.xid == 6
    assert decode(bytes((streamed.kind,)) + streamed.body) == ROW
    assert reader.read(b"w" + bytes(24) + b"I\0\0\0\x08nonsense") == Streamed(8, ord("I"), b"nonsense")
    assert reader.read(b"k" + struct.pack("!QqB", 9, 0, 1)) == Keepalive(Lsn(9), reply_requested=True)
    assert reader.read(frame(Origin(Lsn(1), "o"))) == Origin(Lsn(1), "o")
    assert reader.read(frame(StreamStop())) == StreamStop()
    assert reader.read(frame(ROW)) == ROW


def test_what_is_being_prepared_is_not_decoded_either(frame: Callable[..., bytes]) -> None:
    """There the messages carry no id; it is that of the transaction."""
    reader = FrameReader()
    begin = BeginPrepare(Lsn(1), Lsn(2), 0, 9, "g")
    prepare = Prepare(Lsn(1), Lsn(2), 0, 9, "g")
    assert reader.read(frame(begin)) == begin
    assert reader.read(frame(ROW)) == Streamed(9, ord("I"), frame(ROW)[26:])
    assert reader.read(frame(prepare)) == prepare
    assert reader.read(frame(ROW)) == ROW


@pytest.mark.parametrize("data", [b"w" + bytes(24), b"w" + bytes(24) + b"I\0\0\0", b"w" + bytes(24) + b"Z", b"", b"x"])
def test_what_may_not_be_in_a_block_is_refused(frame: Callable[..., bytes], data: bytes) -> None:
    """Also what is too short to carry an id."""
    reader = FrameReader()
    reader.read(frame(StreamStart(5, True)))
    with pytest.raises(ProtocolError):
        reader.read(data)

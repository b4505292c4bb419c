"""Owns the envelope around messages on a replication connection: data and keepalives in, standby status out. No I/O.

Its one bit of state is the block: between Stream Start and Stream Stop every message carries the id of its
(sub)transaction after its type byte, so a message cannot be read without knowing where it stands. What is inside a
block, or inside a transaction that is being prepared, is handed on undecoded.

Source of facts: PostgreSQL manual, sections "Streaming Replication Protocol" (XLogData 'w', Primary keepalive 'k',
Standby status update 'r') and "Logical Replication Message Formats".
"""

from struct import Struct
from typing import Final

from cdc.compiled import read_frame
from cdc.errors import ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.messages import BeginPrepare, Keepalive, Streamed, StreamStart, WireEvent

_DATA: Final = Struct("!cQQq")
_KEEPALIVE: Final = Struct("!cQqB")
_STATUS: Final = Struct("!cQQQqB")
_XID: Final = Struct("!I")

_DATA_KIND, _KEEPALIVE_KIND = b"wk"
_POSTGRES_EPOCH_S: Final = 946_684_800

_SPOOLED: Final = frozenset(b"RYIUDTM")
_ORIGIN: Final = ord("O")
_STREAM_STOP: Final = ord("E")
_PREPARE: Final = ord("P")


class FrameReader:
    """Read the COPY data messages of one connection in order."""

    def __init__(self) -> None:
        """Start outside of any block, as a connection does."""
        self._ends: int | None = None
        """The type of the message that ends the present block; None outside of one."""
        self._xid = 0

    def read(self, data: bytes | memoryview) -> WireEvent:
        """Return the event that one COPY data message carries.

        Raises:
            ProtocolError: The bytes are neither data nor keepalive, their message is malformed or not where it may be.
        """
        if self._ends is None or not data or data[0] != _DATA_KIND:
            if (ordinary := read_frame(data)) is not None:
                # Nearly all, and none of them begins a block.
                return ordinary
            event = decode_frame(data)
            if isinstance(event, StreamStart):
                self._ends = _STREAM_STOP
            elif isinstance(event, BeginPrepare):
                self._ends, self._xid = _PREPARE, event.xid
            return event
        return self._within(data)

    def _within(self, data: bytes | memoryview) -> WireEvent:
        at = _DATA.size
        if len(data) <= at:
            raise ProtocolError("empty message", at)
        kind = data[at]
        if kind in _SPOOLED:
            if self._ends == _PREPARE:
                return Streamed(self._xid, kind, bytes(data[at + 1 :]))
            if len(data) < at + 5:
                raise ProtocolError(f"message {chr(kind)} is cut off", len(data))
            (xid,) = _XID.unpack_from(data, at + 1)
            return Streamed(xid, kind, bytes(data[at + 5 :]))
        if kind == self._ends:
            event = decode(data, at)
            self._ends = None
            return event
        if kind == _ORIGIN:
            # The one message of a block without the id of a transaction.
            return decode(data, at)
        raise ProtocolError(f"message {bytes(data[at : at + 1])!r} within a block", at)


def decode_frame(data: bytes | memoryview) -> WireEvent:
    """Return the event that one COPY data message outside of any block carries.

    Raises:
        ProtocolError: The bytes are neither data nor keepalive, or their message is malformed.
    """
    if not data:
        raise ProtocolError("empty frame", 0)
    kind = data[0]
    if kind == _DATA_KIND:
        # Walks on from the header without a copy; a frame shorter than its header is an empty message to the decoder.
        return decode(data, _DATA.size)
    if kind == _KEEPALIVE_KIND:
        if len(data) != _KEEPALIVE.size:
            raise ProtocolError(f"keepalive of {len(data)} bytes", len(data))
        _, wal_end, _, reply = _KEEPALIVE.unpack(data)
        return Keepalive(wal_end, reply == 1)
    raise ProtocolError(f"unknown frame type {bytes(data[:1])!r}", 0)


def encode_status(confirmed: Lsn, now: float, *, reply_requested: bool = False) -> bytes:
    """Return the standby status that confirms everything before `confirmed` as written, flushed and applied.

    Args:
        confirmed: The LSN up to which the server may forget.
        now: The client's clock in seconds since the Unix epoch.
        reply_requested: Ask the server for a keepalive at once.
    """
    clock_us = int((now - _POSTGRES_EPOCH_S) * 1_000_000)
    return _STATUS.pack(b"r", confirmed, confirmed, confirmed, clock_us, reply_requested)

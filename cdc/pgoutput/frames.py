"""Owns the envelope around messages on a replication connection: data and keepalives in, standby status out. No I/O.

Source of facts: PostgreSQL manual, section "Streaming Replication Protocol" (XLogData 'w', Primary keepalive 'k',
Standby status update 'r').
"""

from struct import Struct
from typing import Final

from cdc.errors import ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.messages import Event, Keepalive

_DATA: Final = Struct("!cQQq")
_KEEPALIVE: Final = Struct("!cQqB")
_STATUS: Final = Struct("!cQQQqB")

_DATA_KIND, _KEEPALIVE_KIND = b"wk"
_POSTGRES_EPOCH_S: Final = 946_684_800


def decode_frame(data: bytes | memoryview) -> Event:
    """Return the event that one COPY data message carries.

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

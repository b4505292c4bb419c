"""Owns the bytes on the replication connection: frames in, standby status out. No I/O.

The CDC engine has a decoder of its own, for everything that pgoutput sends; stages do not import each other, and of all
that the bridge wants one message only.

Source of facts: PostgreSQL manual, "Streaming Replication Protocol" and "Logical Replication Message Formats".
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import Final

PREFIX: Final = b"aws_lambda"

_DATA: Final = Struct("!cQQq")
_KEEPALIVE: Final = Struct("!cQqB")
_STATUS: Final = Struct("!cQQQqB")
_MESSAGE: Final = Struct("!cBQ")
_LENGTH: Final = Struct("!I")
_POSTGRES_EPOCH_S: Final = 946_684_800


class WireError(Exception):
    """Bytes that are no frame of the protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame says: how far the WAL was sent, whether the server wants a sign of life, and a request."""

    wal_end: int
    reply: bool = False
    request: bytes | None = None


def decode(data: bytes) -> Frame:
    """Return what a frame says; messages of other prefixes and everything else have no request.

    Raises:
        WireError: The bytes are neither data nor keepalive, or are cut off.
    """
    try:
        if data[:1] == b"k":
            _, wal_end, _, reply = _KEEPALIVE.unpack(data)
            return Frame(wal_end, reply=reply == 1)
        if data[:1] != b"w":
            raise WireError(f"unknown frame {data[:1]!r}")
        _, start, end, _ = _DATA.unpack_from(data)
        return Frame(max(start, end), request=_request(data))
    except struct.error as error:
        raise WireError(f"a frame of {len(data)} bytes is cut off") from error


def _request(data: bytes) -> bytes | None:
    at = _DATA.size
    if data[at : at + 1] != b"M":
        return None
    _, flags, _ = _MESSAGE.unpack_from(data, at)
    prefix, zero, _ = data[at + _MESSAGE.size :].partition(b"\0")
    if not zero:
        raise WireError("a message's prefix has no end")
    at += _MESSAGE.size + len(prefix) + 1
    (length,) = _LENGTH.unpack_from(data, at)
    content = data[at + _LENGTH.size :]
    if len(content) != length:
        raise WireError(f"a message of {length} bytes has {len(content)}")
    # Flag 1 is a message that came with its transaction's commit: its sender has not waited.
    return content if prefix == PREFIX and flags == 0 else None


def encode_status(confirmed: int, now: float) -> bytes:
    """Return the standby status that lets the server forget all before `confirmed`; `now` since the Unix epoch."""
    clock_us = int((now - _POSTGRES_EPOCH_S) * 1_000_000)
    return _STATUS.pack(b"r", confirmed, confirmed, confirmed, clock_us, 0)

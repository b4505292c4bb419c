"""Owns the way back: from a row change or a relation to the bytes that the server sent for it. Stateless, no I/O.

A message keeps everything that its bytes held, so nothing has to be kept beside it for the rare change whose bytes are
wanted again. The form is that of protocol 1, without the transaction id that streamed chunks put after the type byte.
Source of facts: PostgreSQL manual, section "Logical Replication Message Formats".
"""

from struct import Struct
from typing import Final

from cdc.pgoutput.messages import UNCHANGED, Delete, Insert, Row, Update

_OID: Final = Struct("!I")
_COUNT: Final = Struct("!H")
_LENGTH: Final = Struct("!i")


def encode_change(change: Insert | Update | Delete) -> bytes:
    """Return the bytes of a change, equal to those it was decoded from."""
    oid = _OID.pack(change.relation_oid)
    if isinstance(change, Insert):
        return b"I" + oid + b"N" + _row(change.new)
    if isinstance(change, Delete):
        return b"D" + oid + (b"K" if change.old_is_key else b"O") + _row(change.old)
    old = b"" if change.old is None else (b"K" if change.old_is_key else b"O") + _row(change.old)
    return b"U" + oid + old + b"N" + _row(change.new)


def _row(row: Row) -> bytes:
    parts = [_COUNT.pack(len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        elif isinstance(value, bytes):
            parts += (b"b", _LENGTH.pack(len(value)), value)
        else:
            # Bytes that are no UTF-8 came in as lone surrogates (see the decoder) and leave as what they were.
            content = value.encode("utf-8", "surrogateescape")
            parts += (b"t", _LENGTH.pack(len(content)), content)
    return b"".join(parts)

"""Owns the decoding of one pgoutput message (protocols 1 to 4). Stateless: equal bytes give equal messages, for ever.

Within a stream block a message has another form, see `cdc.pgoutput.frames`; here it has that of protocol 1.

Any bytes at all give either a message or `ProtocolError` with the offset of the fault; another exception is a bug here.
Source of facts: PostgreSQL manual, section "Logical Replication Message Formats".
"""

import struct
from collections.abc import Callable
from struct import Struct
from typing import Final

from cdc import compiled
from cdc.errors import ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.control import CONTROL_DECODERS
from cdc.pgoutput.messages import (
    POSTGRES_EPOCH_US,
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Control,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    ReplicaIdentity,
    Row,
    Truncate,
    Type,
    Update,
    Value,
)

_BEGIN: Final = Struct("!QqI")
_COMMIT: Final = Struct("!BQQq")
_COLUMN: Final = Struct("!Ii")
_MESSAGE: Final = Struct("!BQ")
_TRUNCATE: Final = Struct("!IB")
_OID: Final = Struct("!I")
_LSN: Final = Struct("!Q")
_COUNT: Final = Struct("!H")
_LENGTH: Final = Struct("!i")

_KEY, _OLD, _NEW = b"KON"
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"
_TRUNCATE_CASCADE, _TRUNCATE_RESTART = 1, 2
_IDENTITIES: Final = {ord(identity.value): identity for identity in ReplicaIdentity}


def decode(data: bytes | memoryview, offset: int = 0) -> Message | Control:
    """Return the message that `data` holds from `offset` to its end.

    Raises:
        ProtocolError: The bytes are no message, end too early or too late, or hold a name that is not
            UTF-8. A value that is not UTF-8 is a fault of the row alone, see `_row`.
    """
    if (ordinary := compiled.decode(data, offset)) is not None:
        return ordinary
    return decode_plainly(data, offset)


def decode_plainly(data: bytes | memoryview, offset: int = 0) -> Message | Control:
    """Return the message as `decode` does, by Python alone.

    Raises:
        ProtocolError: As there.
    """
    if offset >= len(data):
        raise ProtocolError("empty message", offset)
    decoder = _DECODERS.get(data[offset])
    if decoder is None:
        raise ProtocolError(f"unknown message type {bytes(data[offset : offset + 1])!r}", offset)
    try:
        message, end = decoder(data, offset + 1)
    except (struct.error, IndexError) as error:
        raise ProtocolError(f"message {chr(data[offset])} is cut off", len(data)) from error
    except UnicodeDecodeError as error:
        raise ProtocolError("a name is not UTF-8", offset) from error
    if end != len(data):
        raise ProtocolError(f"message {chr(data[offset])} has {len(data) - end} bytes too many", end)
    return message


def _row(data: bytes | memoryview, at: int) -> tuple[Row, int]:
    (count,) = _COUNT.unpack_from(data, at)
    at += 2
    values: list[Value] = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == _TEXT:
            (length,) = _LENGTH.unpack_from(data, at)
            start, at = at + 4, at + 4 + length
            if length < 0 or at > len(data):
                raise ProtocolError(f"column of {length} bytes does not fit its message", start - 4)
            # A database in SQL_ASCII sends whatever was stored. One such value is that row's trouble, not the stream's:
            # its bytes travel on as lone surrogates, which no record can hold and the encoder turns back into bytes.
            values.append(str(data[start:at], "utf-8", "surrogateescape"))
        elif kind == _NULL:
            values.append(None)
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
        elif kind == _BINARY:
            content, at = _bytes(data, at)
            values.append(content)
        else:
            raise ProtocolError(f"unknown column kind {kind}", at - 1)
    return tuple(values), at


def _bytes(data: bytes | memoryview, at: int) -> tuple[bytes, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    end = at + 4 + length
    if length < 0 or end > len(data):
        raise ProtocolError(f"content of {length} bytes does not fit its message", at)
    return bytes(data[at + 4 : end]), end


def _string(data: bytes | memoryview, at: int) -> tuple[str, int]:
    # Names are short; the copy is made for relations and messages only, never for rows.
    rest = bytes(data[at:])
    end = rest.find(0)
    if end < 0:
        raise ProtocolError("text without its terminating zero byte", at)
    return rest[:end].decode(), at + end + 1


def _begin(data: bytes | memoryview, at: int) -> tuple[Begin, int]:
    final_lsn, committed, xid = _BEGIN.unpack_from(data, at)
    return Begin(final_lsn, committed + POSTGRES_EPOCH_US, xid), at + 20


def _commit(data: bytes | memoryview, at: int) -> tuple[Commit, int]:
    flags, commit_lsn, end_lsn, committed = _COMMIT.unpack_from(data, at)
    if flags:
        raise ProtocolError(f"unknown commit flags {flags:#x}", at)
    return Commit(commit_lsn, end_lsn, committed + POSTGRES_EPOCH_US), at + 25


def _origin(data: bytes | memoryview, at: int) -> tuple[Origin, int]:
    (lsn,) = _LSN.unpack_from(data, at)
    name, at = _string(data, at + 8)
    return Origin(lsn, name), at


def _relation(data: bytes | memoryview, at: int) -> tuple[Relation, int]:
    (oid,) = _OID.unpack_from(data, at)
    schema, at = _string(data, at + 4)
    name, at = _string(data, at)
    identity = _IDENTITIES.get(data[at])
    if identity is None:
        raise ProtocolError(f"unknown replica identity {data[at]}", at)
    (count,) = _COUNT.unpack_from(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        if flags > 1:
            raise ProtocolError(f"unknown column flags {flags:#x}", at)
        column, at = _string(data, at + 1)
        type_oid, modifier = _COLUMN.unpack_from(data, at)
        at += 8
        columns.append(Column(column, type_oid, modifier, flags == 1))
    # The manual's empty string for pg_catalog, made explicit.
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns)), at


def _type(data: bytes | memoryview, at: int) -> tuple[Type, int]:
    (oid,) = _OID.unpack_from(data, at)
    schema, at = _string(data, at + 4)
    name, at = _string(data, at)
    return Type(oid, schema or "pg_catalog", name), at


def _insert(data: bytes | memoryview, at: int) -> tuple[Insert, int]:
    (oid,) = _OID.unpack_from(data, at)
    if data[at + 4] != _NEW:
        raise ProtocolError("insert without its new row", at + 4)
    row, at = _row(data, at + 5)
    return Insert(oid, row), at


def _update(data: bytes | memoryview, at: int) -> tuple[Update, int]:
    (oid,) = _OID.unpack_from(data, at)
    at += 4
    mark, old = data[at], None
    if mark in (_KEY, _OLD):
        old, at = _row(data, at + 1)
    if data[at] != _NEW:
        raise ProtocolError("update without its new row", at)
    new, at = _row(data, at + 1)
    return Update(oid, old, mark == _KEY, new), at


def _delete(data: bytes | memoryview, at: int) -> tuple[Delete, int]:
    (oid,) = _OID.unpack_from(data, at)
    mark = data[at + 4]
    if mark not in (_KEY, _OLD):
        raise ProtocolError("delete without its old row", at + 4)
    old, at = _row(data, at + 5)
    return Delete(oid, old, mark == _KEY), at


def _truncate(data: bytes | memoryview, at: int) -> tuple[Truncate, int]:
    count, options = _TRUNCATE.unpack_from(data, at)
    start, end = at + 5, at + 5 + 4 * count
    if end > len(data):
        raise ProtocolError(f"truncate of {count} relations does not fit its message", at)
    if options > (_TRUNCATE_CASCADE | _TRUNCATE_RESTART):
        raise ProtocolError(f"unknown truncate options {options:#x}", at + 4)
    oids = tuple(_OID.unpack_from(data, position)[0] for position in range(start, end, 4))
    return Truncate(oids, bool(options & _TRUNCATE_CASCADE), bool(options & _TRUNCATE_RESTART)), end


def _message(data: bytes | memoryview, at: int) -> tuple[LogicalMessage, int]:
    flags, lsn = _MESSAGE.unpack_from(data, at)
    if flags > 1:
        raise ProtocolError(f"unknown message flags {flags:#x}", at)
    prefix, at = _string(data, at + 9)
    content, at = _bytes(data, at)
    return LogicalMessage(flags == 1, Lsn(lsn), prefix, content), at


_DECODERS: Final[dict[int, Callable[[bytes | memoryview, int], tuple[Message | Control, int]]]] = {
    **CONTROL_DECODERS,
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _message,
}

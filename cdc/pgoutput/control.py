"""Owns the decoding of the messages around streamed and prepared transactions (protocols 2 to 4). Stateless, no I/O.

Source of facts: PostgreSQL manual, "Logical Replication Message Formats", and the server's `logical/proto.c`.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from cdc.errors import ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.messages import (
    POSTGRES_EPOCH_US,
    BeginPrepare,
    CommitPrepared,
    Control,
    Prepare,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    StreamPrepare,
    StreamStart,
    StreamStop,
)

_START: Final = Struct("!IB")
_COMMIT: Final = Struct("!IBQQq")
_ABORT: Final = Struct("!II")
_ABORT_INFO: Final = Struct("!Qq")
_BEGIN_PREPARE: Final = Struct("!QQqI")
_PREPARE: Final = Struct("!BQQqI")
_ROLLBACK_PREPARED: Final = Struct("!BQQqqI")

Data = bytes | memoryview


def _no_flags(name: str, flags: int, at: int) -> None:
    if flags:
        raise ProtocolError(f"unknown {name} flags {flags:#x}", at)


def _gid(data: Data, at: int) -> tuple[str, int]:
    rest = bytes(data[at:])
    end = rest.find(0)
    if end < 0:
        raise ProtocolError("text without its terminating zero byte", at)
    return rest[:end].decode(), at + end + 1


def _stream_start(data: Data, at: int) -> tuple[StreamStart, int]:
    xid, first = _START.unpack_from(data, at)
    if first > 1:
        raise ProtocolError(f"unknown stream segment flag {first:#x}", at + 4)
    return StreamStart(xid, first == 1), at + _START.size


def _stream_stop(_data: Data, at: int) -> tuple[StreamStop, int]:
    return StreamStop(), at


def _stream_commit(data: Data, at: int) -> tuple[StreamCommit, int]:
    xid, flags, commit_lsn, end_lsn, committed = _COMMIT.unpack_from(data, at)
    _no_flags("stream commit", flags, at + 4)
    return StreamCommit(xid, Lsn(commit_lsn), Lsn(end_lsn), committed + POSTGRES_EPOCH_US), at + _COMMIT.size


def _stream_abort(data: Data, at: int) -> tuple[StreamAbort, int]:
    xid, subxid = _ABORT.unpack_from(data, at)
    at += _ABORT.size
    if len(data) == at:
        return StreamAbort(xid, subxid), at
    # Protocol 4 adds place and time, and only where streaming is 'parallel': the length tells.
    lsn, aborted = _ABORT_INFO.unpack_from(data, at)
    return StreamAbort(xid, subxid, Lsn(lsn), aborted + POSTGRES_EPOCH_US), at + _ABORT_INFO.size


def _begin_prepare(data: Data, at: int) -> tuple[BeginPrepare, int]:
    lsn, end, prepared, xid = _BEGIN_PREPARE.unpack_from(data, at)
    gid, at = _gid(data, at + _BEGIN_PREPARE.size)
    return BeginPrepare(Lsn(lsn), Lsn(end), prepared + POSTGRES_EPOCH_US, xid, gid), at


def _prepare(data: Data, at: int) -> tuple[Prepare, int]:
    flags, lsn, end, prepared, xid = _PREPARE.unpack_from(data, at)
    _no_flags("prepare", flags, at)
    gid, at = _gid(data, at + _PREPARE.size)
    return Prepare(Lsn(lsn), Lsn(end), prepared + POSTGRES_EPOCH_US, xid, gid), at


def _stream_prepare(data: Data, at: int) -> tuple[StreamPrepare, int]:
    flags, lsn, end, prepared, xid = _PREPARE.unpack_from(data, at)
    _no_flags("stream prepare", flags, at)
    gid, at = _gid(data, at + _PREPARE.size)
    return StreamPrepare(Lsn(lsn), Lsn(end), prepared + POSTGRES_EPOCH_US, xid, gid), at


def _commit_prepared(data: Data, at: int) -> tuple[CommitPrepared, int]:
    flags, lsn, end, committed, xid = _PREPARE.unpack_from(data, at)
    _no_flags("commit prepared", flags, at)
    gid, at = _gid(data, at + _PREPARE.size)
    return CommitPrepared(Lsn(lsn), Lsn(end), committed + POSTGRES_EPOCH_US, xid, gid), at


def _rollback_prepared(data: Data, at: int) -> tuple[RollbackPrepared, int]:
    flags, prepare_end, end, prepared, rolled_back, xid = _ROLLBACK_PREPARED.unpack_from(data, at)
    _no_flags("rollback prepared", flags, at)
    gid, at = _gid(data, at + _ROLLBACK_PREPARED.size)
    times = prepared + POSTGRES_EPOCH_US, rolled_back + POSTGRES_EPOCH_US
    return RollbackPrepared(Lsn(prepare_end), Lsn(end), *times, xid, gid), at


CONTROL_DECODERS: Final[dict[int, Callable[[Data, int], tuple[Control, int]]]] = {
    ord("S"): _stream_start,
    ord("E"): _stream_stop,
    ord("c"): _stream_commit,
    ord("A"): _stream_abort,
    ord("b"): _begin_prepare,
    ord("P"): _prepare,
    ord("K"): _commit_prepared,
    ord("r"): _rollback_prepared,
    ord("p"): _stream_prepare,
}

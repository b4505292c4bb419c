"""Owns the vocabulary of a change stream: one frozen class for each message of pgoutput, and the keepalive.

A message is what the server said, nothing derived: column texts stay texts, relations are referred to by their OID.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, TypeAlias

from cdc.lsn import Lsn


@unique
class Unchanged(Enum):
    """Stands for a TOASTed value that the update did not touch and the server therefore did not send."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z, PostgreSQL's time zero, in microseconds since the Unix epoch."""

Value: TypeAlias = str | bytes | Unchanged | None
"""One column: its text form, its binary form (only if asked for), unchanged TOAST, or NULL."""

Row: TypeAlias = tuple[Value, ...]


@unique
class ReplicaIdentity(Enum):
    """What the server logs of a row's old version (`ALTER TABLE … REPLICA IDENTITY`)."""

    DEFAULT = "d"
    NOTHING = "n"
    FULL = "f"
    INDEX = "i"


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins; protocol 1 sends it whole, after its commit."""

    final_lsn: Lsn
    """Where its commit record begins: the commit LSN."""
    committed_us: int
    """Commit time in microseconds since the Unix epoch."""
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction ends."""

    commit_lsn: Lsn
    end_lsn: Lsn
    """Where its commit record ends: confirming this LSN means that the transaction is never sent again."""
    committed_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came from another node by replication."""

    commit_lsn: Lsn
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; `is_key` says that it belongs to the replica identity."""

    name: str
    type_oid: int
    type_modifier: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """The shape of a table, sent before its first change and after each change of its shape."""

    oid: int
    schema: str
    name: str
    replica_identity: ReplicaIdentity
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """The name of a type that is not built in."""

    oid: int
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    relation_oid: int
    new: Row


@dataclass(frozen=True, slots=True)
class Update:
    """A new version of a row; `old` is there when the replica identity gave it, `old_is_key` when only its key."""

    relation_oid: int
    old: Row | None
    old_is_key: bool
    new: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """A row is gone; `old_is_key` says that only the columns of the replica identity are known."""

    relation_oid: int
    old: Row
    old_is_key: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """All rows of some tables are gone."""

    relation_oids: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """A message of `pg_logical_emit_message`, inside a transaction or outside of any."""

    transactional: bool
    lsn: Lsn
    """Where its record ends; the next one may begin there."""
    prefix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server's sign of life: everything that committed before `wal_end` has been sent."""

    wal_end: Lsn
    reply_requested: bool


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A block of a transaction that is still running begins; `first` says that it is the first one."""

    xid: int
    first: bool


@dataclass(frozen=True, slots=True)
class StreamStop:
    """The block ends."""


@dataclass(frozen=True, slots=True)
class StreamCommit:
    """A streamed transaction has committed; the fields are those of `Begin` and `Commit`."""

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    committed_us: int


@dataclass(frozen=True, slots=True)
class StreamAbort:
    """A streamed transaction, or with another `subxid` one of its subtransactions, is rolled back."""

    xid: int
    subxid: int
    abort_lsn: Lsn | None = None
    """Only from protocol 4 on, and only with streaming 'parallel'."""
    aborted_us: int | None = None


@dataclass(frozen=True, slots=True)
class _TwoPhase:
    """What the messages of a prepared transaction have in common: the record's place and time, and the name."""

    lsn: Lsn
    end_lsn: Lsn
    at_us: int
    xid: int
    gid: str


@dataclass(frozen=True, slots=True)
class BeginPrepare(_TwoPhase):
    """The changes of a transaction that is being prepared follow; only on slots with two_phase."""


@dataclass(frozen=True, slots=True)
class Prepare(_TwoPhase):
    """They are complete."""


@dataclass(frozen=True, slots=True)
class StreamPrepare(_TwoPhase):
    """A streamed transaction is prepared."""


@dataclass(frozen=True, slots=True)
class CommitPrepared(_TwoPhase):
    """A prepared transaction has committed; `lsn` is its commit LSN."""


@dataclass(frozen=True, slots=True)
class RollbackPrepared:
    """A prepared transaction is rolled back."""

    prepare_end_lsn: Lsn
    end_lsn: Lsn
    prepared_us: int
    rolled_back_us: int
    xid: int
    gid: str


@dataclass(frozen=True, slots=True)
class Streamed:
    """A message within a stream block or a prepared transaction, not decoded: what the spool takes costs no decoding.

    `kind` and `body` together are the message as protocol 1 has it.
    """

    xid: int
    """The subtransaction; of a logical message the top transaction, whichever sent it."""
    kind: int
    body: bytes


Message: TypeAlias = (
    Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage
)  # fmt: skip
Control: TypeAlias = (
    StreamStart | StreamStop | StreamCommit | StreamAbort
    | BeginPrepare | Prepare | StreamPrepare | CommitPrepared | RollbackPrepared
)  # fmt: skip
Event: TypeAlias = Message | Keepalive
"""What the loop takes: whole transactions, each in one piece, in the order of their commits."""
WireEvent: TypeAlias = Event | Control | Streamed
"""What the server sends."""

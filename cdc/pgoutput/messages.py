"""Owns the vocabulary of a change stream: one frozen class for each message of pgoutput protocol 1, and the keepalive.

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
    """Where its record ends."""
    prefix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server's sign of life: everything that committed before `wal_end` has been sent."""

    wal_end: Lsn
    reply_requested: bool


Message: TypeAlias = (
    Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage
)  # fmt: skip
Event: TypeAlias = Message | Keepalive
"""What a stream yields."""

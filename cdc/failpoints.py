"""Owns the named places at which a test kills the engine. Does nothing at all unless `CDC_FAILPOINT` armed one.

A failpoint is a place where a crash could hurt. `CDC_FAILPOINT=name:count` ends the process by SIGKILL when it reaches
that place for the count-th time: no cleanup, no flush, as when the kernel or the power takes it. The calls stand at the
doorways and once in a batch, a block or a session; what is counted by record is asked for once, see `at_record`.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

import orjson
import structlog

from cdc.letters.deadletters import DeadLetter
from cdc.lsn import STEPS
from cdc.records import SNAPSHOT, XID, Record

_log: Final = structlog.get_logger(__name__)

_ARMED: Final = re.compile(r"([a-z_]+)(?::([1-9][0-9]{0,8}))?")
_OF_INITIAL_SNAPSHOT: Final = 3
"""So many elements has the header of its rows; those of an incremental one have the request besides."""


@unique
class Failpoint(Enum):
    """The places, in the order in which a change meets them."""

    SLOT_TAKEN = "slot_taken"
    """The slot streams to us; nobody has asked yet what the topics hold."""
    TAILS_READ = "tails_read"
    """The ends of the topics are known; the first change is not read."""
    BLOCK_BEGUN = "block_begun"
    """A block of a transaction that has not committed begins, those before it are in the spool."""
    SPILLED = "spilled"
    """The spool has moved a transaction's bytes to its file."""
    REPLAYING = "replaying"
    """A streamed transaction has committed; the count-th of its blocks is about to leave the spool."""
    RECORD_SENT = "record_sent"
    """A record is in the producer's queue, on its way or not."""
    TRANSACTION_TORN = "transaction_torn"
    """Kafka has a change that is not its transaction's first, and nothing behind it."""
    CHANGE_TORN = "change_torn"
    """Kafka has the tombstone of a change, of a new key that old one's, and nothing behind it."""
    LETTER_TORN = "letter_torn"
    """Kafka has a part of a dead letter that is not its last, and nothing behind it."""
    ACKNOWLEDGED = "acknowledged"
    """The acknowledgement of a record has come; nothing was confirmed for it."""
    BOOKMARK_DUE = "bookmark_due"
    """The bookmark is about to be sent to Kafka."""
    BOOKMARK_WRITTEN = "bookmark_written"
    """Kafka has the bookmark; the confirmation that it covers is not sent."""
    CONFIRMING = "confirming"
    """A status that confirms more than the last one is about to be sent."""
    CONFIRMED = "confirmed"
    """A status that confirms more than the last one was sent."""
    SNAPSHOT_BEGUN = "snapshot_begun"
    """The initial snapshot's slot exists, none of its rows is sent."""
    SNAPSHOT_ROW = "snapshot_row"
    """Kafka has a row of the initial snapshot, and nothing behind it."""
    SNAPSHOT_CAUGHT_UP = "snapshot_caught_up"
    """A snapshot that was cut off goes on: what committed since is streamed, the rows that are left are not."""
    SNAPSHOT_COPIED = "snapshot_copied"
    """Kafka has every row of the initial snapshot; the bookmark is not written."""
    SNAPSHOT_REMEMBERED = "snapshot_remembered"
    """The bookmark is written, the slot is not promoted."""
    SNAPSHOT_PROMOTED = "snapshot_promoted"
    """The slot has its own name; the snapshot's is left over."""
    CHUNK_LOW = "chunk_low"
    """The low watermark of an incremental snapshot's chunk is written."""
    CHUNK_READ = "chunk_read"
    """The rows of a chunk are read; its high watermark is not written."""
    CHUNK_HIGH = "chunk_high"
    """The high watermark of a chunk is written; none of its rows is sent."""
    CHUNK_TORN = "chunk_torn"
    """Kafka has a row of an incremental snapshot, and nothing behind it."""
    CHUNKS_DONE = "chunks_done"
    """Kafka has every row of an incremental snapshot; the message of its end is not written."""
    SHARDS_PUBLISHED = "shards_published"
    """The publications of the next generation of shards exist; the old shards have no goal yet."""
    SHARD_ARRIVED = "shard_arrived"
    """Kafka has everything of an old shard before the goal; the goal is not confirmed."""
    SHARD_CONFIRMED = "shard_confirmed"
    """An old shard has confirmed the goal, which the others may have not."""
    SHARDS_REMEMBERED = "shards_remembered"
    """The bookmarks of the next generation are written, none of its slots exists."""
    SHARD_CREATED = "shard_created"
    """A slot of the next generation exists."""
    SHARD_DROPPED = "shard_dropped"
    """A slot of the old generation is dropped; its publications are there."""
    SHARDS_SETTLED = "shards_settled"
    """The whole has its slot again; the one it was copied from is left over."""
    DRAINED = "drained"
    """On an orderly stop: nothing is in flight, the last confirmation is not sent."""
    LAST_CONFIRMED = "last_confirmed"
    """On an orderly stop: the last confirmation is sent, the stream is not ended."""


OF_RECORDS: Final = frozenset({
    Failpoint.RECORD_SENT,
    Failpoint.TRANSACTION_TORN,
    Failpoint.CHANGE_TORN,
    Failpoint.LETTER_TORN,
    Failpoint.SNAPSHOT_ROW,
    Failpoint.CHUNK_TORN,
})  # fmt: skip
"""Those that are told by what was sent."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A failpoint and at which of its reachings it kills, from 1."""

    point: Failpoint
    count: int = 1


class _Trap:
    """What is armed in this process."""

    __slots__ = ("left", "point")

    def __init__(self) -> None:
        self.point: Failpoint | None = None
        self.left = 0


_TRAP: Final = _Trap()


def parse_armed(text: str) -> Armed | None:
    """Return what `name:count` says, `name` alone for the first reaching; None for an empty text.

    Raises:
        ValueError: There is no failpoint of that name, or the count is none.
    """
    if not text:
        return None
    match = _ARMED.fullmatch(text)
    names = [point.value for point in Failpoint]
    if match is None or match[1] not in names:
        raise ValueError(f"expected name:count with one of {', '.join(names)}")
    return Armed(Failpoint(match[1]), int(match[2] or 1))


def arm(armed: Armed | None) -> None:
    """Arm a failpoint for the life of this process, none for None; to be called before the engine begins."""
    _TRAP.point, _TRAP.left = (None, 0) if armed is None else (armed.point, armed.count)
    if armed is not None:
        _log.warning(
            "failpoint_armed",
            failpoint=armed.point.value,
            count=armed.count,
            remedy="Unset CDC_FAILPOINT unless this engine is to be killed.",
        )


def reach(point: Failpoint, settle: Callable[[], object] | None = None) -> None:
    """Die here if this is the failpoint that was armed and its count is reached; otherwise do nothing.

    `settle` is called before the death, to make certain that what the failpoint speaks of has happened.
    """
    if _TRAP.point is point:
        _TRAP.left -= 1
        if _TRAP.left == 0:
            if settle is not None:
                settle()
            _log.warning("failpoint_reached", failpoint=point.value)
            os.kill(os.getpid(), signal.SIGKILL)


def after(point: Failpoint, call: Callable[[], None]) -> Callable[[], None]:
    """Return a call behind which the failpoint is reached: the call itself, which costs nothing, if it is not armed."""
    if _TRAP.point is not point:
        return call

    def called() -> None:
        call()
        reach(point)

    return called


def at_record(settle: Callable[[], object]) -> Callable[[Record], None] | None:
    """Return what to call with each record that was sent; None, which costs nothing, if that concerns no failpoint.

    `settle` waits until Kafka has everything that was sent.
    """
    if _TRAP.point not in OF_RECORDS:
        return None

    def sent(record: Record) -> None:
        for point in points_of(record):
            reach(point, None if point is Failpoint.RECORD_SENT else settle)

    return sent


def points_of(record: Record) -> Iterator[Failpoint]:
    """Give the failpoints that are reached when a record was sent."""
    yield Failpoint.RECORD_SENT
    headers = dict(record.headers)
    if isinstance(record, DeadLetter) and not record.last:
        yield Failpoint.LETTER_TORN
    if XID in headers:
        if record.position.ordinal >= 2 * STEPS:
            yield Failpoint.TRANSACTION_TORN
        if record.value is None:
            yield Failpoint.CHANGE_TORN
    if (progress := headers.get(SNAPSHOT)) is not None:
        initial = len(orjson.loads(progress)) == _OF_INITIAL_SNAPSHOT
        yield Failpoint.SNAPSHOT_ROW if initial else Failpoint.CHUNK_TORN

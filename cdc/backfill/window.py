"""Owns the question which rows of a chunk are older than what the stream has shown. Pure.

A chunk is read in one database snapshot S. Its rows are sent at the place of the high watermark H, which is written
after the reading. The promise is that no row follows a change of its key that S did not see, and that none is missing.

1. *Seen by S, not yet streamed at H?* Impossible: a transaction becomes visible after its commit record is in the WAL,
   and H is written after S was taken. So every change that S saw is streamed before H.
2. *Streamed between the low watermark L and H, not seen by S?* The row is dropped: its change is the newer truth. Which
   transactions S saw is no guess: `pg_current_snapshot()` says so, and each transaction in the stream has its id.
3. *Streamed before L, not seen by S?* It happens: between its commit record and its visibility a transaction waits for
   the disk, or for a synchronous standby. Such a transaction is still among those running in S. So the engine
   remembers the ids of the transactions that the stream has shown and no snapshot has seen end (`Recent`), and a
   chunk's snapshot is taken anew until none of those shown before L is running in it. Transactions that were shown
   before the engine began to remember hold their lock on the table until they are visible: those that hold one when a
   job opens count as shown.

A row that was dropped has its change in the topic. If that change came without its TOASTed values, because it did not
touch them, the topic may have them nowhere: then the chunk is read again instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final, Self

from cdc.pgoutput.messages import Delete, Insert, Message, Truncate, Update
from cdc.records import UNAVAILABLE, Record

_XIDS: Final = 2**32
_LARGEST_WINDOW: Final = 200_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions a database snapshot sees; ids have 32 bits, as in the stream, and come round."""

    limit: int
    """The first id not yet given out."""
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the snapshot of `pg_current_snapshot()::text`: `xmin:xmax:xip,…`, each of 64 bits.

        Raises:
            ValueError: The text is no snapshot.
        """
        _, limit, running = text.split(":")
        return cls(int(limit) % _XIDS, frozenset(int(each) % _XIDS for each in running.split(",") if each))

    def sees(self, xid: int) -> bool:
        """Say whether a transaction, if it committed, is visible."""
        return (xid - self.limit) % _XIDS >= _XIDS // 2 and xid not in self.running


class Recent:
    """The transactions that the stream has shown and that may still be invisible to others."""

    def __init__(self) -> None:
        self._xids: set[int] = set()

    def shown(self, xids: Iterable[int]) -> None:
        """Take in transactions that the stream has shown, or may have shown before."""
        self._xids.update(xids)

    def forget(self, snapshot: Snapshot) -> None:
        """Let go of those that a snapshot sees: every later one does too."""
        self._xids = {xid for xid in self._xids if not snapshot.sees(xid)}

    def frozen(self) -> frozenset[int]:
        """Return them."""
        return frozenset(self._xids)


@unique
class Verdict(Enum):
    """What becomes of a row of the chunk."""

    SEND = "send"
    DROP = "drop"
    READ_AGAIN = "read_again"


@dataclass(slots=True)
class Window:
    """The changes that the stream shows between the two watermarks of a chunk, each key's last one."""

    changed: dict[tuple[int, bytes], tuple[int, bool]] = field(default_factory=dict)
    """By relation and record key: the transaction, and whether its record lacks fields."""
    truncated: dict[int, int] = field(default_factory=dict)
    """By relation: the transaction."""
    overrun: bool = False
    """There were more changes than are worth remembering: the chunk is to be read again."""

    def note(self, xid: int, message: Message, records: Sequence[Record]) -> None:
        """Take in one message of a transaction and the records that it became."""
        if isinstance(message, Insert | Update | Delete):
            for record in records:
                lacks = any(name == UNAVAILABLE for name, _ in record.headers)
                self.changed[message.relation_oid, record.key] = (xid, lacks)
            if len(self.changed) > _LARGEST_WINDOW:
                self.changed.clear()
                self.overrun = True
        elif isinstance(message, Truncate):
            self.truncated.update(dict.fromkeys(message.relation_oids, xid))

    def judge(self, relation_oid: int, key: bytes, snapshot: Snapshot) -> Verdict:
        """Return what becomes of the row of this key that the snapshot saw."""
        if relation_oid in self.truncated and not snapshot.sees(self.truncated[relation_oid]):
            return Verdict.DROP
        change = self.changed.get((relation_oid, key))
        # A transaction changes a row only when the one before it has ended: who sees the last one sees them all.
        if change is None or snapshot.sees(change[0]):
            return Verdict.SEND
        return Verdict.READ_AGAIN if change[1] else Verdict.DROP

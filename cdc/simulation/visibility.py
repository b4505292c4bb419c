"""Owns a model of PostgreSQL for incremental snapshots: rows, transactions, WAL, and what others see of them.

It keeps apart what the real server keeps apart: a transaction's changes, its commit record in the WAL, and the moment
at which others see it. A message bears the LSN of its record's end.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from cdc.backfill.messages import PREFIX
from cdc.backfill.window import Snapshot
from cdc.lsn import Lsn
from cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Event,
    Insert,
    LogicalMessage,
    Message,
    Relation,
    Row,
    Update,
)

LARGE: Final = "x" * 20


class CrashError(Exception):
    """The process is gone."""


@dataclass
class Transaction:
    """What one transaction does: the changes for the stream, and the rows that it leaves, None where one is gone."""

    xid: int
    changes: list[Message] = field(default_factory=list)
    rows: dict[str, Row | None] = field(default_factory=dict)
    committed: bool = False
    waits: int = 0
    """How often the chance to be seen passes by, as if a standby were awaited."""


class Postgres:
    """Rows, transactions that run or are not visible yet, the WAL and one slot."""

    def __init__(self, random: Random, relation: Relation) -> None:
        self.random, self.relation = random, relation
        self.rows: dict[str, Row] = {}
        self.wal: list[tuple[Lsn, Lsn, list[Event]]] = []
        self.running: list[Transaction] = []
        self.confirmed = Lsn(8)
        self.end = Lsn(8)
        self.xid = 700
        self.version = 0
        self.changed: set[str] = set()
        self.crash_in: int | None = None

    def step(self) -> None:
        """Let something happen, be it the end of the engine's process."""
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise CrashError
        for _ in range(self.random.randint(0, 2)):
            self.random.choice((self.begin, self.begin, self.commit, self.commit, self.show, self.show))()

    def begin(self) -> None:
        """Start a transaction that changes some rows which no other one has locked."""
        if self.version > 150 or len(self.running) > 3:
            return
        self.xid += 1
        made = Transaction(self.xid, waits=40 if self.random.random() < 0.03 else 0)
        locked = {key for each in self.running for key in each.rows}
        for _ in range(self.random.randint(1, 3)):
            key, other = (f"k{self.random.randrange(30):02}" for _ in range(2))
            if {key, other} & locked:
                continue
            self._change(made, key, other)
        self.changed.update(made.rows)
        self.running.append(made)

    def _change(self, made: Transaction, key: str, other: str) -> None:
        self.version += 1
        name, oid = f"{self.version:06}", self.relation.oid
        before = made.rows[key] if key in made.rows else self.rows.get(key)
        if before is None:
            made.rows[key] = (key, name, None, None, None, f"{LARGE}{name}")
            made.changes.append(Insert(oid, made.rows[key] or ()))
        elif (kind := self.random.random()) < 0.2:
            made.rows[key] = None
            made.changes.append(Delete(oid, (key, *[None] * 5), old_is_key=True))
        elif kind < 0.3 and other != key and (made.rows[other] if other in made.rows else self.rows.get(other)) is None:
            made.rows[key], made.rows[other] = None, (other, name, None, None, None, before[5])
            made.changes.append(Update(oid, (key, *[None] * 5), True, made.rows[other] or ()))
        else:
            large = before[5] if self.random.random() < 0.6 else f"{LARGE}{name}"
            made.rows[key] = (key, name, None, None, None, large)
            sent = (key, name, None, None, None, UNCHANGED if large == before[5] else large)
            made.changes.append(Update(oid, None, False, sent))

    def commit(self) -> None:
        """Write the commit record of a transaction: the stream shows it, others do not see it yet."""
        if waiting := [each for each in self.running if not each.committed]:
            done = self.random.choice(waiting)
            done.committed = True
            start, end = self._log()
            events: list[Event] = [Begin(start, 0, done.xid), self.relation, *done.changes, Commit(start, end, 0)]
            self.wal.append((start, end, events))

    def show(self) -> None:
        """Let others see a transaction that has committed."""
        if committed := [each for each in self.running if each.committed]:
            shown = self.random.choice(committed)
            shown.waits -= 1
            if shown.waits > 0:
                return
            self.running.remove(shown)
            for key, row in shown.rows.items():
                if row is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = row

    def emit(self, content: str) -> None:
        """Write a message outside of any transaction; its LSN is where the record ends."""
        start, end = self._log()
        self.wal.append((start, end, [LogicalMessage(False, end, PREFIX, content.encode())]))

    def snapshot(self) -> Snapshot:
        """Return what is visible now."""
        return Snapshot(self.xid + 1, frozenset(each.xid for each in self.running))

    def _log(self) -> tuple[Lsn, Lsn]:
        # Records may touch: the end of one is the beginning of the next.
        start = Lsn(self.end + 8 * self.random.randint(0, 2))
        self.end = Lsn(start + 8 * self.random.randint(1, 4))
        return start, self.end

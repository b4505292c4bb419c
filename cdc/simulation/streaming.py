"""Owns how the simulated server streams a transaction: in blocks, with subtransactions of which some are rolled back.

What is rolled back are rows that no broker may ever hold. The rules are those of pgoutput: ids grow in the order of
first use, savepoints nest, an abort names each subtransaction, children first, and a table is described before its
first change in the stream, and again after an abort.
"""

from collections import deque
from typing import Final

from cdc.lsn import Lsn
from cdc.pgoutput.messages import Insert, LogicalMessage, StreamAbort, StreamCommit, StreamStart, StreamStop, WireEvent
from cdc.simulation.due import PREFIX, RELATIONS
from cdc.simulation.fate import Fate
from cdc.simulation.history import Transaction
from cdc.simulation.wire import Change, relations_of, streamed

_MOST_ROWS: Final = 3
_FIRST_SUB: Final = 10_000
_FIRST_GHOST: Final = 5_000
_GHOST: Final = Insert(1, ("a", "ghost"))
_GHOST_MESSAGE: Final = LogicalMessage(True, Lsn(8), PREFIX, b"ghost")


class Streaming:
    """One transaction on its way over one connection."""

    def __init__(self, transaction: Transaction, fate: Fate, *, messages: bool = False) -> None:
        """Choose what happens in it besides the changes that are due; `messages` may be rolled back as well."""
        self.transaction = transaction
        self.described: set[int] = set()
        self._fate = fate
        self._messages = messages
        self._first = True
        self._last_sub = _FIRST_SUB
        self._steps: deque[tuple[int, Change | None]] = deque()
        """A change of a subtransaction, or without a change its abort."""
        sub = transaction.xid
        for change in transaction.changes:
            match fate.below(4):
                case 0:
                    sub = transaction.xid
                case 1:
                    sub = self._next_sub()
                case 2:
                    self._roll_back()
                case _:
                    pass
            self._steps.append((sub, change))

    @classmethod
    def ghost(cls, number: int, fate: Fate) -> "Streaming":
        """Return a transaction that will be rolled back as a whole."""
        return cls(Transaction(_FIRST_GHOST + number, changes=[_GHOST] * (1 + fate.below(_MOST_ROWS))), fate)

    def some(self) -> list[WireEvent]:
        """Return the next block or abort, nothing when everything is sent."""
        if not self._steps:
            return []
        xid = self.transaction.xid
        if self._steps[0][1] is None:
            self.described.clear()
            return [StreamAbort(xid, self._steps.popleft()[0])]
        events: list[WireEvent] = [StreamStart(xid, self._first)]
        self._first = False
        for _ in range(1 + self._fate.below(_MOST_ROWS)):
            if not self._steps or (change := self._steps[0][1]) is None:
                break
            sub = self._steps.popleft()[0]
            for oid in relations_of(change):
                if oid not in self.described:
                    self.described.add(oid)
                    events.append(streamed(sub, RELATIONS[oid]))
            # A message comes under the transaction's own id, whichever savepoint it was sent in.
            events.append(streamed(xid if isinstance(change, LogicalMessage) else sub, change))
        return [*events, StreamStop()]

    def rest(self) -> list[WireEvent]:
        """Return everything that is left before its end."""
        events: list[WireEvent] = []
        while self._steps:
            events += self.some()
        return events

    def commit(self) -> list[WireEvent]:
        """Return everything that is left, and its commit."""
        each = self.transaction
        return [*self.rest(), StreamCommit(each.xid, each.commit_lsn, each.end_lsn, 0)]

    def abort(self) -> list[WireEvent]:
        """Return its end without a commit."""
        return [StreamAbort(self.transaction.xid, self.transaction.xid)]

    def _next_sub(self) -> int:
        self._last_sub += 1
        return self._last_sub

    def _roll_back(self) -> None:
        """Let a savepoint be rolled back, perhaps with another one released into it."""
        outer = self._next_sub()
        rows: list[tuple[int, Change | None]] = [(outer, _GHOST)]
        if self._messages and self._fate.below(2):
            # Before its first row nobody can tell a message of the savepoint from one in front of it.
            rows.insert(self._fate.below(2), (outer, _GHOST_MESSAGE))
        self._steps += rows
        if self._fate.below(2):
            inner = self._next_sub()
            self._steps += [(inner, _GHOST), (outer, _GHOST), (inner, None)]
        self._steps.append((outer, None))

"""Owns the simulated database: a log of transactions that grows, one slot, and a connection that streams from it.

Source of facts: PostgreSQL manual, "Logical Decoding Concepts" and "Streaming Replication Protocol". A transaction is
sent whole after its commit, in the order of commits, or in blocks before it, between others; and again on every
connection until the slot is confirmed beyond its commit. A confirmation lives in memory until the slot is saved: a
crash of the server takes it back.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cdc.errors import DatabaseError, Kind
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Begin, Commit, Event, Keepalive, LogicalMessage, StreamCommit, WireEvent
from cdc.readback import Place
from cdc.simulation.broker import Broker
from cdc.simulation.fate import Fate
from cdc.simulation.history import FIRST_LSN, Transaction
from cdc.simulation.streaming import Streaming

_MOST_EVENTS: Final = 6


class Server:
    """What outlives the engine's processes and connections: the log and the slot."""

    def __init__(self, transactions: Sequence[Transaction], broker: Broker, fate: Fate) -> None:
        """Begin with an empty log; `transactions` are written to it as time goes by."""
        self.transactions = transactions
        self.fate = fate
        self._broker = broker
        self.written = 0
        """How many transactions have committed so far."""
        self.confirmed = self._saved = FIRST_LSN
        self._checked = 0
        self.due = [broker.entries(each.due) for each in transactions]
        """For each transaction what is due in which partition."""
        self._due: dict[Place, int] = {}
        self.forgotten = 0
        """Records that the server was allowed to forget before the broker held them."""
        self.moved_to: Lsn | None = None
        """Where somebody else has put the slot, until an engine has looked at it."""

    @property
    def end(self) -> Lsn:
        """The end of the log; beyond the last commit there is something that concerns nobody, if there is room."""
        if not self.written:
            return FIRST_LSN
        beyond = Lsn(self.transactions[self.written - 1].end_lsn + 8)
        return (
            beyond
            if self.written == len(self.transactions)
            else min(beyond, self.transactions[self.written].commit_lsn)
        )

    @property
    def finished(self) -> bool:
        """Whether everything is written, and confirmed by an engine."""
        return self.moved_to is None and self.written == len(self.transactions) and self.confirmed >= self.end

    def grow(self) -> None:
        """Let sessions commit: usually all that is left, sometimes one or none."""
        left = len(self.transactions) - self.written
        if left:
            choice = self.fate.below(3)
            self.written += left if choice == 0 else choice - 1

    def confirm(self, lsn: Lsn) -> None:
        """Take a confirmation; check what it allows to forget."""
        fate = self.fate
        if self.moved_to is None:
            self._check(lsn)
        if lsn > self.confirmed:
            if fate.rarely(4):
                fate.note(f"the confirmation of {_text(lsn)} is lost on its way")
                return
            fate.note(f"the slot is confirmed up to {_text(lsn)}")
            self.confirmed = lsn
            if fate.rarely(2):
                self._saved = lsn

    def _check(self, lsn: Lsn) -> None:
        while self._checked < self.written and self.transactions[self._checked].commit_lsn < lsn:
            for place, (key, _) in self.due[self._checked]:
                self._due[place] = self._due.get(place, 0) + 1
                if len(self._broker.delivered.get(place, ())) < self._due[place]:
                    self.forgotten += 1
                    self.fate.note(f"WRONG: {_text(lsn)} is confirmed, but {place[0]}-{place[1]} lacks {key.decode()}")
            self._checked += 1

    def crash(self) -> None:
        """Lose what was confirmed since the slot was last saved."""
        self.confirmed = self._saved
        self.fate.note(f"the server crashes; its slot is back at {_text(self._saved)}")

    def meddle(self) -> None:
        """Let somebody create the slot anew, at the end of the log, or move it there or to an earlier commit."""
        fate = self.fate
        if not fate.below(2):
            self.grow()
        written = self.transactions[: self.written]
        ends = [self.end, *(each.end_lsn for each in written if each.end_lsn >= self.confirmed)]
        self.confirmed = self._saved = self.moved_to = ends[fate.below(len(ends))]
        fate.note(f"somebody else puts the slot to {_text(self.confirmed)}")

    def waive(self) -> None:
        """Let nothing be due any more that the slot was moved past before it came; after an accepted gap only."""
        if self.moved_to is None:
            return
        seen: dict[Place, int] = {}
        for number, transaction in enumerate(self.transactions):
            if transaction.commit_lsn >= self.moved_to:
                break
            kept = []
            for place, entry in self.due[number]:
                seen[place] = seen.get(place, 0) + 1
                if seen[place] <= len(self._broker.delivered.get(place, ())):
                    kept.append((place, entry))
            self.due[number] = kept
        self.moved_to = None


class Connection:
    """One replication connection: transactions from the confirmed point on, in batches of any size."""

    def __init__(self, server: Server, *, streaming: bool = True, messages: bool = False) -> None:
        """Start; with `streaming` transactions may come in blocks, with `messages` some are rolled back in them."""
        server.fate.step(_lost)
        self._server = server
        self._streaming = streaming
        self._messages = messages
        self._fate = server.fate
        self._next = 0
        while self._next < server.written and server.transactions[self._next].commit_lsn < server.confirmed:
            self._next += 1
        self._described: set[int] = set()
        self._events: deque[WireEvent] = deque()
        self._streams: dict[int, Streaming] = {}
        """The transactions of which blocks were sent, by their place in the log."""
        self._ghosts = 0
        self._fate.note(f"streaming starts at {_text(server.confirmed)}")

    def read(self, timeout: float) -> list[WireEvent]:
        """Return some of the next events.

        Raises:
            DatabaseError: The connection is lost here.
        """
        fate = self._fate
        fate.step(_lost)
        self._server.grow()
        room = _MOST_EVENTS - fate.below(_MOST_EVENTS + 1)
        if len(self._events) < room and self._next < self._server.written:
            self._send()
        elif not self._events and room:
            # Between transactions the server speaks of how far it has read; it may also keep silent.
            self._events.append(Keepalive(self._server.end, reply_requested=fate.below(2) == 0))
        events = [self._events.popleft() for _ in range(min(room, len(self._events)))]
        fate.now += 0.01 if events else timeout
        if fate.trace is not None and events:
            fate.note("received " + ", ".join(_describe(event) for event in events))
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Carry a confirmation to the server.

        Raises:
            DatabaseError: The connection is lost here.
        """
        self._fate.step(_lost)
        self._server.confirm(lsn)

    def _send(self) -> None:
        fate = self._fate
        if not (self._streaming and fate.rarely(4)):
            self._send_transaction()
        elif fate.rarely(4):
            # One that is rolled back, at once or never while the connection lasts.
            self._ghosts += 1
            ghost = Streaming.ghost(self._ghosts, fate)
            self._events += ghost.rest()
            if fate.below(2):
                self._events += ghost.abort()
        else:
            # Blocks of one that may not have committed yet.
            place = min(self._next + fate.below(3), len(self._server.transactions) - 1)
            if not self._server.transactions[place].single:
                self._events += self._stream(place).some()

    def _stream(self, place: int) -> Streaming:
        if place not in self._streams:
            self._streams[place] = Streaming(self._server.transactions[place], self._fate, messages=self._messages)
        return self._streams[place]

    def _send_transaction(self) -> None:
        fate, transaction = self._fate, self._server.transactions[self._next]
        self._next += 1
        if transaction.single:
            self._events += transaction.messages(self._described)
            return
        if self._next - 1 in self._streams:
            stream = self._streams.pop(self._next - 1)
            self._events += stream.commit()
            self._described |= stream.described
            return
        whole: list[Event] = [*transaction.messages(self._described)]
        if fate.rarely(4):
            # Within a transaction the server may speak of a place behind commits that are still to come.
            whole.insert(fate.below(len(whole) + 1), Keepalive(self._server.end, reply_requested=True))
        lsn, end = transaction.commit_lsn, transaction.end_lsn
        self._events += [Begin(lsn, 0, transaction.xid), *whole, Commit(lsn, end, 0)]
        if fate.rarely(4):
            follows = self._server.transactions[self._next].commit_lsn if self._next < self._server.written else end
            self._events.append(Keepalive(follows, reply_requested=fate.rarely(2)))


def _lost() -> DatabaseError:
    return DatabaseError(Kind.CONNECTION_LOST, "the simulated connection is lost")


def _text(lsn: int) -> str:
    return f"0/{lsn:X}"


def _describe(event: WireEvent) -> str:
    if isinstance(event, StreamCommit):
        return f"stream commit {_text(event.commit_lsn)}"
    if isinstance(event, Begin):
        return f"begin {_text(event.final_lsn)}"
    if isinstance(event, Keepalive):
        return f"keepalive {_text(event.wal_end)}"
    if isinstance(event, LogicalMessage) and not event.transactional:
        return f"message {_text(event.lsn)}"
    return type(event).__name__.lower()

"""Whatever a log of transactions looks like, streamed in blocks it gives the loop what it gives whole."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.assembly import Assembly
from cdc.errors import CdcError, Kind
from cdc.lsn import Lsn
from cdc.pgoutput.messages import (
    Begin,
    Column,
    Commit,
    Control,
    Event,
    Insert,
    LogicalMessage,
    Message,
    Relation,
    ReplicaIdentity,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)

Part = tuple[Message, int] | Control
RELATION = Relation(1, "s", "t", ReplicaIdentity.DEFAULT, (Column("id", 25, -1, is_key=True),))


class Log:
    """A log of transactions with savepoints, told in two ways: streamed in blocks, and whole."""

    def __init__(self) -> None:
        self.streamed: list[Part] = []
        self.whole: list[Event] = []
        self._next_xid = 10
        self._lsn = 0
        self._live: list[Live] = []

    def xid(self) -> int:
        """Give out the next id."""
        self._next_xid += 1
        return self._next_xid


class Live:
    """A running transaction: a stack of savepoints, each with its id once it has one, and its surviving messages."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.xid = log.xid()
        self.stack: list[list[int | None]] = [[self.xid]]
        """For each level the ids that are rolled back with it: its own first, then those released into it."""
        self.survivors: list[tuple[int, Message]] = []
        self.waiting: list[tuple[Message, int, int]] = []
        """What was not sent yet: the message, the id that the server names for it, the id that it belongs to."""
        self.sent: set[int] = set()
        self.described = False
        self.first = True

    def write(self, message: Message) -> None:
        """Write at the present level; the levels below get their ids first, as the server gives them."""
        for level in self.stack:
            if level[0] is None:
                level[0] = self.log.xid()
        xid = self.stack[-1][0]
        assert xid is not None
        self.survivors.append((xid, message))
        self.waiting.append((message, self.xid if isinstance(message, LogicalMessage) else xid, xid))

    def flush(self) -> None:
        """Send a block of what was written since the last one."""
        if not self.waiting:
            return
        self.log.streamed.append(StreamStart(self.xid, self.first))
        self.first = False
        for message, named, owner in self.waiting:
            if not self.described and isinstance(message, Insert):
                self.log.streamed.append((RELATION, named))
                self.described = True
            self.log.streamed.append((message, named))
            self.sent.add(owner)
        self.log.streamed.append(StreamStop())
        self.waiting = []

    def release(self, level: int) -> None:
        """Release a savepoint and those within it."""
        while len(self.stack) > level:
            self.stack[-2] += [xid for xid in self.stack[-1] if xid is not None]
            self.stack.pop()

    def roll_back(self, level: int) -> None:
        """Roll back a savepoint: an abort for each subtransaction of which something was sent, children first."""
        gone = {xid for each in self.stack[level:] for xid in each if xid is not None}
        for each in reversed(self.stack[level:]):
            for xid in [*each[1:], each[0]]:
                if xid in self.sent:
                    self.log.streamed.append(StreamAbort(self.xid, xid))
                    self.described = False
        self.survivors = [(xid, message) for xid, message in self.survivors if xid not in gone]
        self.waiting = [each for each in self.waiting if each[2] not in gone]
        self.stack[level:] = [[None]]


def write_log(choices: st.DataObject, letters: str) -> Log:  # noqa: C901  # one case for each thing a session does
    """Let some transactions run into each other."""
    log, live, text = Log(), [], 0
    for _ in range(choices.draw(st.integers(1, 60))):
        if not live or (len(live) < 3 and choices.draw(st.integers(0, 9)) == 0):
            live.append(Live(log))
        transaction = live[choices.draw(st.integers(0, len(live) - 1))]
        depth = len(transaction.stack)
        match choices.draw(st.sampled_from(letters)):
            case "w":
                text += 1
                transaction.write(Insert(1, (f"row {text}",)))
            case "m":
                text += 1
                transaction.write(LogicalMessage(True, Lsn(1), "p", b"%d" % text))
            case "f":
                transaction.flush()
            case "s":
                transaction.stack.append([None])
            case "r" if depth > 1:
                transaction.release(choices.draw(st.integers(1, depth - 1)))
            case "b" if depth > 1:
                transaction.roll_back(choices.draw(st.integers(1, depth - 1)))
            case "c" | "e" as end:
                transaction.flush()
                live.remove(transaction)
                if transaction.first:
                    continue
                log._lsn += 16
                lsn = Lsn(log._lsn)
                if end == "e":
                    log.streamed.append(StreamAbort(transaction.xid, transaction.xid))
                    continue
                log.streamed.append(StreamCommit(transaction.xid, lsn, Lsn(lsn + 8), 5))
                rows = [message for _, message in transaction.survivors]
                log.whole += [Begin(lsn, 5, transaction.xid), *rows, Commit(lsn, Lsn(lsn + 8), 5)]
            case _:
                pass
    return log


@settings(max_examples=400, deadline=None)
@given(data=st.data(), letters=st.sampled_from(["wwwwffsrbbce", "wwwmffsrbbc"]))
def test_any_interleaving_gives_what_the_whole_log_gives(
    wires: Callable[..., Any], data: st.DataObject, letters: str
) -> None:
    """Blocks of several transactions, nested savepoints, aborts of any level; in memory, and all of it in files.

    Logical messages come without their savepoint's name: then it may also say that it is in doubt, but never guess.
    """
    log = write_log(data, letters)
    batch = data.draw(st.sampled_from([1, 7, 1000]))
    memory = data.draw(st.sampled_from([1, 200, 1 << 20]))
    assembly = Assembly(wires(log.streamed, batch), memory=memory)
    events: list[Event] = []
    try:
        for _ in range(len(log.streamed) + 1):
            while got := assembly.read(0):
                events += got
    except CdcError as error:
        assert error.kind is Kind.STREAM_UNCLEAR  # noqa: PT017  # both outcomes are right
        assert "m" in letters
        return
    assert [event for event in events if not isinstance(event, Relation)] == log.whole
    # A row never comes before its table is described.
    rows = [index for index, event in enumerate(events) if isinstance(event, Insert)]
    assert not rows or any(isinstance(event, Relation) for event in events[: rows[0]])

"""Owns the simulated keeping of the bookmark: commits that are delayed, lost, or stored while their answer is lost.

What a dead engine had under way arrives while its successor asks, or never: what `Broker.fence` says of records holds
for it as well. The slot's creation has put the first one there, as `cdc.bootstrap` does.
"""

from typing import Final

from cdc.errors import BrokerError, CdcError, Kind
from cdc.lsn import Lsn
from cdc.simulation.broker import Broker, unreachable
from cdc.simulation.fate import Fate
from cdc.simulation.history import FIRST_LSN
from cdc.simulation.server import Server
from cdc.slots.bookmark import Bookmark, BookmarkKeeper, judge

SOURCE: Final = "7/simulated"
SLOT: Final = "simulated"

_STORED, _DELAYED, _UNANSWERED, _LOST = range(4)


class WronglyJudgedError(Exception):
    """A gap that was not noticed, or a slot that was refused without one."""


class _Commit:
    """A write under way; asking whether it is done lets it travel."""

    def __init__(self, shelf: "Shelf", text: str) -> None:
        self._shelf = shelf
        self.text = text
        self._answer: BrokerError | None = None
        self._answered = False

    def done(self) -> bool:
        """Say whether there is an answer."""
        if not self._answered:
            self._answered, self._answer = self._shelf.travel(self)
        return self._answered

    def check(self) -> None:
        """Return if it is stored.

        Raises:
            BrokerError: It is lost, or its answer is.
        """
        if self._answer is not None:
            raise self._answer


class Shelf:
    """What outlives every engine: the bookmark as the broker keeps it, and the write of a dead engine on its way."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._fate: Fate = broker.fate
        self._kept = Bookmark(SOURCE, SLOT, FIRST_LSN).encode()
        self._under_way: _Commit | None = None
        self.accepted: Lsn | None = None
        """The bookmark that the operator gave up, with what lies behind it (CDC_ACCEPT_GAP)."""

    def write(self, bookmark: Bookmark) -> _Commit:
        """Take a write on its way."""
        self._under_way = _Commit(self, bookmark.encode())
        return self._under_way

    def travel(self, commit: _Commit) -> tuple[bool, BrokerError | None]:
        """Let a write go on its way; return whether it is answered, and with which error."""
        if self._broker.away():
            return False, None
        outcome = self._fate.below(4)
        if outcome == _DELAYED:
            return False, None
        self._under_way = None
        if outcome != _LOST:
            self._store(commit)
        return True, None if outcome == _STORED else unreachable()

    def read(self) -> Bookmark:
        """Return the bookmark; what a dead engine had under way arrives before that, or never."""
        if self._under_way is not None and self._fate.below(2):
            self._fate.note("the bookmark of a dead engine arrives late")
            self._store(self._under_way)
        self._under_way = None
        found = Bookmark.decode(self._kept)
        assert found is not None
        return found

    def _store(self, commit: _Commit) -> None:
        self._kept = commit.text
        self._fate.note(f"bookmark stored: {commit.text}")


def open_slot(shelf: Shelf, server: Server, confirmed: Lsn) -> BookmarkKeeper | None:
    """Judge the slot as a session does; return who keeps its bookmark, None when it was refused for good reason.

    After a refusal the operator accepts the gap: the next engine goes on over it.

    Raises:
        WronglyJudgedError: It was refused without a gap or by the wrong kind, or a gap was not noticed.
    """
    found = shelf.read()
    gap = server.moved_to is not None and found.lsn < confirmed
    refuses = gap and shelf.accepted != found.lsn
    try:
        judge((found,), SOURCE, SLOT, confirmed, accepted=shelf.accepted)
    except CdcError as error:
        if refuses and error.kind is Kind.SLOT_RECREATED:
            shelf.accepted = found.lsn
            return None
        raise WronglyJudgedError(f"refused without a gap, or by the wrong kind: {error}") from error
    if refuses:
        raise WronglyJudgedError(f"a gap up to {confirmed} was not noticed")
    if not gap:
        server.moved_to = None
    return BookmarkKeeper(shelf, SOURCE, SLOT, confirmed, clock=lambda: server.fate.now)

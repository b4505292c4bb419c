"""Owns the memory of the slot: what the engine has confirmed so far, kept where the slot cannot reach. Does no I/O.

PostgreSQL gives a slot no identity: one that somebody dropped and created again looks like that of an idle table. So
Kafka keeps a bookmark, and the rule is: no LSN is confirmed to the server that the bookmark does not cover. Whenever
a slot stands beyond its bookmark, somebody else has moved or created it, and what lies between is a gap. A slot
behind its bookmark is fine: a standby that was promoted, or a server that crashed before it saved the slot.

The bookmark also has the oid of the publication. One that was dropped and created again has another, and PostgreSQL 18
sends nothing of what changed in between, without an error.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import orjson
import structlog

from cdc.errors import BrokerError, CdcError, Kind
from cdc.lsn import LARGEST_LSN, Lsn, format_lsn, parse_lsn
from cdc.policy import Retry, Stop, decide

_log: Final = structlog.get_logger(__name__)

REFRESH_S: Final = 30.0
"""A bookmark that does not move is written again so often: Kafka forgets one of which it hears nothing for a week, and
a write that a dead engine had under way may have put it back."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Up to where an engine may have confirmed a slot of a source."""

    source: str
    """`<system identifier>/<database>`."""
    slot: str
    lsn: Lsn
    publication: int | None = None
    """The oid of the publication by which the slot was read; None where nobody has noted it."""

    def encode(self) -> str:
        """Return the text that Kafka keeps, some hundred characters."""
        kept: dict[str, object] = {"v": 1, "source": self.source, "slot": self.slot, "lsn": format_lsn(self.lsn)}
        if self.publication is not None:
            kept["publication"] = self.publication
        return orjson.dumps(kept).decode()

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Return the bookmark of a text, None for a text that is no bookmark."""
        try:
            found = orjson.loads(text)
            publication = found.get("publication")
            known = None if publication is None else int(publication)
            return cls(str(found["source"]), str(found["slot"]), parse_lsn(found["lsn"]), known)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def judge(
    found: Sequence[Bookmark],
    source: str,
    slot: str,
    confirmed: Lsn,
    *,
    accepted: Lsn | None = None,
    publication: int | None = None,
) -> None:
    """Refuse a slot that is not the one the bookmarks speak of, or that was read by another publication.

    Args:
        found: The bookmarks of the engine's topics; none at the first start, or after a week's absence.
        source: The server and database at hand.
        slot: The slot's name.
        confirmed: Its confirmed LSN, read before the bookmarks were.
        accepted: The LSN of the bookmark that the operator gave up, with what lies behind it.
        publication: The oid of the publication at hand; None where it is not to be judged.

    Raises:
        CdcError: SLOT_RECREATED, PUBLICATION_RECREATED, or SOURCE_CHANGED.
    """
    ours = [each for each in found if (each.source, each.slot) == (source, slot)]
    if ours:
        known = max(each.lsn for each in ours)
        publications = {each.publication for each in ours if each.lsn == known}
        if confirmed > known:
            kind, message = Kind.SLOT_RECREATED, _moved(slot, confirmed, known)
        elif publication is not None and not publications & {None, publication}:
            kind = Kind.PUBLICATION_RECREATED
            message = (
                f"the publication of the slot {slot} was dropped and created again after {format_lsn(known)} "
                f"(its oid is {publication}, it was another): what changed in between may be missing"
            )
        else:
            return
    elif found:
        other = max(found, key=lambda each: each.lsn)
        known = other.lsn
        message = (
            f"the topic was written from slot {other.slot} of {other.source} up to {format_lsn(known)}, but this is "
            f"slot {slot} of {source} (system identifier and database)"
        )
        kind = Kind.SOURCE_CHANGED
    else:
        return
    if accepted == known:
        _log.warning("gap_accepted", kind=kind.value, detail=message)
        return
    raise CdcError(kind, f"{message}; CDC_ACCEPT_GAP={format_lsn(known)} goes on all the same")


def _moved(slot: str, confirmed: Lsn, known: Lsn) -> str:
    return (
        f"the slot {slot} is confirmed up to {format_lsn(confirmed)}, but this engine has confirmed nothing beyond "
        f"{format_lsn(known)}: somebody else has created it anew or moved it, and changes in between may be missing"
    )


class Pending(Protocol):
    """A write under way."""

    def done(self) -> bool:
        """Say whether Kafka has answered."""

    def check(self) -> None:
        """Return if Kafka has stored it; to be asked once done. Raises BrokerError."""


class Shelf(Protocol):
    """Where bookmarks are kept."""

    def write(self, bookmark: Bookmark) -> Pending:
        """Begin to replace the bookmark; return at once."""


class Keeper(Protocol):
    """Who is asked before a confirmation."""

    def cover(self, lsn: Lsn) -> Lsn:
        """Ask for `lsn` to be covered and return at once what may be confirmed of it now."""

    def covered(self) -> Lsn:
        """Return the LSN up to which confirmations are covered."""


class BookmarkKeeper:
    """Keep one slot's bookmark ahead of its confirmations, with one write under way at a time."""

    def __init__(
        self,
        shelf: Shelf,
        source: str,
        slot: str,
        confirmed: Lsn,
        clock: Callable[[], float] = time.monotonic,
        *,
        publication: int | None = None,
    ) -> None:
        """Begin at what the slot has confirmed already, which was judged against the bookmark."""
        self._shelf = shelf
        self._source, self._slot, self._publication = source, slot, publication
        self._covered = confirmed
        self._clock = clock
        self._pending: tuple[Pending, Lsn] | None = None
        self._written: Lsn | None = None
        self._refresh_at = clock()
        self._troubled = self._refused = False

    def cover(self, lsn: Lsn) -> Lsn:
        """Write the bookmark if it is not there, and return what Kafka has acknowledged of it."""
        covered = self.covered()
        now = self._clock()
        if self._pending is None and not self._refused and (lsn != self._written or now >= self._refresh_at):
            self._refresh_at = now + REFRESH_S
            self._pending = self._shelf.write(Bookmark(self._source, self._slot, lsn, self._publication)), lsn
        elif self._pending is not None and now >= self._refresh_at and not self._troubled:
            self._bear(BrokerError(Kind.BROKER_UNREACHABLE, f"no answer for {REFRESH_S:.0f} s"))
        return min(lsn, covered)

    def covered(self) -> Lsn:
        """Return the LSN up to which Kafka has acknowledged; any, where Kafka keeps no bookmark of ours."""
        if self._pending is not None and self._pending[0].done():
            (pending, lsn), self._pending = self._pending, None
            try:
                pending.check()
            except BrokerError as error:
                self._bear(error)
            else:
                self._written, self._covered, self._troubled = lsn, max(self._covered, lsn), False
        return LARGEST_LSN if self._refused else self._covered

    def _bear(self, error: BrokerError) -> None:
        decision = decide(error.kind)
        if isinstance(decision, Stop):
            # The engine did without before there were bookmarks; it loses the check at the next start, no record.
            self._refused = True
            _log.warning("bookmark_refused", kind=error.kind.value, detail=str(error), remedy=decision.remedy)
        elif not self._troubled:
            assert isinstance(decision, Retry)
            self._troubled = True
            _log.warning("bookmark_delayed", kind=error.kind.value, detail=str(error))


class _Unkept:
    def cover(self, lsn: Lsn) -> Lsn:
        return lsn

    def covered(self) -> Lsn:
        return LARGEST_LSN


UNKEPT: Final[Keeper] = _Unkept()
"""No bookmark: whatever is asked may be confirmed."""

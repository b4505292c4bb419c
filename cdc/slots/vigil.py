"""Owns the watch over a quiet stream: when to ask the server, when to give it up, when to make it say something.

Pure: told what was seen and when, so that the simulation of an idle table runs the same decisions as the engine.
"""

from typing import Final

from cdc.errors import DatabaseError, Kind
from cdc.lsn import Lsn

# A reader that paused longer than this was held back by Kafka: the silence before is its own, not the server's.
_PAUSE_S: Final = 1.0

NOISE_BYTES: Final = 16 * 1024
"""WAL that an idle server writes by itself: checkpoints, lists of running transactions, our own heartbeats. Less than
this is no growth, or a heartbeat would keep a server awake that nobody writes to."""

LOOKS: Final = 6
"""How often, at least, an interval is looked at; see `Heartbeat`."""


class Silence:
    """How long the server has said nothing, on one connection."""

    def __init__(self, deadline: float, ask_after: float, now: float) -> None:
        """Begin to listen; the server is asked after `ask_after` seconds, at the latest after half the deadline."""
        self._deadline = deadline
        self._ask_after = min(ask_after, deadline / 2)
        self._heard = self._read_at = now
        self._asked = False

    def watch(self, now: float, *, heard: bool) -> bool:
        """Take the outcome of one reading; return whether to ask the server for a sign of life.

        Raises:
            DatabaseError: The silence has lasted beyond the deadline.
        """
        if heard or now - self._read_at > _PAUSE_S:
            self._heard, self._asked = now, False
        self._read_at = now
        silence = now - self._heard
        if silence > self._deadline:
            raise DatabaseError(Kind.CONNECTION_LOST, f"the server has been silent for {silence:.0f} s")
        if silence > self._ask_after and not self._asked:
            self._asked = True
            return True
        return False


class Heartbeat:
    """Whether a message is due because the slot stands still while the WAL grows.

    It is asked at every look at the slot, `LOOKS` times an interval or more often. A look may be one late to see the
    slot move, one late to see that it does not, and the message takes its time to come back as a confirmation: so it
    is due three looks before the interval is over, and what is retained stays within the interval's worth.
    """

    def __init__(self, every: float) -> None:
        """Keep what is retained within `every` seconds' worth; 0 for no heartbeats."""
        self._every = every
        self._confirmed: Lsn | None = None
        self._since = 0.0

    def due(self, now: float, confirmed: Lsn, wal_end: Lsn) -> bool:
        """Take a look at the slot; return whether to emit a message now, and if so count anew from here."""
        if confirmed != self._confirmed:
            self._confirmed, self._since = confirmed, now
            return False
        patience = self._every * (1 - 3 / LOOKS)
        if not self._every or now - self._since < patience or wal_end - confirmed <= NOISE_BYTES:
            return False
        self._since = now
        return True

    def look_every(self, longest: float) -> float:
        """Return the seconds between two looks that the interval needs, at most `longest`."""
        return min(longest, self._every / LOOKS) if self._every else longest

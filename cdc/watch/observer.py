"""Owns what the engine tells whoever watches it. Measures nothing, knows no clock, and decides nothing.

The loop and the snapshot take an observer as an argument and stay free of I/O: a test watches with a list.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, Protocol

from cdc.lsn import Lsn


@unique
class Phase(Enum):
    """What the engine is at."""

    OPENING = "opening"
    """A session opens: checks, slot, positions."""
    SNAPSHOT = "snapshot"
    """Rows of the initial snapshot are on their way."""
    STREAMING = "streaming"
    """The slot is ours and its changes are read."""
    RETRYING = "retrying"
    """Something failed that may pass, or another engine holds the slot; a pause before the next attempt."""
    STOPPING = "stopping"
    """The engine ends."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where one run of the loop stands after a round; the counts begin at 0 with the run."""

    confirmed: Lsn
    server_end: Lsn
    """The furthest the server is known to be."""
    transactions: int
    records: int
    """Handed over to Kafka, acknowledged or not."""
    skipped: int
    in_flight: int
    full: bool
    """Whether the limits are reached, so that the server is not listened to."""


class Observer(Protocol):
    """Who watches; every call must return at once and raise nothing."""

    def entered(self, phase: Phase) -> None:
        """Note that the engine is at something else now; entering the same phase again is a new attempt."""

    def heard(self) -> None:
        """Note that the server sent something, be it a keepalive."""

    def handed_over(self, commit_lsn: Lsn, committed_us: int) -> None:
        """Note the first record of a transaction: its commit LSN and commit time, microseconds since 1970."""

    def buried(self, reason: str) -> None:
        """Note that a dead letter was handed over, and why it is one."""

    def moved(self, progress: Progress) -> None:
        """Note where a round of the loop ended."""

    def copied(self, rows: int, in_flight: int) -> None:
        """Note how many rows this attempt at the snapshot has handed over, and how many of them are in flight."""

    def backfilled(self, jobs: int, rows: int) -> None:
        """Note how many jobs of incremental snapshots there are, and how many more of their rows Kafka has."""


class _Unwatched:
    def entered(self, phase: Phase) -> None:
        pass

    def heard(self) -> None:
        pass

    def handed_over(self, commit_lsn: Lsn, committed_us: int) -> None:
        pass

    def buried(self, reason: str) -> None:
        pass

    def moved(self, progress: Progress) -> None:
        pass

    def copied(self, rows: int, in_flight: int) -> None:
        pass

    def backfilled(self, jobs: int, rows: int) -> None:
        pass


UNWATCHED: Final[Observer] = _Unwatched()
"""Nobody watches."""

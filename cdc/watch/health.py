"""Owns the judgement whether replication moves. Pure: told by the loop, asked by the endpoint, with a clock given.

What counts as moving, while streaming: the loop makes its rounds; the server says something, be it the keepalive that
the stream asks an idle server for; and, with records in flight, Kafka acknowledges some. A process that is merely
there counts as nothing.

Ready means moving within the short deadline. Alive is more lenient, because its failure makes somebody kill the
process: while streaming, or pausing before an attempt, something must happen within the long one. Opening a session
and the snapshot have no such deadline: creating a slot rightly waits for transactions that may run for hours.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cdc.lsn import Lsn
from cdc.watch.observer import Phase, Progress


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long nothing may move, in seconds."""

    ready: float = 10.0
    live: float = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all is well, and why not."""

    ok: bool
    reason: str


class Health:
    """What was seen move, and when."""

    def __init__(self, deadlines: Deadlines, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin as if everything had just moved, in the opening phase."""
        self._deadlines = deadlines
        self._clock = clock
        self._acknowledged = 0
        self._in_flight = 0
        self._phase = Phase.OPENING
        self._entered = self._stepped = self._heard = self._acked = clock()
        self.withheld: str | None = None
        """Why the engine is not to count as ready though it streams: the guard's word, set from its thread."""

    @property
    def phase(self) -> Phase:
        """What the engine is at."""
        return self._phase

    def entered(self, phase: Phase) -> None:
        """Begin a phase; its deadlines count from now."""
        self._entered = self._stepped = self._heard = self._acked = self._clock()
        self._acknowledged = self._in_flight = 0
        self._phase = phase

    def heard(self) -> None:
        """Take a sign of life of the server."""
        self._heard = self._clock()

    def handed_over(self, commit_lsn: Lsn, committed_us: int) -> None:
        """Take nothing from it: a record that was handed over has not moved yet."""

    def moved(self, progress: Progress) -> None:
        """Take the round of the loop, and what Kafka acknowledged in it."""
        now = self._clock()
        self._stepped = now
        acknowledged = progress.records - progress.in_flight
        if progress.in_flight == 0 or self._in_flight == 0 or acknowledged > self._acknowledged:
            # The first record in flight is waited for from now on, not from the last one before it.
            self._acked = now
        if progress.full:
            # The loop does not listen, so the server's silence is not the server's fault.
            self._heard = now
        self._acknowledged, self._in_flight = acknowledged, progress.in_flight

    def copied(self, rows: int, in_flight: int) -> None:
        """Take nothing from it: the snapshot has no deadline."""

    def ready(self) -> Verdict:
        """Say whether changes travel: streaming, and moving within the short deadline."""
        if self._phase is not Phase.STREAMING:
            return Verdict(False, f"not streaming: {self._phase.value}")
        verdict = self._streaming(self._deadlines.ready)
        withheld = self.withheld
        return Verdict(False, withheld) if verdict.ok and withheld is not None else verdict

    def live(self) -> Verdict:
        """Say whether the process is worth keeping: nothing that must move has stood still for the long deadline."""
        if self._phase is Phase.STREAMING:
            return self._streaming(self._deadlines.live)
        still = self._clock() - self._entered
        if self._phase is Phase.RETRYING and still > self._deadlines.live:
            return Verdict(False, f"no new attempt for {still:.1f} s")
        return Verdict(True, self._phase.value)

    def _streaming(self, deadline: float) -> Verdict:
        now = self._clock()
        for since, what in (
            (self._stepped, "the loop has not made a round"),
            (self._heard, "the server has said nothing"),
            (self._acked, "Kafka has acknowledged nothing"),
        ):
            if now - since > deadline:
                return Verdict(False, f"{what} for {now - since:.1f} s")
        return Verdict(True, "streaming")

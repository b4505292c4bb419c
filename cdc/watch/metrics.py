"""Owns the engine's figures and their names: the only module that knows the Prometheus client. Judges nothing.

Every figure of the loop comes through the observer. The endpoint reads from another thread, so what it reads is one
attribute each, replaced and never changed in place.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cdc.letters.deadletters import Reason
from cdc.lsn import Lsn, format_lsn
from cdc.slots.budget import Held
from cdc.watch.health import Health
from cdc.watch.observer import Phase, Progress

_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_START: Final = Progress(Lsn(0), Lsn(0), 0, 0, 0, 0, full=False)


class Monitor:
    """Watch the engine: keep its figures, and tell its health what moves."""

    def __init__(self, health: Health, now: Callable[[], float] = time.time) -> None:
        """Start with every count at zero; `now` gives seconds since 1970, which commit times are compared with."""
        self.health = health
        self._now = now
        self._last = _START
        self._rows = 0
        self._waiting: deque[tuple[Lsn, int]] = deque()
        self._oldest_us: int | None = None
        self._ever_streamed = False
        self._held: Held | None = None
        self._registry = registry = CollectorRegistry()
        self._records = _counter(registry, "records", "Records of the stream that Kafka has acknowledged.")
        self._transactions = _counter(registry, "transactions", "Transactions read.")
        self._skipped = _counter(registry, "skipped", "Records not sent because their partition held them already.")
        self._snapshot_rows = _counter(registry, "snapshot_rows", "Snapshot rows handed over to Kafka.")
        self._jobs = 0
        self._gauge("snapshot_jobs", "Incremental snapshots that are not over.", lambda: self._jobs)
        self._reconnects = _counter(registry, "reconnects", "Times that streaming began again after the first.")
        self._dead_letters = Counter(
            "headwater_cdc_dead_letters",
            "Changes handed over to a dead-letter topic, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in Reason:
            # So that each is there at zero, and an increase from nothing is seen.
            self._dead_letters.labels(reason.value)
        self._latency = Histogram(
            "headwater_cdc_commit_to_ack_seconds",
            "From a transaction's commit until Kafka has everything up to it.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._gauge("lag_bytes", "WAL between the confirmed LSN and the server's end as last heard.", self.lag_bytes)
        self._gauge("lag_seconds", "Age of the oldest commit that Kafka does not have, 0 if none.", self.lag_seconds)
        self._gauge("in_flight", "Records that Kafka has not acknowledged.", lambda: self._last.in_flight)
        self._gauge("confirmed_lsn", "The LSN up to which everything is in Kafka.", lambda: self._last.confirmed)
        self._gauge("server_lsn", "The furthest the server is known to be.", lambda: self._last.server_end)
        self._gauge("retained_wal_bytes", "WAL that the slot holds back.", lambda: self._wal("retained_bytes"))
        self._gauge("wal_slope_bytes_per_second", "How fast that grows.", lambda: self._wal("slope"))
        self._gauge("wal_seconds_left", "Until the WAL budget is used up.", lambda: self._wal("seconds_left"))
        self._gauge("ready", "1 while replication moves.", lambda: float(health.ready().ok))
        self._gauge("live", "1 while the process is worth keeping.", lambda: float(health.live().ok))

    def entered(self, phase: Phase) -> None:
        """Begin a phase; what was in flight in the one before is forgotten, because it comes again."""
        if phase is Phase.STREAMING:
            if self._ever_streamed:
                self._reconnects.inc()
            self._ever_streamed = True
        last = self._last
        self._last = Progress(last.confirmed, last.server_end, 0, 0, 0, 0, full=False)
        self._rows = 0
        self._waiting.clear()
        self._oldest_us = None
        self.health.entered(phase)

    def heard(self) -> None:
        """Pass it on."""
        self.health.heard()

    def handed_over(self, commit_lsn: Lsn, committed_us: int) -> None:
        """Remember the transaction until it is confirmed; there are never more of them than records in flight."""
        self._waiting.append((commit_lsn, committed_us))
        if self._oldest_us is None:
            self._oldest_us = committed_us

    def buried(self, reason: str) -> None:
        """Count a dead letter by its reason."""
        self._dead_letters.labels(reason).inc()

    def moved(self, progress: Progress) -> None:
        """Count what came in this round, and time the transactions that it completed."""
        last, self._last = self._last, progress
        acknowledged = (progress.records - progress.in_flight) - (last.records - last.in_flight)
        if acknowledged > 0:
            self._records.inc(acknowledged)
        if progress.transactions > last.transactions:
            self._transactions.inc(progress.transactions - last.transactions)
        if progress.skipped > last.skipped:
            self._skipped.inc(progress.skipped - last.skipped)
        waiting = self._waiting
        if waiting and waiting[0][0] < progress.confirmed:
            now = self._now()
            while waiting and waiting[0][0] < progress.confirmed:
                # The clocks of two machines may disagree by more than the time that passed.
                self._latency.observe(max(0.0, now - waiting.popleft()[1] / 1e6))
            self._oldest_us = waiting[0][1] if waiting else None
        self.health.moved(progress)

    def copied(self, rows: int, in_flight: int) -> None:
        """Count the rows of the snapshot."""
        if rows > self._rows:
            self._snapshot_rows.inc(rows - self._rows)
        self._rows = rows
        last = self._last
        self._last = Progress(last.confirmed, last.server_end, 0, 0, 0, in_flight, full=False)
        self.health.copied(rows, in_flight)

    def held(self, held: Held) -> None:
        """Take what the slot holds back, from the guard's thread."""
        self._held = held
        self.health.withheld = held.reason

    def backfilled(self, jobs: int, rows: int) -> None:
        """Count the rows of incremental snapshots and their jobs."""
        self._jobs = jobs
        if rows:
            self._snapshot_rows.inc(rows)

    def lag_bytes(self) -> int:
        """Return how much WAL lies between the confirmed LSN and the server's end, as last heard."""
        last = self._last
        return max(0, last.server_end - last.confirmed)

    def lag_seconds(self) -> float:
        """Return the age of the oldest commit that was read and that Kafka does not have; 0 if there is none."""
        oldest = self._oldest_us
        return 0.0 if oldest is None else max(0.0, self._now() - oldest / 1e6)

    def exposition(self) -> bytes:
        """Return every figure in Prometheus's text format."""
        return generate_latest(self._registry)

    def summary(self) -> dict[str, Any]:
        """Return where the engine stands, for `/readyz` and `headwater cdc status`."""
        ready, live, last, held = self.health.ready(), self.health.live(), self._last, self._held
        return {
            "phase": self.health.phase.value,
            "ready": ready.ok,
            "live": live.ok,
            "reason": live.reason if not live.ok else ready.reason,
            "confirmed_lsn": format_lsn(last.confirmed),
            "lag_bytes": self.lag_bytes(),
            "lag_seconds": round(self.lag_seconds(), 3),
            "in_flight": last.in_flight,
            "retained_wal_bytes": None if held is None else held.retained_bytes,
            "wal_seconds_left": None if held is None or math.isinf(held.seconds_left) else round(held.seconds_left),
        }

    def _wal(self, name: str) -> float:
        held = self._held
        return math.nan if held is None else float(getattr(held, name))

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(f"headwater_cdc_{name}", text, registry=self._registry).set_function(read)


def _counter(registry: CollectorRegistry, name: str, text: str) -> Counter:
    return Counter(f"headwater_cdc_{name}", text, registry=registry)

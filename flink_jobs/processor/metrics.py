"""Owns the processor's figures and the judgement whether it works: the only module that knows the Prometheus client.

The loop tells, the endpoint asks from another thread. Facts: FL-62 of the contract.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from flink_jobs.processor.records import RawRecord
from flink_jobs.processor.router import Outcome

_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_READY_S: Final = 10.0
_LIVE_S: Final = 120.0
ERRORS: Final = ("aborted", "session_lost", "filters_refused", "filters_unread")


class Monitor:
    """Keep the figures.

    Args:
        clock: Seconds, from any start; the one by which records were read.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = clock()
        self._works = False
        self._filters = 0
        self._registry = registry = CollectorRegistry()
        self._received = Counter("headwater_processor_received", "Raw records of committed batches.", registry=registry)
        self._matched = Counter("headwater_processor_matched", "Records taken.", ["filter"], registry=registry)
        self._dropped = Counter("headwater_processor_dropped", "Records that no filter takes.", registry=registry)
        self._dead = Counter("headwater_processor_dead_letters", "Records that cannot be read.", registry=registry)
        self._errors = Counter("headwater_processor_errors", "Failures survived.", ["kind"], registry=registry)
        for kind in ERRORS:
            # So that each is there at zero, and an increase from nothing is seen.
            self._errors.labels(kind)
        self._latency = Histogram(
            "headwater_processor_processing_seconds",
            "From reading a record until its transaction is committed.",
            buckets=_BUCKETS,
            registry=registry,
        )
        Gauge("headwater_processor_filters", "Filters at work.", registry=registry).set_function(lambda: self._filters)

    def moved(self) -> None:
        """Take that the loop went round with a session that works."""
        self._seen, self._works = self._clock(), True

    def committed(self, outcome: Outcome, taken: Sequence[RawRecord]) -> None:
        """Count a batch and time each of its records."""
        now = self._clock()
        self._received.inc(outcome.received)
        self._dropped.inc(outcome.dropped)
        self._dead.inc(outcome.dead)
        for name, count in outcome.matched.items():
            self._matched.labels(name).inc(count)
        for raw in taken:
            self._latency.observe(max(0.0, now - raw.read_at))

    def failed(self, kind: str) -> None:
        """Count a failure; after the loss of its session the processor is not ready until it works again."""
        if kind == "session_lost":
            # Trying again is a sign of life: killing the process brings no broker back.
            self._seen, self._works = self._clock(), False
        self._errors.labels(kind).inc()

    def switched(self, filters: int) -> None:
        """Take the number of filters now at work."""
        self._filters = filters

    def exposition(self) -> bytes:
        """Return every figure in Prometheus's text format."""
        return generate_latest(self._registry)

    def summary(self) -> dict[str, Any]:
        """Return whether it is ready, whether it is worth keeping, and why not."""
        still = self._clock() - self._seen
        ready = self._works and still <= _READY_S
        why = (
            "working"
            if ready
            else f"no round of the loop for {still:.1f} s"
            if self._works
            else "no session with Kafka"
        )
        return {"ready": ready, "live": still <= _LIVE_S, "reason": why, "filters": self._filters}

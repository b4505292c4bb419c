"""Owns the end of a frozen engine: a timer of the kernel that kills the process unless the loop keeps winding it.

A process that was stopped, or whose machine was, may wake when its slot has long been another's. librdkafka's thread
would then send what waits in its queue before Python runs a line, and nothing in the Kafka protocol refuses it: the
records are valid, and now there twice. So the loop winds a timer; while the process is frozen it runs out, and kills.

A message timeout of librdkafka is no cure: of a queue it drops the old records and sends the younger ones behind
them, a gap that the last position of the partition would hide for ever.
Source of facts: librdkafka, CONFIGURATION.md (`enable.gapless.guarantee`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cdc.slots.killtimer import kill_timer

_WINDINGS: Final = 20
"""How often the timer is wound before it could run out; more often would only cost system calls."""


class Fuse:
    """A timer that ends the process if nobody winds it for some seconds; 0 for none."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        new_timer: Callable[[], Callable[[float], None]] = kill_timer,
    ) -> None:
        """Begin without a timer."""
        self._seconds = seconds
        self._clock = clock
        self._new_timer = new_timer
        self._wind: Callable[[float], None] | None = None
        self._next = 0.0

    @contextmanager
    def lit(self, stopping: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
        """Give a `stopping` that winds the timer whenever the loop asks it, until it is true or the block ends."""
        if not self._seconds:
            yield stopping
            return
        # One for the life of the process.
        wind = self._wind = self._wind or self._new_timer()

        def winding() -> bool:
            if stopping():
                # What follows is bounded by itself, and it may wait for Kafka.
                wind(0)
                return True
            now = self._clock()
            if now >= self._next:
                self._next = now + self._seconds / _WINDINGS
                wind(self._seconds)
            return False

        self._next = 0.0
        try:
            yield winding
        finally:
            wind(0)


NO_FUSE: Final = Fuse(0)
"""For an engine that shares its process."""

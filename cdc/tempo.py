"""Owns the answer to one question: do records come so fast that they had better travel in company? Does no I/O.

A record that waits for nobody is in Kafka soonest, and costs most: batches are small, and each costs the broker as much
as a large one. While a backlog is drained nobody waits for a single record, so that a few milliseconds buy a third of
the throughput (bench/README.md).
"""

from typing import Final

_WINDOW_S: Final = 0.05
_MANY: Final = 10_000
_FEW: Final = 5_000
"""Records a second. Between the two everything stays as it is."""


class Tempo:
    """The rate of the records, looked at twenty times a second."""

    def __init__(self) -> None:
        """Start in the belief that they come in bulk: where a stream begins, there mostly is a backlog."""
        self._since: float | None = None
        self._count = 0
        self.bulk = True
        """Whether the records come in bulk."""

    def note(self, count: int, now: float) -> bool:
        """Note that so many more records were sent, and that it is `now`; return whether they come in bulk."""
        if self._since is None:
            self._since = now
        self._count += count
        elapsed = now - self._since
        if elapsed >= _WINDOW_S:
            rate = self._count / elapsed
            self.bulk = rate >= _MANY or (self.bulk and rate >= _FEW)
            self._since, self._count = now, 0
        return self.bulk

"""Owns the account of what was handed to Kafka and not yet acknowledged, and the LSN that may be confirmed for it.

The rule: the server may forget everything before an LSN only when Kafka has acknowledged every record that was handed
over before that LSN was reached. Acknowledgements come in any order across partitions, so records are counted in
spans; a span settles when its count is down to zero and every span before it has settled.
"""

from collections import deque
from dataclasses import dataclass

from cdc.lsn import Lsn

_SPAN_BYTES = 256 * 1024


@dataclass(slots=True)
class Span:
    """A run of records that settle together. Whoever delivers one of them calls `acknowledge` once."""

    reached: Lsn
    """Everything before this LSN was handed over in this span or an earlier one."""
    records: int = 0
    size: int = 0
    pending: int = 0

    def acknowledge(self) -> None:
        """Note that Kafka has stored one record of the span."""
        self.pending -= 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in flight before the relay stops reading: what bounds the memory while Kafka is away."""

    records: int = 10_000
    size: int = 8 * 1024 * 1024
    """In bytes of keys and values."""
    span_records: int = 256
    """How many records settle together at most: few settle early, many cost less to count."""


class Ledger:
    """The spans in flight, oldest first; the last one is open."""

    def __init__(self, confirmed: Lsn, limits: Limits) -> None:
        """Start with nothing in flight, at the LSN that the slot has confirmed."""
        self.confirmed = confirmed
        """The LSN that may be confirmed to the server; never goes back."""
        self._limits = limits
        self._last = Span(confirmed)
        """The open one."""
        self._spans = deque([self._last])
        self._records = 0
        self._size = 0

    def add(self, size: int) -> Span:
        """Count a record of so many bytes as handed over and return the span that waits for its acknowledgement."""
        span = self._last
        if span.records >= self._limits.span_records or span.size >= _SPAN_BYTES:
            span = self._last = Span(span.reached)
            self._spans.append(span)
        span.records += 1
        span.pending += 1
        span.size += size
        self._records += 1
        self._size += size
        return span

    def reach(self, lsn: Lsn) -> None:
        """Note that every record before this LSN has been handed over: a commit's end, or the server's keepalive."""
        span = self._last
        span.reached = max(span.reached, lsn)

    @property
    def reached(self) -> Lsn:
        """The LSN before which every record has been handed over."""
        return self._last.reached

    def settle(self) -> Lsn:
        """Close the account of what has been acknowledged; return the LSN that may be confirmed now."""
        while self._spans[0].pending == 0:
            span = self._spans[0]
            self.confirmed = max(self.confirmed, span.reached)
            self._records -= span.records
            self._size -= span.size
            if len(self._spans) == 1:
                self._last = self._spans[0] = Span(span.reached)
                break
            self._spans.popleft()
        return self.confirmed

    @property
    def full(self) -> bool:
        """Whether the limits are reached."""
        return self._records >= self._limits.records or self._size >= self._limits.size

    @property
    def in_flight(self) -> int:
        """The records that no acknowledgement has come for."""
        return sum(span.pending for span in self._spans)

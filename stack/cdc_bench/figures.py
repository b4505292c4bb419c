"""Owns the arithmetic of the measurement: percentiles, rates, processor time between two moments. Pure functions."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from stack.percentiles import nearest_rank

_MS = 1000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Hold what half, 99 % and 99.9 % of the times do not exceed, and the longest; milliseconds."""

    p50: float
    p99: float
    p999: float
    longest: float

    @classmethod
    def of(cls, times: Sequence[float]) -> "Percentiles":
        """Take them from at least one time."""
        ordered = sorted(times)
        return cls(*(round(nearest_rank(ordered, share), 3) for share in (0.5, 0.99, 0.999, 1.0)))

    @classmethod
    def median_of(cls, rounds: Sequence["Percentiles"]) -> "Percentiles":
        """Return the median of each over the rounds."""
        columns = zip(*(asdict(each).values() for each in rounds), strict=True)
        return cls(*(round(median(column), 3) for column in columns))


def drain_rate(times_ms: Sequence[int]) -> int:
    """Return records a second from the first to the last record by the broker's clock; `times_ms` is sorted."""
    return round(len(times_ms) * _MS / max(1, times_ms[-1] - times_ms[0]))


def steady_rate(times_ms: Sequence[int]) -> int:
    """Return records a second over the second half alone, when a just-in-time compiler has done most of its work."""
    return drain_rate(times_ms[len(times_ms) // 2 :])


@dataclass(frozen=True, slots=True)
class Sample:
    """Say what a process had used at a moment: `at` in seconds since the epoch, `processor` in seconds, `rss` bytes."""

    at: float
    processor: float
    rss: int


def processor_seconds(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Return the processor time used between two moments, interpolated between samples."""
    return _processor_at(samples, end) - _processor_at(samples, begin)


def _processor_at(samples: Sequence[Sample], at: float) -> float:
    index = bisect_left(samples, at, key=lambda each: each.at)
    if index == 0:
        return samples[0].processor
    if index == len(samples):
        return samples[-1].processor
    before, after = samples[index - 1], samples[index]
    share = (at - before.at) / (after.at - before.at)
    return before.processor + share * (after.processor - before.processor)

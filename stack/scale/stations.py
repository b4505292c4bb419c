"""Owns the parts of the simulated pipeline that have a queue: stations, their batches, and what is noted of them.

A parcel is the events of one moment, and moves as one. Who is idle takes what waits, up to a slice of work, and passes
it on when that is done. So a busy part has larger batches, as the walsender's socket, the engine's loop, librdkafka and
Flink's network buffers have them, and the number of steps does not grow with the load. Must never know the stages.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from random import Random
from typing import Final, NamedTuple

import simpy

_RATIO: Final = 1.02
"""Between the edges of two classes of latency: no percentile is off by more than two in a hundred."""


class Parcel(NamedTuple):
    """Hold the events of one moment: when they were offered, how many, and how many of the whole log they are among."""

    born: float
    events: int
    whole: int


Steps = Generator[simpy.Event, None, None]


class Latencies:
    """Count durations by classes whose edges grow by a constant factor; seconds."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()

    def note(self, seconds: float, events: int) -> None:
        """Count so many events of one duration."""
        self._classes[math.ceil(math.log(max(seconds, 1e-6), _RATIO))] += events

    def percentile(self, share: float) -> float:
        """Return the upper edge of the class in which that share of the events is reached; 0 without any."""
        missing = share * self._classes.total()
        for place in sorted(self._classes):
            missing -= self._classes[place]
            if missing <= 0:
                return float(_RATIO**place)
        return 0.0


class Station:
    """Serve parcels one batch after the other.

    Args:
        environment: The simulated time.
        cost: Seconds of work in a parcel.
        onward: Where it goes afterwards.
        slice_seconds: The most work that a batch of several parcels has.
        latencies: Where the time from coming to leaving is noted.
        gather: Seconds that an idle one waits for more before it begins.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        cost: Callable[[Parcel], float],
        onward: Callable[[Parcel], None],
        slice_seconds: float,
        latencies: Latencies,
        gather: float = 0.0,
    ) -> None:
        self._environment = environment
        self._cost = cost
        self._onward = onward
        self._slice = slice_seconds
        self._waiting: OrderedDict[float, tuple[float, Parcel]] = OrderedDict()
        self._idle: simpy.Event | None = None
        self._redo = 0.0
        self._down_until = 0.0
        self.queued = 0
        """Events that are here, in work or waiting."""
        self.most = 0
        self.busy = 0.0
        """Seconds of work done."""
        self._latencies, self._gather = latencies, gather
        environment.process(self._work())

    def take(self, parcel: Parcel) -> None:
        """Add a parcel to the queue; one of the same moment that waits already grows by it."""
        self.queued += parcel.events
        self.most = max(self.most, self.queued)
        if (found := self._waiting.get(parcel.born)) is not None:
            entered, same = found
            parcel = Parcel(parcel.born, same.events + parcel.events, same.whole + parcel.whole)
        else:
            entered = self._environment.now
        self._waiting[parcel.born] = entered, parcel
        self._wake()

    def fail(self, seconds: float, redo: float) -> None:
        """Be down from now on for so many seconds, and begin with so much work that was done before."""
        self._down_until = self._environment.now + seconds
        self._redo = redo
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.succeed()
            self._idle = None

    def _work(self) -> Steps:
        while True:
            if not self._waiting and not self._redo:
                self._idle = self._environment.event()
                yield self._idle
                if self._gather:
                    yield self._environment.timeout(self._gather)
            if (rest := self._down_until - self._environment.now) > 0:
                yield self._environment.timeout(rest)
            work, self._redo = self._redo, 0.0
            batch: list[tuple[float, Parcel]] = []
            while self._waiting and (not batch or work < self._slice):
                _born, (entered, parcel) = self._waiting.popitem(last=False)
                work += self._cost(parcel)
                batch.append((entered, parcel))
            yield self._environment.timeout(work)
            self.busy += work
            for entered, parcel in batch:
                self.queued -= parcel.events
                if parcel.events:
                    self._latencies.note(self._environment.now - entered, parcel.events)
                    self._onward(parcel)


def split(events: int, shares: tuple[float, ...], chance: Random) -> list[int]:
    """Return how many of so many events fall to each share, each event by itself; together all of them."""
    found, left = [], 1.0
    for share in shares[:-1]:
        part = _binomial(events, min(1.0, share / left) if left > 0 else 0.0, chance)
        found.append(part)
        events -= part
        left -= share
    found.append(events)
    return found


def _binomial(trials: int, probability: float, chance: Random) -> int:
    """Return how often something of this probability comes about; for many trials by the normal distribution."""
    mean = trials * probability
    if trials < 16:
        return sum(chance.random() < probability for _ in range(trials))
    return min(trials, max(0, round(chance.gauss(mean, math.sqrt(mean * (1 - probability))))))


def poisson(mean: float, chance: Random) -> int:
    """Return how many arrivals there are where there are `mean` on average; for many by the normal distribution."""
    if mean > 32:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    found, product = 0, chance.random()
    while product > math.exp(-mean):
        found += 1
        product *= chance.random()
    return found

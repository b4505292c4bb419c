"""Owns the simulation of a pipeline: its stages in a row, arrivals that wait for nobody, a shard that fails.

Discrete events, by SimPy, of parcels and not of single events: what arrives at one primary in a slice of time moves
together and is cut by key on its way, event by event as chance has it. So the steps of a simulated second are bounded,
whatever the rate; a slice is a millisecond for a small pipeline and grows with the number of shards. No latency shorter
than that can be told, and none is: what an idle pipeline takes was measured, and is added at the end. Queues have no
bound, as the log of the database has none: what nobody takes yet stays there. One seed, one outcome.
"""

from dataclasses import dataclass
from functools import partial
from math import sqrt
from random import Random
from typing import Final

import simpy

from stack.scale.figures import Figures
from stack.scale.limits import REDO_SECONDS, Limit, Sizes, Workload, catch_up_seconds, costs, limits
from stack.scale.pipeline import Pipeline
from stack.scale.stations import Parcel, Station, Steps, poisson

_FINEST_SECONDS: Final = 0.001
_SLICES: Final = 30_000
"""Parcels that all shards together get in a second."""
_SLICES_EVEN: Final = 10_000
"""The same where transactions come evenly, which is for queues and not for latencies."""
_WARM_SECONDS: Final = 1.0
_BURST_SECONDS: Final = 1.0
_GROWTH: Final = 0.001
"""Of what arrives may stay in the queues without being called growth, besides what chance explains."""
_CHANCE: Final = 4
"""Standard deviations that chance explains."""
_LOOKS: Final = 50
_PHASE: Final = 0.37
"""Of a slice, between two looks at the queues."""
_LEVEL: Final = 4
"""Slices of arrivals, a transaction more in each, with which in its queues a shard is level again."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Say what happens in a simulation.

    Attributes:
        seconds: Simulated, after a second to warm up.
        even: Transactions come at even distances; otherwise at random ones.
        burst: Factor on the rate in every other half second; the other halves have less, so that the mean stays.
        down: Seconds that a shard is down, from the end of warming up on; 0 for none.
        seed: Of all chance.
    """

    seconds: float = 6.0
    even: bool = False
    burst: float = 1.0
    down: float = 0.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """Say how one stage did: use from 0 to 1 of its units' time, queues in events, time in it in milliseconds."""

    stage: str
    units: int
    utilisation: float
    busiest: float
    predicted: float
    """By the model, of the busiest unit."""
    queue: int
    """At the end."""
    most: int
    """The longest queue of one unit."""
    p50_ms: float
    p99_ms: float
    grows: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what came of a simulation; every event that arrived was delivered or is in a queue."""

    arrived: int
    delivered: int
    queued: int
    raw_p50_ms: float
    raw_p99_ms: float
    p50_ms: float
    p99_ms: float
    stages: tuple[Stage, ...]
    catch_up: float | None
    """Seconds from the restart of the shard that was down until it is level; None if there was none, or it is not."""
    catch_up_predicted: float | None

    @property
    def sustainable(self) -> bool:
        """Tell whether no queue goes on growing."""
        return not any(stage.grows for stage in self.stages)


def simulate(workload: Workload, sizes: Sizes, figures: Figures, scenario: Scenario) -> Outcome:
    """Let a workload run through a pipeline.

    Raises:
        LookupError: The figures have no such broker class.
        ValueError: The walsenders take every processor of a primary.
    """
    return _Run(workload, sizes, figures, scenario).run()


class _Run:
    def __init__(self, workload: Workload, sizes: Sizes, figures: Figures, scenario: Scenario) -> None:
        self._workload, self._sizes, self._figures, self._scenario = workload, sizes, figures, scenario
        self._limits = limits(workload, sizes, figures)
        slices = _SLICES_EVEN if scenario.even else _SLICES
        self._slice = max(_FINEST_SECONDS, sizes.primaries * sizes.shards / slices)
        self._environment = simpy.Environment()
        self._chance = Random(scenario.seed)  # noqa: S311 - repeatable, not secret
        cost = costs(workload, sizes, figures)
        self._pipeline = Pipeline(self._environment, workload, sizes, cost, self._slice, self._chance, _WARM_SECONDS)
        self._arrived = 0
        self._catch_up: float | None = None

    def _arrive(self, primary: Station) -> Steps:
        """Offer transactions to one primary, whatever has become of those before."""
        events = self._workload.transaction_events
        mean = self._workload.rate / self._sizes.primaries / events * self._slice
        due = 0.0
        while True:
            first_half = self._environment.now % _BURST_SECONDS < _BURST_SECONDS / 2
            now = mean * (self._scenario.burst if first_half else 2 - self._scenario.burst)
            if self._scenario.even:
                due += now
                transactions = int(due)
                due -= transactions
            else:
                transactions = poisson(now, self._chance)
            if transactions:
                self._arrived += (arrived := transactions * events)
                primary.take(Parcel(self._environment.now, arrived, arrived))
            yield self._environment.timeout(self._slice)

    def _fail(self) -> Steps:
        """Take the busiest shard of the first primary down, and see when it is level again."""
        yield self._environment.timeout(_WARM_SECONDS)
        down, parts = self._scenario.down, self._pipeline.shards
        shard = {stage: self._pipeline.stations[stage][parts.index(max(parts))] for stage in ("walsender", "engine")}
        for limit in self._limits:
            if limit.stage in shard:
                shard[limit.stage].fail(down, REDO_SECONDS * limit.utilisation)
        offered = self._workload.rate / self._sizes.primaries * self._slice + self._workload.transaction_events
        usual = _LEVEL * offered * max(parts)
        yield self._environment.timeout(down)
        while sum(station.queued for station in shard.values()) > usual:
            yield self._environment.timeout(self._slice)
        self._catch_up = self._environment.now - _WARM_SECONDS - down

    def run(self) -> Outcome:
        """Run the whole scenario."""
        for primary in self._pipeline.stations["primary"]:
            self._environment.process(self._arrive(primary))
        if self._scenario.down:
            self._environment.process(self._fail())
        seconds = self._scenario.seconds
        self._environment.run(_WARM_SECONDS)
        busy = [[station.busy for station in self._pipeline.stations[limit.stage]] for limit in self._limits]
        middle, arrived = self._queues(_WARM_SECONDS + seconds / 2), self._arrived
        end = self._queues(_WARM_SECONDS + seconds)
        allowed = self._allowed(self._arrived - arrived)
        growth = [last - before for last, before in zip(end, middle, strict=True)]
        stages = tuple(map(partial(self._stage, allowed), self._limits, busy, growth))
        down = self._scenario.down
        figures, pipeline = self._figures, self._pipeline
        to_raw = figures.raw_ms.value
        to_consumer = to_raw + figures.filtered_ms.value + figures.consumer_ms.value
        return Outcome(
            arrived=self._arrived,
            delivered=pipeline.delivered,
            queued=sum(stage.queue for stage in stages),
            raw_p50_ms=to_raw + pipeline.raw.percentile(0.5) * 1000,
            raw_p99_ms=to_raw + pipeline.raw.percentile(0.99) * 1000,
            p50_ms=to_consumer + pipeline.whole.percentile(0.5) * 1000,
            p99_ms=to_consumer + pipeline.whole.percentile(0.99) * 1000,
            stages=stages,
            catch_up=self._catch_up,
            catch_up_predicted=catch_up_seconds(self._limits, down) if down else None,
        )

    def _queues(self, until: float) -> list[float]:
        """Run on until then, and return the mean queue of every stage in the last moments before."""
        # Queues swing with the slices: what is looked at is as long as some of them, and out of step with them.
        step = self._slice * _PHASE
        self._environment.run(until - _LOOKS * step)
        sums = [0] * len(self._limits)
        for look in range(_LOOKS, 0, -1):
            sums = [total + self._queue(limit.stage) for total, limit in zip(sums, self._limits, strict=True)]
            self._environment.run(until - (look - 1) * step)
        return [total / _LOOKS for total in sums]

    def _queue(self, stage: str) -> int:
        return sum(station.queued for station in self._pipeline.stations[stage])

    def _allowed(self, arrived: int) -> float:
        """Return by how many events the queues of a stage may grow while so many arrive, without being said to grow."""
        # By chance whole transactions more or less arrive; where they come evenly, events fall to one unit or another.
        deviation = (
            sqrt(arrived) if self._scenario.even else _CHANCE * sqrt(arrived * self._workload.transaction_events)
        )
        return _GROWTH * arrived + deviation

    def _stage(self, allowed: float, limit: Limit, busy: list[float], growth: float) -> Stage:
        stations = self._pipeline.stations[limit.stage]
        used = [
            (station.busy - before) / self._scenario.seconds for station, before in zip(stations, busy, strict=True)
        ]
        latencies = self._pipeline.latencies[limit.stage]
        return Stage(
            stage=limit.stage,
            units=limit.units,
            utilisation=sum(used) / len(used),
            busiest=max(used),
            predicted=limit.utilisation,
            queue=self._queue(limit.stage),
            most=max(station.most for station in stations),
            p50_ms=latencies.percentile(0.5) * 1000,
            p99_ms=latencies.percentile(0.99) * 1000,
            grows=growth > allowed,
        )

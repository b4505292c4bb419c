"""Owns the wiring of the simulated pipeline: which stations there are, and how a parcel finds its way by key.

Must never run the clock; the simulation does.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import simpy

from stack.scale.keys import grouped, shares
from stack.scale.limits import Costs, Sizes, Workload
from stack.scale.stations import Latencies, Parcel, Station, split

STAGES: Final = ("primary", "walsender", "engine", "broker", "partition", "flink", "consumer")

_GATHER: Final = 0.25
"""Of a slice, that an idle broker waits for more."""


class Pipeline:
    """Hold the stations of every stage, wired from the primaries to the consumers.

    Args:
        environment: The simulated time.
        workload: For the skew of its keys.
        sizes: How many of each.
        cost: Of an event in each.
        slice_seconds: The most work that a batch has.
        chance: What decides where an event goes.
        since: Events that were offered before this time are left out of the latencies.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        workload: Workload,
        sizes: Sizes,
        cost: Costs,
        slice_seconds: float,
        chance: Random,
        since: float,
    ) -> None:
        self._environment, self._sizes, self._cost = environment, sizes, cost
        self._slice, self._chance, self._since = slice_seconds, chance, since
        self.delivered = 0
        self.raw, self.whole = Latencies(), Latencies()
        self.latencies = {stage: Latencies() for stage in STAGES}
        self.shards = shares(sizes.shards, workload.skew, "shard")
        self._partitions = shares(sizes.partitions, workload.skew, "partition")
        # From the end of the way to its beginning: each is told where its parcels go.
        consumers = [self._station("consumer", cost.consumer, self._deliver) for _ in range(sizes.readers)]
        flink = [self._station("flink", cost.flink, self._to_readers(lane, consumers)) for lane in range(sizes.lanes)]
        partitions = [
            self._station("partition", cost.partition * self._hottest(lane), self._stored(station))
            for lane, station in enumerate(flink)
        ]
        lanes = grouped(self._partitions, sizes.lanes)
        # Without a pause, what the engines have sent of one moment would go on in as many parcels as there are engines.
        broker = self._station("broker", cost.broker, self._divide(partitions, lanes), slice_seconds * _GATHER)
        count = sizes.primaries * sizes.shards
        engines = [self._station("engine", cost.engine, broker.take) for _ in range(count)]
        walsenders = [self._walsender(engine) for engine in engines]
        primaries = [
            self._station("primary", cost.write, self._divide(walsenders[place : place + sizes.shards], self.shards))
            for place in range(0, count, sizes.shards)
        ]
        self.stations = {
            "primary": primaries,
            "walsender": walsenders,
            "engine": engines,
            "broker": [broker],
            "partition": partitions,
            "flink": flink,
            "consumer": consumers,
        }

    def _station(self, stage: str, cost: float, onward: Callable[[Parcel], None], gather: float = 0.0) -> Station:
        return self._made(stage, lambda parcel: parcel.events * cost, onward, gather)

    def _walsender(self, engine: Station) -> Station:
        decode, send = self._cost.decode, self._cost.send
        return self._made("walsender", lambda parcel: parcel.whole * decode + parcel.events * send, engine.take)

    def _made(
        self, stage: str, cost: Callable[[Parcel], float], onward: Callable[[Parcel], None], gather: float = 0.0
    ) -> Station:
        return Station(self._environment, cost, onward, self._slice, self.latencies[stage], gather)

    def _divide(self, stations: list[Station], parts: tuple[float, ...]) -> Callable[[Parcel], None]:
        """Return what cuts a parcel by key; a shard without an event of it has to decode it all the same."""

        def onward(parcel: Parcel) -> None:
            for station, events in zip(stations, split(parcel.events, parts, self._chance), strict=True):
                station.take(Parcel(parcel.born, events, parcel.events))

        return onward

    def _hottest(self, lane: int) -> float:
        """Return which part of what a lane gets is in its fullest partition."""
        mine = self._partitions[lane :: self._sizes.lanes]
        # With more partitions than keys there may be none in it.
        return max(mine) / (sum(mine) or 1.0)

    def _stored(self, flink: Station) -> Callable[[Parcel], None]:
        def onward(parcel: Parcel) -> None:
            if parcel.born >= self._since:
                self.raw.note(self._environment.now - parcel.born, parcel.events)
            flink.take(parcel)

        return onward

    def _to_readers(self, lane: int, consumers: list[Station]) -> Callable[[Parcel], None]:
        """Return what cuts the output of a subtask by the consumers that have its partitions, where keys stay."""
        weights = [0.0] * len(consumers)
        for partition in range(lane, self._sizes.partitions, self._sizes.lanes):
            weights[partition % len(consumers)] += self._partitions[partition]
        readers = [reader for reader, weight in enumerate(weights) if weight]
        parts = tuple(weights[reader] / sum(weights) for reader in readers)
        return self._divide([consumers[reader] for reader in readers], parts)

    def _deliver(self, parcel: Parcel) -> None:
        self.delivered += parcel.events
        if parcel.born >= self._since:
            self.whole.note(self._environment.now - parcel.born, parcel.events)

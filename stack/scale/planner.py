"""Owns the choice of sizes for a workload: the smallest of each part that leaves the headroom. Pure functions.

A plan carries its rate with every part used to at most 1 - headroom, and so a rate of `rate / (1 - headroom)` without
rest. The simulation shows both.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from typing import Final

from stack.errors import StackError
from stack.scale.figures import Figures
from stack.scale.limits import Limit, Sizes, Workload, costs, first, limits

MOST_SHARDS: Final = 8
"""Slots of one primary: ten is what the database allows (CD-2), and a snapshot needs one more."""
_FEWEST_PARTITIONS: Final = 6
_MANY_BROKERS: Final = 30
_ROUNDING: Final = 1e-9
"""So that what is planned for exactly does not fail by the last digit."""
_TRIES: Final = 4
"""How much more than evenly spread keys would need is tried, and how many partitions more for each subtask."""
_ZONES: Final = 3
"""Brokers come by the zone, one copy of each partition in each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold the sizes for a workload, and how much of each stage it uses."""

    workload: Workload
    headroom: float
    sizes: Sizes
    database: str
    limits: tuple[Limit, ...]

    @property
    def first(self) -> Limit:
        """Return the limit that comes first."""
        return first(self.limits)

    @property
    def peak(self) -> float:
        """Return the rate that the plan carries without rest, events a second."""
        return self.workload.rate / (1 - self.headroom)


def plan(workload: Workload, figures: Figures, headroom: float = 0.3) -> Plan:
    """Return the smallest sizes that carry a workload.

    Args:
        workload: What is to be carried.
        figures: What an event costs.
        headroom: The part of every unit that stays free, from 0 to below 1.

    Raises:
        StackError: No size will do: the keys are so skewed that one of them is too much for its shard or partition.
    """
    allowed = 1 - headroom
    sizes, database = _databases(workload, figures, allowed)
    fitted = _downstream(workload, figures, allowed, sizes)
    return Plan(workload, headroom, fitted, database, limits(workload, fitted, figures))


def _databases(workload: Workload, figures: Figures, allowed: float) -> tuple[Sizes, str]:
    """Return the fewest primaries, and for them the fewest shards and processors."""
    fewest = ceil(workload.rate / (figures.commits.value * workload.transaction_events * allowed))
    largest = max(each.vcpu for each in figures.databases)
    # Downstream is chosen later, and does not matter here.
    sizes = Sizes(1, largest, 1, 1, 1, figures.brokers[0].name, 1, 1)
    for primaries in count(max(1, fewest)):
        for shards in range(1, MOST_SHARDS + 1):
            sizes = replace(sizes, primaries=primaries, shards=shards)
            if not _fits(workload, replace(sizes, vcpu=largest), figures, allowed, {"primary", "walsender", "engine"}):
                continue
            for each in sorted(figures.databases, key=lambda each: each.vcpu):
                chosen = replace(sizes, vcpu=each.vcpu)
                if each.vcpu > shards and _fits(workload, chosen, figures, allowed, {"primary"}):
                    return chosen, each.name
        # More would leave the hottest key where it is.
        if primaries > max(1, fewest) * _TRIES + workload.rate * figures.whole_us.value / 1e6 / allowed:
            break
    raise _too_skewed(workload, "shard")


def _downstream(workload: Workload, figures: Figures, allowed: float, sizes: Sizes) -> Sizes:
    """Return the sizes with Flink's slots, then the fewest partitions, the same number for each, then consumers."""
    cost = costs(workload, sizes, figures)
    slots = max(1, ceil(workload.rate * cost.flink / allowed - _ROUNDING))
    consumers = max(1, ceil(workload.rate * cost.consumer / allowed - _ROUNDING))
    fewest = max(_FEWEST_PARTITIONS, consumers, ceil(workload.rate * cost.partition / allowed - _ROUNDING))
    for task_slots in range(slots, slots * _TRIES + _TRIES):
        least = ceil(fewest / task_slots)
        for each in range(least, least + _TRIES):
            partitions = each * task_slots
            for readers in range(consumers, min(partitions, _TRIES * consumers) + 1):
                tried = replace(sizes, task_slots=task_slots, partitions=partitions, consumers=readers)
                if _fits(workload, tried, figures, allowed, {"partition", "flink", "consumer"}):
                    return _brokers(workload, figures, allowed, tried)
    raise _too_skewed(workload, "partition")


def _brokers(workload: Workload, figures: Figures, allowed: float, sizes: Sizes) -> Sizes:
    """Return the cheapest brokers, and of equally cheap ones the fewest; a large cluster only where there must be."""
    found: list[tuple[bool, float, int, Sizes]] = []
    for kind in figures.brokers:
        one = replace(sizes, brokers=_ZONES, broker=kind.name)
        used = _utilisation(workload, one, figures, "broker")
        number = _ZONES * max(1, ceil(used / allowed - _ROUNDING))
        found.append((number > _MANY_BROKERS, number * kind.usd_hour, number, replace(one, brokers=number)))
    return min(found, key=lambda each: each[:3])[3]


def _utilisation(workload: Workload, sizes: Sizes, figures: Figures, stage: str) -> float:
    return next(limit.utilisation for limit in limits(workload, sizes, figures) if limit.stage == stage)


def _fits(workload: Workload, sizes: Sizes, figures: Figures, allowed: float, stages: set[str]) -> bool:
    most = allowed + _ROUNDING
    return all(limit.utilisation <= most for limit in limits(workload, sizes, figures) if limit.stage in stages)


def _too_skewed(workload: Workload, what: str) -> StackError:
    return StackError(
        f"At {workload.rate:,.0f} events/s and a skew of {workload.skew:g} one key is too much for its {what}.",
        "Plan for a lower rate or skew: changes of one key cannot be carried side by side.",
    )


def one_less(made: Plan, figures: Figures) -> tuple[Limit, Sizes] | None:
    """Return the bottleneck and the sizes with one unit less of it, which do not carry the plan's peak any more.

    The bottleneck is the busiest stage for which that is so; None where every part is as small as it gets. The next
    smaller class is one unit less where there is only one primary, or one broker a zone.
    """
    for limit in sorted(made.limits, key=lambda limit: -limit.utilisation):
        smaller = _SMALLER[limit.stage](made.sizes, figures)
        if smaller is not None and not _fits(made.workload, smaller, figures, 1 - made.headroom, {limit.stage}):
            return limit, smaller
    return None


def _less_primary(sizes: Sizes, figures: Figures) -> Sizes | None:
    if sizes.primaries > 1:
        return replace(sizes, primaries=sizes.primaries - 1)
    below = [each.vcpu for each in figures.databases if sizes.shards < each.vcpu < sizes.vcpu]
    return replace(sizes, vcpu=max(below)) if below else None


def _less_shards(sizes: Sizes, _figures: Figures) -> Sizes | None:
    return replace(sizes, shards=sizes.shards - 1) if sizes.shards > 1 else None


def _less_partitions(sizes: Sizes, _figures: Figures) -> Sizes | None:
    fewer = sizes.partitions - sizes.task_slots
    return replace(sizes, partitions=fewer) if fewer >= sizes.task_slots else None


def _less_brokers(sizes: Sizes, figures: Figures) -> Sizes | None:
    if sizes.brokers > _ZONES:
        return replace(sizes, brokers=sizes.brokers - _ZONES)
    names = [each.name for each in figures.brokers]
    place = names.index(sizes.broker)
    return replace(sizes, broker=names[place - 1]) if place else None


def _less_slots(sizes: Sizes, _figures: Figures) -> Sizes | None:
    return replace(sizes, task_slots=sizes.task_slots - 1) if sizes.task_slots > 1 else None


def _less_consumers(sizes: Sizes, _figures: Figures) -> Sizes | None:
    return replace(sizes, consumers=sizes.consumers - 1) if sizes.consumers > 1 else None


_SMALLER: Final[dict[str, Callable[[Sizes, Figures], Sizes | None]]] = {
    "primary": _less_primary,
    "walsender": _less_shards,
    "engine": _less_shards,
    "partition": _less_partitions,
    "broker": _less_brokers,
    "flink": _less_slots,
    "consumer": _less_consumers,
}

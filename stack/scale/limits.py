"""Owns what each stage of a pipeline can carry: pure functions from a workload and sizes to events a second.

The stages stand in the order an event travels. A limit is the rate at which the busiest unit of the stage is busy all
the time. Must never choose sizes; the planner does.
"""

from dataclasses import dataclass
from typing import Final

from stack.scale.figures import Figures
from stack.scale.keys import grouped, shares

REDO_SECONDS: Final = 1.0
"""WAL that a restarted shard is sent again: CDC_CONFIRM_SECONDS."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Workload:
    """Say what is to be carried.

    Attributes:
        rate: Events a second, on average.
        transaction_events: Events in a transaction.
        record_bytes: Of a raw record; None for the figure.
        copies: Filtered records for a raw one.
        skew: Of the keys, as `keys.shares` takes it.
    """

    rate: float
    transaction_events: int = 1
    record_bytes: float | None = None
    copies: float = 1.0
    skew: float = 0.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Say how large each part is.

    Attributes:
        primaries: Databases that take writes, each with a part of the keys.
        vcpu: Processors of each.
        shards: Slots of each, a walsender and an engine process for each slot.
        partitions: Of the raw topic, and of each filtered one.
        brokers: How many.
        broker: Their class, by its name in the figures.
        task_slots: Parallel subtasks of the Flink job.
        consumers: Processes that read the filtered topics, all groups together.
    """

    primaries: int
    vcpu: int
    shards: int
    partitions: int
    brokers: int
    broker: str
    task_slots: int
    consumers: int

    @property
    def lanes(self) -> int:
        """Return how many subtasks have a partition to read."""
        return min(self.task_slots, self.partitions)

    @property
    def readers(self) -> int:
        """Return how many consumers have a partition to read."""
        return min(self.consumers, self.partitions)


@dataclass(frozen=True, slots=True)
class Costs:
    """Hold what an event costs each part, in seconds of the named unit, for one workload and its sizes."""

    write: float
    """Of a whole primary: its processors beside the walsenders', or its commits."""
    write_by: str
    decode: float
    """Of a walsender, for every event of its primary."""
    send: float
    """Of a walsender, for an event of its shard."""
    engine: float
    partition: float
    """Of the partition that it is written to."""
    broker: float
    """Of all brokers together."""
    broker_by: str
    flink: float
    consumer: float
    """Of a consumer, for a raw event: it reads `copies` of it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Say how much of a stage is used.

    Attributes:
        stage: Which one.
        units: How many of it there are.
        by: What it runs out of.
        capacity: Events a second of the whole pipeline at which its busiest unit has no rest.
        utilisation: Of that unit, at the workload's rate.
    """

    stage: str
    units: int
    by: str
    capacity: float
    utilisation: float


def costs(workload: Workload, sizes: Sizes, figures: Figures) -> Costs:
    """Return what an event costs each part.

    Raises:
        LookupError: The figures have no such broker class.
        ValueError: The walsenders take every processor of the primary.
    """
    events = workload.transaction_events
    if sizes.vcpu <= sizes.shards:
        message = f"{sizes.shards} walsenders leave no processor of {sizes.vcpu} for writes: fewer shards, or more vCPU"
        raise ValueError(message)
    processor = figures.write_us.at(events) / 1e6 / (sizes.vcpu - sizes.shards)
    commit = 1 / (figures.commits.value * events)
    # A filter that need not be evaluated costs nothing: a single slot has none.
    decode, send = (
        (0.0, figures.whole_us.at(events))
        if sizes.shards == 1
        else (figures.decode_us.at(events), figures.send_us.at(events))
    )
    size = workload.record_bytes or figures.record_bytes.value
    broker, broker_by = max(_broker(workload, sizes, figures, size))
    return Costs(
        write=max(processor, commit),
        write_by="commits" if commit > processor else "processor",
        decode=decode / 1e6,
        send=send / 1e6,
        # A large transaction is one for every shard that has a part of it.
        engine=figures.engine_us.at(events / sizes.shards) / 1e6,
        partition=size / 1e6 / figures.partition_mb.value,
        broker=broker,
        broker_by=broker_by,
        flink=figures.flink_us.value / 1e6,
        consumer=workload.copies * figures.consumer_us.value / 1e6,
    )


def _broker(workload: Workload, sizes: Sizes, figures: Figures, size: float) -> list[tuple[float, str]]:
    """Return the seconds of all brokers together that an event takes, by what it takes them of."""
    found = [each for each in figures.brokers if each.name == sizes.broker]
    if not found:
        message = f"no broker class {sizes.broker!r}; there are {', '.join(each.name for each in figures.brokers)}"
        raise LookupError(message)
    (kind,) = found
    # Raw and filtered records come in once; Flink reads the one, a consumer the other. Replication is not counted:
    # the quoted limits are those of clients' traffic.
    megabytes = size * (1 + workload.copies) / 1e6
    processor = figures.broker_us.at(workload.transaction_events) + figures.flink_broker_us.value
    return [
        (megabytes / kind.ingress_mb / sizes.brokers, "bytes in"),
        (megabytes / kind.egress_mb / sizes.brokers, "bytes out"),
        (processor / 1e6 / kind.vcpu / sizes.brokers, "processor"),
    ]


def limits(workload: Workload, sizes: Sizes, figures: Figures) -> tuple[Limit, ...]:
    """Return the limit of every stage, in the order an event travels."""
    cost = costs(workload, sizes, figures)
    shard = max(shares(sizes.shards, workload.skew, "shard"))
    partitions = shares(sizes.partitions, workload.skew, "partition")
    each = shard / sizes.primaries
    decoding = "decoding" if cost.decode > cost.send * shard else "sending"
    found = (
        ("primary", sizes.primaries, cost.write_by, cost.write / sizes.primaries),
        ("walsender", sizes.primaries * sizes.shards, decoding, cost.decode / sizes.primaries + cost.send * each),
        ("engine", sizes.primaries * sizes.shards, "processor", cost.engine * each),
        ("broker", sizes.brokers, cost.broker_by, cost.broker),
        ("partition", sizes.partitions, "bytes in", cost.partition * max(partitions)),
        ("flink", sizes.task_slots, "processor", cost.flink * max(grouped(partitions, sizes.lanes))),
        ("consumer", sizes.consumers, "processor", cost.consumer * max(grouped(partitions, sizes.readers))),
    )
    return tuple(
        Limit(stage, units, by, 1 / busy if busy else float("inf"), workload.rate * busy)
        for stage, units, by, busy in found
    )


def first(found: tuple[Limit, ...]) -> Limit:
    """Return the limit that is met first as the rate grows."""
    return max(found, key=lambda limit: limit.utilisation)


def catch_up_seconds(found: tuple[Limit, ...], down: float) -> float:
    """Return how long a shard that was down for so many seconds needs until it is level again; infinite if never.

    At a utilisation of u it has u seconds of work for each second missed, and 1 - u of each coming second for it.
    """
    by_stage = {limit.stage: limit.utilisation for limit in found}
    # What a primary cannot write does not come to its shards either.
    used = max(by_stage["walsender"], by_stage["engine"]) / max(1.0, by_stage["primary"])
    return (down + REDO_SECONDS) * used / (1 - used) if used < 1 - _ROUNDING else float("inf")

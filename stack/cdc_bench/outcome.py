"""Owns what each contender has shown, round by round. Pure data and medians; how it is printed, `report` knows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from stack.cdc_bench.figures import Percentiles
from stack.cdc_bench.plan import Contender


@dataclass(frozen=True, slots=True)
class Drain:
    """Say how one backlog went into Kafka.

    Attributes:
        rate: Records a second from the first to the last record, by the broker's clock.
        steady_rate: The same over the second half of the records.
        seconds_from_start: From the start of the engine's process to the last record.
        cpu_seconds_per_million: Processor seconds of the engine for a million records, from the first to the last.
        cpu_seconds: Its processor seconds from its start to the last record.
        walsender_cpu_seconds_per_million: Processor seconds of the server process that sends, for a million records.
        broker_cpu_seconds_per_million: Processor seconds of the broker, the same way.
        peak_rss_mb: The largest resident set of the engine until the last record, in MB.
        record_bytes: Key and value of a record, on average.
        lost: Committed rows without a record, of the whole turn.
        duplicates: Records beyond one for each row, of the whole turn.
        reordered: Records behind a later one of the same client in their partition.
        others_percent: How much of the machine's processors others used in the half second before the engine's start.
    """

    rate: int
    steady_rate: int
    seconds_from_start: float
    cpu_seconds_per_million: float
    cpu_seconds: float
    walsender_cpu_seconds_per_million: float
    broker_cpu_seconds_per_million: float
    peak_rss_mb: int
    record_bytes: int
    lost: int
    duplicates: int
    reordered: int
    others_percent: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Say how long records took at one pace; milliseconds.

    Attributes:
        rate: Transactions a second that were intended.
        reached: Transactions a second that were made.
        late: Transactions that started more than a millisecond after their intended start, by the generator's fault or
            because each of its clients still waited for a commit; it is counted in `from_intended`.
        samples: How many records.
        from_intended: From the intended start of the transaction to its record in the hands of a consumer.
        from_commit: From the return of its commit.
        commit: From the intended start to the return of the commit.
        to_append: From the return of its commit to the broker's time of the record, which is in whole milliseconds.
    """

    rate: int
    reached: float
    late: int
    samples: int
    from_intended: Percentiles
    from_commit: Percentiles
    commit: Percentiles
    to_append: Percentiles


@dataclass(frozen=True, slots=True)
class Limit:
    """Say what walsender and broker give by themselves, in records a second."""

    walsender: int
    broker: int


@dataclass(slots=True)
class Outcome:
    """Hold what one contender has shown: drains by shape, latencies by pace, a list over the rounds for each."""

    contender: Contender
    drains: dict[str, list[Drain]] = field(default_factory=dict)
    latencies: dict[str, list[Latency]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """What the contender's producer was really set to."""

    def total(self, name: str) -> int:
        """Return the sum of a count over every round and shape: `lost`, `duplicates` or `reordered`."""
        return sum(getattr(each, name) for rounds in self.drains.values() for each in rounds)


def drain_median(rounds: Sequence[Drain]) -> dict[str, float]:
    """Return the medians of what was measured, the sums of what was counted, by field."""
    counted = {"lost": sum, "duplicates": sum, "reordered": sum}
    columns = {name: [asdict(each)[name] for each in rounds] for name in Drain.__dataclass_fields__}
    return {name: counted.get(name, _median)(column) for name, column in columns.items()}


def _median(column: Sequence[float]) -> float:
    middle = median(column)
    return round(middle) if all(isinstance(each, int) for each in column) else round(middle, 3)

"""Owns what a plan costs and moves, computed from its sizes: bytes, storage, dollars. Pure functions, nothing measured.

Prices are list prices on demand of us-east-1 with their sources in `figures.toml`. Left out: standbys and replicas,
traffic between availability zones, backups, the producers themselves, discounts.
"""

from dataclasses import asdict, dataclass
from typing import Final

from stack.scale.figures import Figures
from stack.scale.planner import Plan

_HOURS: Final = 730
"""Of a month."""
_DAY: Final = 86_400
_RETENTION_DAYS: Final = 7
"""What the topics keep (CD-21)."""
_PROCESS_GB: Final = 2
"""Memory paid for with each processor of an engine or a consumer."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Hold what a plan moves and keeps: MB/s and GB of a million and a thousand million bytes.

    Attributes:
        wal_mb: WAL of each primary; each of its walsenders decodes all of it.
        wal_minute_gb: WAL that a primary keeps for each minute in which one of its shards is down.
        stored_day_gb: What all databases together grow by in a day.
        capture_mb: From the databases to the engines.
        produced_mb: Into the brokers, raw and filtered records, before they copy them.
        replicated_mb: Between the brokers.
        consumed_mb: Out of the brokers, to Flink and to the consumers.
        kept_gb: In the topics, one copy.
    """

    wal_mb: float
    wal_minute_gb: float
    stored_day_gb: float
    capture_mb: float
    produced_mb: float
    replicated_mb: float
    consumed_mb: float
    kept_gb: float

    def as_dict(self) -> dict[str, float]:
        """Return the form that `--json` prints."""
        return {name: round(value, 1) for name, value in asdict(self).items()}


def needs(made: Plan, figures: Figures) -> Needs:
    """Return what a plan moves and keeps at its rate."""
    workload, sizes = made.workload, made.sizes
    size = workload.record_bytes or figures.record_bytes.value
    events = workload.transaction_events
    raw, filtered = workload.rate * size / 1e6, workload.rate * size * workload.copies / 1e6
    wal = workload.rate / sizes.primaries * figures.wal_bytes.at(events) / 1e6
    return Needs(
        wal_mb=wal,
        wal_minute_gb=wal * 60 / 1e3,
        stored_day_gb=workload.rate * figures.stored_bytes.at(events) * _DAY / 1e9,
        capture_mb=raw,
        produced_mb=raw + filtered,
        replicated_mb=2 * (raw + filtered),
        consumed_mb=raw + filtered,
        kept_gb=(raw + filtered) * _DAY * _RETENTION_DAYS / 1e3,
    )


def dollars(made: Plan, figures: Figures) -> dict[str, int]:
    """Return the list price of a plan by the month, by what it is for, and in all.

    `database_day_kept` is the storage of one day's events, kept for a month; `total` has one of it.
    """
    sizes, moved = made.sizes, needs(made, figures)
    database = next(each.usd_hour for each in figures.databases if each.name == made.database)
    broker = next(each.usd_hour for each in figures.brokers if each.name == sizes.broker)
    process = figures.vcpu_usd.value + _PROCESS_GB * figures.memory_usd.value
    found = {
        "databases": sizes.primaries * database * figures.io_optimized.value * _HOURS,
        "database_day_kept": moved.stored_day_gb * figures.storage_usd.value,
        "engines": sizes.primaries * sizes.shards * process * _HOURS,
        "brokers": sizes.brokers * broker * _HOURS,
        "broker_ingest": moved.produced_mb / 1e3 * 3600 * _HOURS * figures.ingest_usd.value,
        "topics_kept": moved.kept_gb * figures.retention_usd.value,
        # One more than the job needs is charged for each application.
        "flink": (sizes.task_slots + 1) * figures.kpu_usd.value * _HOURS,
        "consumers": sizes.consumers * process * _HOURS,
    }
    rounded = {name: round(value) for name, value in found.items()}
    return rounded | {"total": sum(rounded.values())}

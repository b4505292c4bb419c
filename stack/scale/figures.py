"""Owns the figures that the model of scale goes by, and where each of them is from.

The data is `figures.toml`: measured here with their command, quoted with their source, or assumed and said so. A file
with figures measured elsewhere takes the place of the shipped ones. Must never compute a plan.
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from stack.errors import StackError

LARGE: Final = 100
"""Events in a transaction of the second value of a figure."""

_WHOLE = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """Hold one figure and its origin.

    Attributes:
        value: For transactions of one event, or for all where there is no `large`.
        unit: Of the value.
        kind: Measured by us, quoted from somebody, or assumed.
        source: The command, or the page.
        date: When it was measured or read.
        large: For transactions of `LARGE` events.
    """

    __pydantic_config__ = _WHOLE

    value: float
    unit: str
    kind: Literal["measured", "quoted", "assumed"]
    source: str
    date: date
    large: float | None = None

    def at(self, events: float) -> float:
        """Return the value for transactions of so many events: a part for each event, a part for each transaction."""
        if self.large is None:
            return self.value
        transaction = (self.value - self.large) * LARGE / (LARGE - 1)
        return self.value - transaction * (1 - 1 / max(1.0, events))


@dataclass(frozen=True, slots=True)
class DatabaseClass:
    """Hold an instance class: processors, and dollars an hour before what I/O-Optimized costs more."""

    __pydantic_config__ = _WHOLE

    name: str
    vcpu: int
    usd_hour: float


@dataclass(frozen=True, slots=True)
class BrokerClass:
    """Hold a broker size: processors, sustained client traffic in MB/s, dollars an hour."""

    __pydantic_config__ = _WHOLE

    name: str
    vcpu: int
    ingress_mb: float
    egress_mb: float
    usd_hour: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold every figure of the model; times are processor time of one core in microseconds for one event.

    Attributes:
        write_us: The server process's, to store an event; what it leaves to others later is not in it.
        wal_bytes: WAL an event.
        stored_bytes: What an event adds to the database, indexes included.
        whole_us: A walsender's without a row filter.
        decode_us: A walsender's with a row filter, for any event of the primary.
        send_us: The same, more for an event that passes the filter.
        engine_us: The engine's.
        broker_us: A broker's, to take a raw record.
        flink_us: A task manager's, with the four shipped filters.
        flink_broker_us: A broker's, for what that job reads and writes of one record.
        consumer_us: A consumer's, with a handler that does nothing.
        record_bytes: Key, value and headers of a raw record.
        raw_ms: From the POST to the raw topic when idle, median.
        filtered_ms: From there to the filtered topic.
        consumer_ms: From there to the consumer.
        commits: Transactions a second that one primary commits, however many processors it has.
        partition_mb: What one partition takes, MB/s.
        io_optimized: Factor on the price of a database instance.
    """

    __pydantic_config__ = _WHOLE

    write_us: Figure
    wal_bytes: Figure
    stored_bytes: Figure
    whole_us: Figure
    decode_us: Figure
    send_us: Figure
    engine_us: Figure
    broker_us: Figure
    flink_us: Figure
    flink_broker_us: Figure
    consumer_us: Figure
    record_bytes: Figure
    raw_ms: Figure
    filtered_ms: Figure
    consumer_ms: Figure
    commits: Figure
    partition_mb: Figure
    database_usd: Figure
    io_optimized: Figure
    storage_usd: Figure
    broker_usd: Figure
    broker_mb: Figure
    ingest_usd: Figure
    retention_usd: Figure
    kpu_usd: Figure
    vcpu_usd: Figure
    memory_usd: Figure
    databases: tuple[DatabaseClass, ...]
    brokers: tuple[BrokerClass, ...]


_FIGURES: Final = TypeAdapter(Figures)


def load(own: Path | None = None) -> Figures:
    """Return the shipped figures, those of a file in the place of the shipped ones of the same names.

    Raises:
        StackError: The file cannot be read, is no TOML, or has something that is no figure.
    """
    shipped = tomllib.loads(resources.files("stack.scale").joinpath("figures.toml").read_text())
    if own is None:
        return _FIGURES.validate_python(shipped)
    remedy = "Give a file as `headwater sim scale --measure` prints it."
    try:
        return _FIGURES.validate_python(shipped | tomllib.loads(own.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StackError(f"{own} cannot be read ({error}).", remedy) from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        places = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3])
        raise StackError(f"{own} has no figures of ours: {places}.", remedy) from error

"""Owns what a measurement of the parts has found, before figures are made of it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Readings:
    """Hold what was measured of one backlog, processor time in microseconds an event.

    Attributes:
        events: In each transaction.
        wal_bytes: Bytes of WAL an event.
        stored_bytes: What an event adds to the database, indexes included.
        load_us: The server process's, for the write alone.
        walsender_us: By the number of shards, one value a round; 0 is a filter that lets nothing through.
        walsender_rate: Events of the whole backlog a second, likewise.
        engine_us: The engine's, of a drain through Kafka.
        broker_us: The broker's, of the same.
        drain_rate: Events a second of the same; engine, walsender and broker share the machine.
        lost: Events that the topic lacked after the drain; negative: repeated.
    """

    events: int
    wal_bytes: float = 0.0
    stored_bytes: float = 0.0
    load_us: float = 0.0
    walsender_us: dict[int, list[float]] = field(default_factory=dict)
    walsender_rate: dict[int, list[float]] = field(default_factory=dict)
    engine_us: float = 0.0
    broker_us: float = 0.0
    drain_rate: float = 0.0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Say what an event costs in one-event and in large transactions, and what the parts around the log cost."""

    one: Readings
    large: Readings
    store_us: float
    """Its server process's time for the producer's own statement: one client, each commit on disk before the next."""
    record_bytes: float
    """Key, value and headers of a record of the raw topic."""
    consumer_us: float
    """A consumer's processor time a record, with a handler that does nothing."""

    @property
    def whole(self) -> bool:
        """Tell whether Kafka had every event of both backlogs once."""
        return self.one.lost == 0 == self.large.lost

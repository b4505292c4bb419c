"""Owns one session of the engine: everything that is set up together and thrown away together after any failure.

A session that follows a failure begins like the first one after a crash: it asks the slot and the topics where they
stand. So there is one way of recovery, and every reconnection takes it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cdc.backfill.work import Backfill
from cdc.capture import Capture, Route, TableName
from cdc.catalog import Server, Table
from cdc.ledger import Limits
from cdc.lsn import Lsn, Position, format_lsn
from cdc.observer import UNWATCHED, Observer
from cdc.positions import Floors
from cdc.readback import Search, Tail, read_tails
from cdc.records import TopicName
from cdc.relay import Pace, Relay
from cdc.settings import Settings
from cdc.shutdown import Shutdown
from cdc.sink import KafkaSink
from cdc.stream import ReplicationStream
from cdc.types import TypeCatalog

Tails = Mapping[TopicName, Sequence[Tail]]


@dataclass(frozen=True, slots=True)
class Session:
    """What the parts of a session share."""

    settings: Settings
    shutdown: Shutdown
    sink: KafkaSink
    server: Server
    tables: tuple[Table, ...]
    partitions: Mapping[TopicName, int]
    types: TypeCatalog
    observer: Observer = UNWATCHED

    @property
    def url(self) -> str:
        """The connection string, with its secret."""
        return self.settings.database_url.get_secret_value()

    @property
    def routes(self) -> Mapping[TableName, Route]:
        """Where the changes of each captured table go."""
        return {table.name: Route(self.settings.topic_of(table.name), table.primary_key) for table in self.tables}

    @property
    def limits(self) -> Limits:
        """How much may be in flight."""
        return Limits(self.settings.cdc_max_in_flight_records, self.settings.cdc_max_in_flight_bytes)

    def capture(self) -> Capture:
        """Return a capture that knows no relation yet, for a new connection."""
        return Capture(self.routes, self.server.source, catalog=self.types)

    def read_tails(self, waiting: Callable[[], None], snapshot_from: Position | None = None) -> Tails:
        """Ask Kafka what the topics hold at their ends; the session must hold the slot.

        Raises:
            BrokerError: Kafka cannot be reached.
            StopRequested: The engine is to stop.
        """
        search = Search(self.server.source, frozenset(table.name for table in self.tables), snapshot_from)
        settings = self.settings
        return read_tails(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, self.partitions, search, waiting)

    def relay(
        self,
        stream: ReplicationStream,
        capture: Capture,
        confirmed: Lsn,
        tails: Tails,
        backfill: Backfill | None = None,
    ) -> Relay:
        """Put the loop together."""
        pace = Pace(status=self.settings.cdc_confirm_seconds, report=self.settings.cdc_progress_seconds)
        return Relay(
            stream,
            self.sink,
            capture,
            confirmed=confirmed,
            floors=floors(tails),
            limits=self.limits,
            pace=pace,
            observer=self.observer,
            backfill=backfill,
        )

    def keep_alive(self, stream: ReplicationStream, confirmed: Lsn) -> Callable[[], None]:
        """Return what to call while waiting for Kafka, so that the server does not take the engine for dead."""
        next_at = time.monotonic()

        def waiting() -> None:
            nonlocal next_at
            self.shutdown.check()
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + self.settings.cdc_confirm_seconds
                stream.confirm(confirmed)

        return waiting


def floors(tails: Tails) -> Floors:
    """Return the last position of every partition."""
    return Floors({topic: [tail.position for tail in partitions] for topic, partitions in tails.items()})


def furthest(tails: Tails) -> Position | None:
    """Return the last position of all; None when the topics hold no record of this source."""
    positions = [tail.position for partitions in tails.values() for tail in partitions if tail.position is not None]
    return max(positions, default=None)


def describe(position: Position | None) -> str | None:
    """Return a position for the log."""
    return None if position is None else f"{format_lsn(position.lsn)}/{position.ordinal}"

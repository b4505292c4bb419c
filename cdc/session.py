"""Owns one session of the engine: everything that is set up together and thrown away together after any failure.

A session that follows a failure begins like the first one after a crash: it asks the slot and the topics where they
stand. So there is one way of recovery, and every reconnection takes it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cdc.assembly import Assembly
from cdc.backfill.work import Backfill
from cdc.capture import Capture
from cdc.catalog import Server, Table
from cdc.emission import Emission, Truncation
from cdc.formats.flat import FLAT
from cdc.formats.protocol import Format
from cdc.ledger import Limits
from cdc.letters.deadletters import Letters
from cdc.lsn import Lsn, Position, format_lsn
from cdc.outbox import Outbox
from cdc.positions import Floors
from cdc.readback import Search, Tail, read_tails
from cdc.records import TopicName
from cdc.relay import Pace, Relay
from cdc.settings import Settings
from cdc.shards.names import WHOLE, Part
from cdc.shutdown import Shutdown
from cdc.sink import KafkaSink
from cdc.slots.bookmark import UNKEPT, Bookmark, BookmarkKeeper, Keeper, judge
from cdc.slots.shelf import KafkaShelf
from cdc.stream import ReplicationStream
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog
from cdc.watch.observer import UNWATCHED, Observer

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
    form: Format = FLAT
    letters: Letters = field(default_factory=Letters)
    part: Part = WHOLE
    shelf: KafkaShelf | None = None
    """Where the bookmark is kept; None for none."""
    publication: int | None = None
    """The publication's oid."""

    @property
    def url(self) -> str:
        """The connection string, with its secret."""
        return self.settings.database_url.get_secret_value()

    @property
    def source(self) -> bytes:
        """The source that records name."""
        return self.part.source(self.server.source)

    @property
    def routes(self) -> Mapping[TableName, Route]:
        """Where the changes of each captured table go."""
        return {
            table.name: Route(self.settings.topic_of(table.name), table.primary_key, table.oid) for table in self.tables
        }

    @property
    def limits(self) -> Limits:
        """How much may be in flight."""
        return Limits(self.settings.cdc_max_in_flight_records, self.settings.cdc_max_in_flight_bytes)

    @property
    def emission(self) -> Emission:
        """How records are written."""
        emits = self.settings.cdc_truncate is Truncation.EMIT
        return Emission(self.form, self.partitions if emits else None, Outbox(self.settings.cdc_messages))

    def capture(self) -> Capture:
        """Return a capture that knows no relation yet, for a new connection."""
        known = (self.routes, self.source)
        return Capture(*known, catalog=self.types, emission=self.emission, letters=self.letters)

    def read_tails(
        self, waiting: Callable[[], None], snapshot_from: Position | None = None, *, any_shard: bool = False
    ) -> Tails:
        """Ask Kafka what the topics hold at their ends; the session must hold the slot. `any_shard`: see `Search`.

        Raises:
            BrokerError: Kafka cannot be reached.
            StopRequested: The engine is to stop.
        """
        tables = frozenset(table.name for table in self.tables)
        search = Search(self.source, tables, snapshot_from, any_shard=any_shard)
        settings = self.settings
        return read_tails(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, self.partitions, search, waiting)

    def bookmarks(self, waiting: Callable[[], None]) -> tuple[Bookmark, ...]:
        """Return what earlier engines have remembered.

        Raises:
            BrokerError: Kafka cannot be reached.
            StopRequested: The engine is to stop.
        """
        return () if self.shelf is None else self.shelf.read(waiting)

    def judge(self, confirmed: Lsn, waiting: Callable[[], None]) -> None:
        """Refuse a slot, by what it has confirmed, that is not the one this engine left.

        `confirmed` is to be read before, never after: an engine that still runs moves the bookmark first.

        Raises:
            CdcError: The slot is not ours to go on from, or Kafka cannot be reached.
        """
        settings = self.settings
        source = self.server.source.decode()
        judge(
            self.bookmarks(waiting),
            source,
            settings.slot_name,
            confirmed,
            accepted=settings.cdc_accept_gap,
            publication=self.publication,
        )

    def remember(self, lsn: Lsn, waiting: Callable[[], None] | None = None) -> None:
        """Put the bookmark where a slot is about to be created or confirmed, and wait until Kafka has it.

        Raises:
            BrokerError: Kafka cannot be reached.
            StopRequested: The engine is to stop.
        """
        if self.shelf is not None:
            bookmark = Bookmark(self.server.source.decode(), self.settings.slot_name, lsn, self.publication)
            self.shelf.put(bookmark, waiting or self.shutdown.check)

    def keeper(self, confirmed: Lsn) -> Keeper:
        """Return who keeps the bookmark ahead of the confirmations from here on."""
        if self.shelf is None:
            return UNKEPT
        source, slot = self.server.source.decode(), self.settings.slot_name
        return BookmarkKeeper(self.shelf, source, slot, confirmed, publication=self.publication)

    def relay(
        self,
        stream: ReplicationStream,
        capture: Capture,
        confirmed: Lsn,
        tails: Tails,
        bookmark: Keeper = UNKEPT,
        backfill: Backfill | None = None,
    ) -> Relay:
        """Put the loop together."""
        settings = self.settings
        whole = Assembly(
            stream,
            memory=settings.cdc_stream_memory_bytes,
            folder=settings.cdc_spool_dir,
            observer=self.observer,
        )
        pace = Pace(status=settings.cdc_confirm_seconds, report=settings.cdc_progress_seconds)
        return Relay(
            whole,
            self.sink,
            capture,
            confirmed=confirmed,
            floors=floors(tails),
            limits=self.limits,
            pace=pace,
            observer=self.observer,
            bookmark=bookmark,
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

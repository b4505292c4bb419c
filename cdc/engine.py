"""Owns the life of the engine: session after session until it is told to stop. Decides no retry itself: `policy` does.

A session opens in this order, and the order is the safety: check the installation; own the slot (from here on every
other engine is shut out); ask Kafka where the topics end; then relay.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Final
from uuid import uuid4

import structlog
from psycopg import Connection
from tenacity import RetryCallState

from cdc import bootstrap, compiled, preflight, topics
from cdc.backfill.reader import ThreadReader
from cdc.backfill.work import Backfill
from cdc.catalog import Server, Table, missing_tables, read_server, read_tables, read_types
from cdc.errors import BrokerError, CdcError, DatabaseError, Kind, RefusedError
from cdc.failpoints import Failpoint, reach
from cdc.formats.choice import Formats
from cdc.letters.deadletters import Letters
from cdc.letters.refusals import Refusals
from cdc.letters.sizes import limits, producer_sizes
from cdc.lsn import format_lsn
from cdc.postgres import connect
from cdc.records import TopicName
from cdc.relay import Relay
from cdc.retrying import patient
from cdc.session import Session, Tails, describe, furthest
from cdc.settings import Settings, SnapshotMode
from cdc.shards.goal import Goal, NoReader, pursue
from cdc.shards.names import WHOLE, Part
from cdc.shards.store import refuse_others, require_publication
from cdc.shutdown import Shutdown, StopRequested
from cdc.sink import KafkaSink
from cdc.slots.failover import let_standbys_copy
from cdc.slots.fuse import NO_FUSE, Fuse
from cdc.slots.shelf import KafkaShelf
from cdc.slots.slot import create_publication, publication_exists, publication_oid, read_omitted, read_slot
from cdc.stream import ReplicationConnection, ReplicationStream
from cdc.tables import TableName
from cdc.watch.observer import UNWATCHED, Observer, Phase

_log: Final = structlog.get_logger(__name__)

_ASK_FOR_WHOLE: Final = frozenset({Kind.STREAM_UNCLEAR, Kind.STREAM_REFUSED})
_STEADY_S: Final = 10.0
"""A session that streamed this long was sound: what ends it is a new trouble, and patience starts anew."""


class Engine:
    """Carry the changes of a database to Kafka until told to stop."""

    def __init__(
        self,
        settings: Settings,
        shutdown: Shutdown,
        observer: Observer = UNWATCHED,
        fuse: Fuse = NO_FUSE,
        part: Part = WHOLE,
        goal: Goal | None = None,
    ) -> None:
        """Begin with nothing open. As `part` it is one shard of several; with a `goal` it goes no further than that."""
        self._base = settings.slot_name
        self._part, self._goal = part, goal
        self._settings = settings = settings.of(part)
        self._shutdown = shutdown
        self._observer = observer
        self._formats = Formats(settings)
        self._fuse = fuse
        self._streaming_since: float | None = None
        self._whole = False
        """Whether the next session asks for whole transactions, because the last one could not be streamed."""
        self._refusals = Refusals()

    def run(self) -> None:
        """Run sessions, retrying what may pass, until a stop is asked for.

        Raises:
            CdcError: Of a kind that waiting does not cure.
        """
        pausing = partial(self._observer.entered, Phase.RETRYING)
        try:
            patient(self._shutdown, after=self._forget_old_troubles, pausing=pausing)(self._session)
        except StopRequested:
            _log.info("stopped_before_streaming")

    def _session(self) -> None:
        self._streaming_since = None
        self._observer.entered(Phase.OPENING)
        settings = self._settings
        with self._shutdown.interruptible():
            told = topics.read_sizes(
                settings.kafka_bootstrap_servers,
                settings.cdc_kafka_config,
                (*settings.topics, *settings.dead_letter_topics.values()),
            )
        sink = KafkaSink(
            settings.kafka_bootstrap_servers,
            settings.cdc_kafka_config,
            linger_ms=settings.cdc_linger_ms,
            sizes=producer_sizes(told, settings.cdc_kafka_config),
            careful=self._refusals.careful,
        )
        shelf = KafkaShelf.of(settings)
        try:
            with self._shutdown.interruptible():
                session = self._open(sink, shelf, told)
                if settings.cdc_snapshot_mode is SnapshotMode.ONLY:
                    _log.info("stopped_after_snapshot", slot=settings.slot_name)
                    return
                connection = ReplicationConnection(session.url)
            with connection, ExitStack() as cleanup:
                with self._shutdown.interruptible():
                    stream, relay, backfill = self._start(session, connection, cleanup)
                self._streaming_since = time.monotonic()
                self._observer.entered(Phase.STREAMING)
                with self._fuse.lit(self._shutdown) as stopping:
                    if self._goal is None:
                        relay.run(stopping)
                    else:
                        pursue(self._goal, session, stream, relay, backfill, stopping)
                self._observer.entered(Phase.STOPPING)
                stream.finish()
            _log.info("stopped", transactions=relay.transactions, records=relay.records)
        except CdcError as error:
            self._whole = error.kind in _ASK_FOR_WHOLE
            if isinstance(error, RefusedError):
                raise self._after_refusal(error, told) from error
            raise
        finally:
            sink.abandon()
            if shelf is not None:
                shelf.close()

    def _after_refusal(self, error: RefusedError, told: Mapping[TopicName, int | None]) -> BrokerError:
        """Return what a refusal means: another session, if that one can get past it, or the end."""
        refusal = error.refusal
        if self._settings.dead_letter_topics.get(refusal.topic) not in told:
            return error
        known, steady = told.get(refusal.topic) is not None, self._steady
        if not self._refusals.learn(refusal, known=known, steady=steady):
            return error
        _log.warning("record_refused", topic=refusal.topic, known_limit=known, careful=self._refusals.careful)
        return BrokerError(Kind.RECORD_REFUSED, str(error))

    def _open(self, sink: KafkaSink, shelf: KafkaShelf | None, told: Mapping[TopicName, int | None]) -> Session:
        """Check the installation, and create what is the engine's to create: publication, slot, snapshot."""
        settings = self._settings
        with closing(connect(settings.database_url.get_secret_value())) as control:
            server = read_server(control)
            refuse_others(control, self._base, self._part)
            tables = self._prepare(control, server)
            letters = self._letters(told)
            session = Session(
                settings=settings,
                shutdown=self._shutdown,
                sink=sink,
                server=server,
                tables=tables,
                partitions=sink.partitions({*settings.topics, *letters.destinations.values()}),
                letters=letters,
                types=read_types(control),
                observer=self._observer,
                form=self._formats.of(server.database),
                part=self._part,
                shelf=shelf,
                publication=publication_oid(control, settings.publication_name),
            )
            slot = read_slot(control, settings.slot_name)
            if slot is None or not bootstrap.is_ours(session, control, slot):
                if self._part != WHOLE:
                    raise DatabaseError(Kind.SLOT_LOST, f"the slot of shard {self._part.label} is gone")
                bootstrap.create_slot(session)
            bootstrap.drop_leftover(session, control)
            let_standbys_copy(control, session.url, server, settings.slot_name, settings.cdc_slot_failover)
        return session

    def _letters(self, told: Mapping[TopicName, int | None]) -> Letters:
        """Return the making of dead letters for the topics whose dead-letter topic exists; the others are said."""
        destinations = self._settings.dead_letter_topics
        for finding in preflight.check_dead_letters(destinations, told):
            _log.warning("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
        there = {topic: letters for topic, letters in destinations.items() if letters in told}
        return Letters(there, limits(told, self._settings.cdc_kafka_config), self._refusals.places)

    def _prepare(self, control: Connection[Any], server: Server) -> tuple[Table, ...]:
        settings = self._settings
        wanted, publication = settings.cdc_tables, settings.publication_name
        missing = missing_tables(control, wanted)
        if self._part != WHOLE:
            require_publication(control, publication)
        elif not missing and not publication_exists(control, publication):
            _create_publication(control, publication, wanted)
        published = read_tables(control, publication)
        slot = bootstrap.without_lost(settings, control, server)
        existing = frozenset(wanted) - missing
        installation = preflight.Installation(
            server, publication, published, wanted, existing, slot, omitted=read_omitted(control, publication)
        )
        findings = preflight.check(installation)
        if any(finding.stops for finding in findings):
            raise preflight.PreflightError(findings)
        for finding in findings:
            _log.warning("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
        return tuple(table for table in published if table.name in wanted)

    def _start(
        self, session: Session, connection: ReplicationConnection, cleanup: ExitStack
    ) -> tuple[ReplicationStream, Relay, Backfill]:
        """Take the slot, then ask Kafka where the topics end, then put the loop together."""
        settings = self._settings
        slot_name = settings.slot_name
        stream = connection.start(
            slot_name,
            settings.publication_name,
            deadline=settings.cdc_server_deadline_seconds,
            # So that an idle server is heard often enough to count as ready.
            ask_after=settings.cdc_ready_seconds / 2,
            streaming=settings.cdc_streaming and not self._whole,
        )
        reach(Failpoint.SLOT_TAKEN)
        with closing(connect(session.url)) as control:
            # Now that it is ours: whoever hands it over holds it until the next generation can be seen.
            refuse_others(control, self._base, self._part)
            slot = read_slot(control, slot_name)
            if slot is None or slot.confirmed is None:
                raise DatabaseError(Kind.CONNECTION_LOST, f"the slot {slot_name} went away")
            waiting = session.keep_alive(stream, slot.confirmed)
            session.judge(slot.confirmed, waiting)
            tails = session.read_tails(waiting)
            reach(Failpoint.TAILS_READ)
            _refuse_rewound(read_server(control), tails)
        confirmed, held = format_lsn(slot.confirmed), describe(furthest(tails))
        tables = len(session.tables)
        _log.info(
            "streaming", slot=slot_name, confirmed_lsn=confirmed, held=held, tables=tables, compiled=compiled.AVAILABLE
        )
        capture, life = session.capture(), uuid4().hex
        reader = cleanup.enter_context(closing(ThreadReader(session, life) if self._goal is None else NoReader()))
        backfill = Backfill(slot_name, life, reader, capture, session.partitions, observer=self._observer)
        keeper = session.keeper(slot.confirmed)
        relay = session.relay(stream, capture, slot.confirmed, tails, bookmark=keeper, backfill=backfill)
        return stream, relay, backfill

    def _forget_old_troubles(self, state: RetryCallState) -> None:
        if self._steady:
            state.attempt_number = 1

    @property
    def _steady(self) -> bool:
        since = self._streaming_since
        return since is not None and time.monotonic() - since >= _STEADY_S


def _create_publication(control: Connection[Any], name: str, tables: tuple[TableName, ...]) -> None:
    try:
        create_publication(control, name, tables)
    except DatabaseError as error:
        if error.kind is Kind.REPLICATION_RIGHT:
            # Not the right to replicate but that to create: preflight names the publication and its statement.
            return
        raise
    _log.info("publication_created", publication=name, tables=[str(table) for table in tables])


def _refuse_rewound(server: Server, tails: Tails) -> None:
    held = furthest(tails)
    if held is not None and held.lsn > server.wal_end:
        # Skipping what is "already there" would skip what is new.
        message = f"the topic holds records up to {describe(held)}, which the server has not reached yet"
        raise CdcError(Kind.HISTORY_REWOUND, message)

"""Owns the life of the engine: session after session until it is told to stop. Decides no retry itself: `policy` does.

A session opens in this order, and the order is the safety: check the installation; own the slot (from here on every
other engine is shut out); ask Kafka where the topics end; then relay.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, Final
from uuid import uuid4

import structlog
from psycopg import Connection
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from cdc import bootstrap, preflight
from cdc.backfill.reader import ThreadReader
from cdc.backfill.work import Backfill
from cdc.bootstrap import renewed
from cdc.capture import TableName
from cdc.catalog import Server, Table, missing_tables, read_server, read_tables, read_types
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.lsn import format_lsn
from cdc.observer import UNWATCHED, Observer, Phase
from cdc.policy import Retry, decide
from cdc.postgres import connect
from cdc.relay import Relay
from cdc.session import Session, Tails, describe, furthest
from cdc.settings import Settings, SnapshotMode
from cdc.shutdown import Shutdown, StopRequested
from cdc.sink import KafkaSink
from cdc.slot import create_publication, publication_exists, read_slot
from cdc.stream import ReplicationConnection, ReplicationStream

_log: Final = structlog.get_logger(__name__)

_STEADY_S: Final = 10.0
"""A session that streamed this long was sound: what ends it is a new trouble, and patience starts anew."""


class Engine:
    """Carry the changes of a database to Kafka until told to stop."""

    def __init__(self, settings: Settings, shutdown: Shutdown, observer: Observer = UNWATCHED) -> None:
        self._settings = settings
        self._shutdown = shutdown
        self._observer = observer
        self._streaming_since: float | None = None

    def run(self) -> None:
        """Run sessions, retrying what may pass, until a stop is asked for.

        Raises:
            CdcError: Of a kind that waiting does not cure.
        """
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_patience,
            after=self._forget_old_troubles,
            before_sleep=self._before_pause,
            sleep=self._shutdown.pause,
            reraise=True,
        )
        try:
            retrying(self._session)
        except StopRequested:
            _log.info("stopped_before_streaming")

    def _session(self) -> None:
        self._streaming_since = None
        self._observer.entered(Phase.OPENING)
        settings = self._settings
        sink = KafkaSink(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, linger_ms=settings.cdc_linger_ms)
        try:
            with self._shutdown.interruptible():
                session = self._open(sink)
                if settings.cdc_snapshot_mode is SnapshotMode.ONLY:
                    _log.info("stopped_after_snapshot", slot=settings.slot_name)
                    return
                connection = ReplicationConnection(session.url)
            with connection, ExitStack() as cleanup:
                with self._shutdown.interruptible():
                    stream, relay = self._start(session, connection, cleanup)
                self._streaming_since = time.monotonic()
                self._observer.entered(Phase.STREAMING)
                relay.run(self._shutdown)
                self._observer.entered(Phase.STOPPING)
                stream.finish()
            _log.info("stopped", transactions=relay.transactions, records=relay.records)
        finally:
            sink.abandon()

    def _open(self, sink: KafkaSink) -> Session:
        """Check the installation, and create what is the engine's to create: publication, slot, snapshot."""
        settings = self._settings
        with closing(connect(settings.database_url.get_secret_value())) as control:
            server = read_server(control)
            tables = self._prepare(control, server)
            topics = {settings.topic_of(table.name) for table in tables}
            session = Session(
                settings=settings,
                shutdown=self._shutdown,
                sink=sink,
                server=server,
                tables=tables,
                partitions=sink.partitions(topics),
                types=read_types(control),
                observer=self._observer,
            )
            if read_slot(control, settings.slot_name) is None:
                bootstrap.create_slot(session)
            bootstrap.drop_leftover(session, control)
        return session

    def _prepare(self, control: Connection[Any], server: Server) -> tuple[Table, ...]:
        settings = self._settings
        wanted, publication = settings.cdc_tables, settings.publication_name
        missing = missing_tables(control, wanted)
        if not missing and not publication_exists(control, publication):
            _create_publication(control, publication, wanted)
        published = read_tables(control, publication)
        slot = renewed(control, settings)
        existing = frozenset(wanted) - missing
        findings = preflight.check(preflight.Installation(server, publication, published, wanted, existing, slot))
        if any(finding.stops for finding in findings):
            raise preflight.PreflightError(findings)
        for finding in findings:
            _log.warning("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
        return tuple(table for table in published if table.name in wanted)

    def _start(
        self, session: Session, connection: ReplicationConnection, cleanup: ExitStack
    ) -> tuple[ReplicationStream, Relay]:
        """Take the slot, then ask Kafka where the topics end, then put the loop together."""
        settings = self._settings
        slot_name = settings.slot_name
        stream = connection.start(
            slot_name,
            settings.publication_name,
            deadline=settings.cdc_server_deadline_seconds,
            # So that an idle server is heard often enough to count as ready.
            ask_after=settings.cdc_ready_seconds / 2,
        )
        with closing(connect(session.url)) as control:
            slot = read_slot(control, slot_name)
            if slot is None or slot.confirmed is None:
                raise DatabaseError(Kind.CONNECTION_LOST, f"the slot {slot_name} went away")
            tails = session.read_tails(session.keep_alive(stream, slot.confirmed))
            _refuse_rewound(read_server(control), tails)
        confirmed, held = format_lsn(slot.confirmed), describe(furthest(tails))
        _log.info("streaming", slot=slot_name, confirmed_lsn=confirmed, held=held, tables=len(session.tables))
        capture, life = session.capture(), uuid4().hex
        reader = cleanup.enter_context(closing(ThreadReader(session, life)))
        backfill = Backfill(slot_name, life, reader, capture, session.partitions, observer=self._observer)
        return stream, session.relay(stream, capture, slot.confirmed, tails, backfill)

    def _before_pause(self, state: RetryCallState) -> None:
        self._observer.entered(Phase.RETRYING)
        _say_so(state)

    def _forget_old_troubles(self, state: RetryCallState) -> None:
        since = self._streaming_since
        if since is not None and time.monotonic() - since >= _STEADY_S:
            state.attempt_number = 1


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


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CdcError) and isinstance(decide(error.kind), Retry)


def _patience(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    decision = decide(error.kind) if isinstance(error, CdcError) else None
    if not isinstance(decision, Retry):
        return 0.0
    wait: Callable[[RetryCallState], float] = wait_exponential_jitter(
        multiplier=decision.first, max=decision.longest, jitter=decision.first
    )
    return wait(state)


def _say_so(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    attempt = state.attempt_number
    if isinstance(error, CdcError) and attempt & (attempt - 1) == 0:
        # Of a long trouble every doubling of the attempts is said, not every attempt.
        _log.warning("retrying", kind=error.kind.value, error=str(error), attempt=attempt, pause=state.upcoming_sleep)

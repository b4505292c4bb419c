"""Owns the birth of the slot: the initial snapshot, and its completion after a crash, without a gap or a repeat.

First attempt: create the slot `<slot>_snapshot` with its exported snapshot S1 at its consistent point C1, send the
rows of S1, copy the slot to `<slot>`, drop `<slot>_snapshot`. Cut off anywhere, `<slot>_snapshot` remains and holds
the WAL from C1 on, but S1 is gone. Each later attempt therefore:

1. creates a temporary slot with a new snapshot S2 at C2;
2. streams `<slot>_snapshot` from C1 to C2, confirming nothing; what the topics already hold is skipped;
3. sends the rows of S2 that neither an earlier attempt delivered nor step 2 has seen inserted;
4. copies the temporary slot to `<slot>` and drops `<slot>_snapshot`.

So each row is delivered once, as `r` or as `c`, and everything that happened to it after C1 is delivered too. A row
that was changed before its turn came shows its changes first and then, as `r`, its state at C2.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

import structlog
from psycopg import Connection

from cdc.capture import Capture
from cdc.catalog import Server
from cdc.emission import PLAIN, Emission
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.letters.deadletters import DeadLetter, Letters
from cdc.lsn import Lsn, Position, format_lsn
from cdc.pgoutput.messages import Insert, Message, Update
from cdc.postgres import connect, translated
from cdc.records import Record, TopicName
from cdc.session import Session, Tails, describe, furthest
from cdc.settings import Settings, SnapshotMode
from cdc.slots.bookmark import Bookmark, judge
from cdc.slots.slot import PLUGIN, Slot, drop_slot, next_snapshot_name, promote, read_slot, snapshot_name, try_lock
from cdc.snapshot import Earlier, SnapshotCopy, import_snapshot, read_rows
from cdc.stream import CreatedSlot, ReplicationConnection
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog
from cdc.watch.observer import Phase

_log: Final = structlog.get_logger(__name__)


class InsertWatch(Capture):
    """Remember the key of every row inserted while the stream catches up; kept in memory until the snapshot is done."""

    def __init__(
        self,
        routes: Mapping[TableName, Route],
        source: bytes,
        catalog: TypeCatalog | None = None,
        emission: Emission = PLAIN,
        letters: Letters | None = None,
    ) -> None:
        """Start with nothing seen."""
        super().__init__(routes, source, catalog=catalog, emission=emission, letters=letters)
        self.inserted: set[tuple[TopicName, bytes]] = set()

    def records(self, message: Message) -> Sequence[Record]:
        """Return the records of one message, as `Capture` does.

        Raises:
            CdcError: As there.
        """
        records = super().records(message)
        # An update of the key ends in an insert under the new key; a dead letter of several parts is no such thing.
        moved = isinstance(message, Update) and len(records) > 1 and not isinstance(records[-1], DeadLetter)
        if records and (isinstance(message, Insert) or moved):
            self.inserted.add((records[-1].topic, records[-1].key))
        return records


def create_slot(session: Session) -> None:
    """Give the engine its slot, with the initial snapshot if the settings ask for one.

    It runs where a stop may interrupt it anywhere, as a crash may.

    Raises:
        CdcError: Another engine is at it, the slot was lost, or database or broker fail.
        StopRequested: The engine is to stop; the next start goes on from here.
    """
    slot = session.settings.slot_name
    with closing(connect(session.url)) as reader:
        if not try_lock(reader, slot):
            raise DatabaseError(Kind.SLOT_ACTIVE, f"another engine takes the snapshot of slot {slot}")
        if read_slot(reader, slot) is not None:
            return
        pending = read_slot(reader, snapshot_name(slot))
        if pending is not None:
            _finish(session, reader, pending)
            return
        _refuse_gap(session)
        if session.settings.cdc_snapshot_mode is SnapshotMode.NEVER:
            with ReplicationConnection(session.url) as connection:
                connection.create_slot(slot)
            return
        with ReplicationConnection(session.url) as exporter:
            created = exporter.create_slot(snapshot_name(slot))
            reach(Failpoint.SNAPSHOT_BEGUN)
            _log.info("snapshot_started", slot=slot, consistent_point=format_lsn(created.consistent_point))
            _copy(session, reader, created, Earlier())


def drop_leftover(session: Session, connection: Connection[Any]) -> None:
    """Drop what a crash between the copy of the slot and its last step has left behind.

    Raises:
        DatabaseError: The connection is lost.
    """
    name = snapshot_name(session.settings.slot_name)
    if read_slot(connection, name) is not None:
        drop_slot(connection, name)
        _log.info("leftover_slot_dropped", slot=name)


def is_ours(session: Session, connection: Connection[Any], slot: Slot) -> bool:
    """Say whether the slot can be gone on from; under `when_needed` drop one that cannot, for a new snapshot.

    Raises:
        CdcError: The slot is not the one that the engine left, or database or broker fail.
        StopRequested: The engine is to stop.
    """
    if slot.confirmed is None or slot.active:
        # Another engine has it, or somebody is creating it: to be judged once it is ours.
        return True
    try:
        session.judge(slot.confirmed, session.shutdown.check)
    except CdcError as error:
        again = session.settings.cdc_snapshot_mode is SnapshotMode.WHEN_NEEDED
        if error.kind not in {Kind.SLOT_RECREATED, Kind.PUBLICATION_RECREATED} or not again:
            raise
        _log.warning("slot_dropped", slot=slot.name, kind=error.kind.value, detail=str(error))
        drop_slot(connection, slot.name)
        return False
    return True


def without_lost(settings: Settings, connection: Connection[Any], server: Server) -> Slot | None:
    """Return the engine's slot; under `when_needed` drop one of ours that was invalidated first.

    It gives nothing any more. The snapshot's slot is dropped with its own snapshot: without the WAL since then the copy
    cannot be finished.

    Raises:
        DatabaseError: The connection is lost, or the right is missing.
    """
    name = settings.slot_name
    if settings.cdc_snapshot_mode is SnapshotMode.WHEN_NEEDED:
        for each in (name, snapshot_name(name)):
            slot = read_slot(connection, each)
            if slot is not None and slot.lost and (slot.plugin, slot.database) == (PLUGIN, server.database):
                _log.warning("lost_slot_dropped", slot=each, kind=Kind.SLOT_INVALIDATED.value)
                drop_slot(connection, each)
    return read_slot(connection, name)


def _refuse_gap(session: Session) -> None:
    held = furthest(session.read_tails(session.shutdown.check, any_shard=True))
    # The topic may have let go of every record since; what the engine remembers of its slot stays.
    bookmarks = session.bookmarks(session.shutdown.check)
    judge(bookmarks, session.server.source.decode(), session.settings.slot_name, Lsn(0))
    if held is None and not bookmarks:
        return
    if session.settings.cdc_snapshot_mode is not SnapshotMode.WHEN_NEEDED:
        message = f"there is no slot {session.settings.slot_name}, but the topic holds records up to {describe(held)}"
        if held is None:
            message = f"there is no slot {session.settings.slot_name}, but it was confirmed up to {_last(bookmarks)}"
        raise CdcError(Kind.SLOT_LOST, message)
    _log.warning("snapshot_again", slot=session.settings.slot_name, held=describe(held))


def _last(bookmarks: Sequence[Bookmark]) -> str:
    return format_lsn(max(each.lsn for each in bookmarks))


def _finish(session: Session, reader: Connection[Any], pending: Slot) -> None:
    if pending.confirmed is None or pending.active:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"the slot {pending.name} is in use")
    with ReplicationConnection(session.url) as exporter:
        created = exporter.create_slot(next_snapshot_name(session.settings.slot_name), temporary=True)
        _log.info(
            "snapshot_resumed",
            slot=session.settings.slot_name,
            first_point=format_lsn(pending.confirmed),
            consistent_point=format_lsn(created.consistent_point),
        )
        earlier = _catch_up(session, pending.name, pending.confirmed, created.consistent_point)
        reach(Failpoint.SNAPSHOT_CAUGHT_UP)
        _copy(session, reader, created, earlier)


def _catch_up(session: Session, slot: str, first_point: Lsn, until: Lsn) -> Earlier:
    """Stream what committed between the first attempt's point and the new one."""
    settings = session.settings
    with ReplicationConnection(session.url) as connection:
        stream = connection.start(slot, settings.publication_name, deadline=settings.cdc_server_deadline_seconds)
        waiting = session.keep_alive(stream, first_point)
        tails = session.read_tails(waiting, snapshot_from=Position.of_snapshot_row(first_point, 0))
        source, types = session.source, session.types
        capture = InsertWatch(session.routes, source, types, session.emission, session.letters)
        relay = session.relay(stream, capture, first_point, tails)
        relay.run_until(until)
    _log.info("snapshot_caught_up", records=relay.records, skipped=relay.skipped, inserted=len(capture.inserted))
    return Earlier(_covered(tails), capture.inserted, furthest(tails))


def _covered(tails: Tails) -> dict[TopicName, list[dict[Any, tuple[str, ...]]]]:
    return {topic: [dict(tail.covered) for tail in partitions] for topic, partitions in tails.items()}


def _copy(session: Session, reader: Connection[Any], created: CreatedSlot, earlier: Earlier) -> None:
    import_snapshot(reader, created.snapshot)
    copy = SnapshotCopy(
        session.capture(),
        session.sink,
        created.consistent_point,
        earlier=earlier,
        limits=session.limits,
        observer=session.observer,
    )
    session.observer.entered(Phase.SNAPSHOT)
    for table in session.tables:
        topic = session.settings.topic_of(table.name)
        boundaries = list(copy.boundaries(topic, table.name).values())
        copy.copy(table, topic, read_rows(reader, table, boundaries))
    copy.finish()
    with translated():
        reader.execute("COMMIT")
    slot = session.settings.slot_name
    # First the bookmark, then the slot: a crash in between leaves no slot that looks like somebody else's.
    reach(Failpoint.SNAPSHOT_COPIED)
    session.remember(created.consistent_point)
    reach(Failpoint.SNAPSHOT_REMEMBERED)
    promote(reader, created.name, slot)
    reach(Failpoint.SNAPSHOT_PROMOTED)
    drop_slot(reader, snapshot_name(slot))
    _log.info("snapshot_finished", slot=slot, rows=copy.sent, skipped=copy.skipped)

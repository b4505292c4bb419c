"""Owns the change of engines on one slot: which checks and steps let the one go on where the other stopped.

Nothing is lost, because neither engine confirms what Kafka does not have, and both begin at the slot's confirmed LSN.
What is repeated is avoided where a slot can be confirmed in its stead, and counted otherwise. The bookmark
(`cdc.bookmark`) goes with the slot: nobody gets a slot that has moved without whoever had it before.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Self

import structlog
from psycopg import Connection

from cdc.catalog import read_server
from cdc.debezium.client import Connect
from cdc.debezium.deploy import NO_SNAPSHOT, Deployed, deploy
from cdc.debezium.remainder import Progress, advance, overlap, peek, settle
from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.lsn import Lsn, format_lsn
from cdc.postgres import connect
from cdc.readback import Search, count_partitions, read_tails
from cdc.session import furthest
from cdc.settings import Settings, SnapshotMode
from cdc.shards.store import refuse_shards
from cdc.slots.bookmark import Bookmark, judge
from cdc.slots.shelf import KafkaShelf
from cdc.slots.slot import Slot, read_slot

_log = structlog.get_logger(__name__)

_RELEASE_S: Final = 30.0
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Handover:
    """What a change of engines did."""

    confirmed: Lsn | None
    """Where the successor begins; None where there is no slot yet."""
    repeated: int
    """How many changes that the topic has will come again, at most."""

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {
            "confirmed_lsn": None if self.confirmed is None else format_lsn(self.confirmed),
            "repeated": self.repeated,
        }


def to_debezium(settings: Settings, where: ConnectSettings, pause: Callable[[float], object] = time.sleep) -> Handover:
    """Let Debezium go on from where our own engine, which has been stopped, has confirmed the slot.

    Raises:
        CdcError: The slot is still read, or is not the one that our engine left; or as `deploy`.
    """
    with Connect(where) as worker:
        worker.wait_until_up()
        begun = worker.config() is not None
    with closing(connect(_url(settings))) as control:
        refuse_shards(control, settings.slot_name)
        # Where an earlier attempt has registered it, Debezium may read the slot already: deploying finishes the rest.
        slot = None if begun else _released(control, settings, pause)
        handover = Handover(None, 0)
        if slot is not None and slot.confirmed is not None:
            source = read_server(control).source
            partitions = count_partitions(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, settings.topics)
            brokers, given = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
            last = furthest(read_tails(brokers, given, partitions, Search(source), _no_wait))
            sent = last is not None and last.lsn >= slot.confirmed
            repeated = overlap(peek(control, settings, last.lsn), last) if last is not None and sent else 0
            handover = Handover(slot.confirmed, repeated)
    deployed = start(settings, where)
    _log.info("handed_to_debezium", repeated=handover.repeated, snapshot=deployed.snapshot)
    return handover


def start(settings: Settings, where: ConnectSettings) -> Deployed:
    """Deploy the connector, unless the slot is not the one that the bookmark speaks of; then keep a bookmark for it.

    Raises:
        CdcError: SLOT_RECREATED, SOURCE_CHANGED, or as `deploy`.
    """
    with closing(connect(_url(settings))) as control:
        refuse_shards(control, settings.slot_name)
        source = read_server(control).source.decode()
        with Connect(where) as worker:
            worker.wait_until_up()
            # A connector that is there guards its slot itself, by its stored offset.
            fresh = worker.config() is None
        slot = read_slot(control, settings.slot_name)
        confirmed = slot.confirmed if fresh and slot is not None else None
        with _Shelf(settings) as shelf:
            found = shelf.read()
            judge(found, source, settings.slot_name, confirmed or Lsn(0), accepted=settings.cdc_accept_gap)
            if fresh and slot is None and found and settings.cdc_snapshot_mode is not SnapshotMode.WHEN_NEEDED:
                known = format_lsn(max(each.lsn for each in found))
                message = f"there is no slot {settings.slot_name}, but it was confirmed up to {known}"
                raise CdcError(Kind.SLOT_LOST, message)
            deployed = deploy(settings, where)
            slot = read_slot(control, settings.slot_name)
            if not found and slot is not None and slot.confirmed is not None:
                shelf.put(Bookmark(source, settings.slot_name, slot.confirmed))
    return deployed


def to_native(settings: Settings, where: ConnectSettings, pause: Callable[[float], object] = time.sleep) -> Handover:
    """Stop the connector in order, confirm in its stead what it has sent, and leave slot and bookmark to our engine.

    Safe to repeat wherever it was cut off. Afterwards Connect knows nothing of the connector.

    Raises:
        CdcError: Connect does not answer, the snapshot is not complete, or the slot has moved without Debezium.
    """
    with Connect(where) as worker, closing(connect(_url(settings))) as control:
        worker.wait_until_up()
        present = worker.config()
        if present is None:
            slot = read_slot(control, settings.slot_name)
            return Handover(None if slot is None else slot.confirmed, 0)
        if present.get("slot.name") != settings.slot_name:
            message = f"the connector {worker.name} reads the slot {present.get('slot.name')}, not {settings.slot_name}"
            raise CdcError(Kind.SETTINGS, message)
        progress = Progress.of(worker.offset())
        # Without an offset nothing is known of a snapshot that was to be taken.
        if progress.snapshot if progress is not None else present.get("snapshot.mode") != NO_SNAPSHOT:
            raise CdcError(Kind.SNAPSHOT_UNFINISHED, f"the initial snapshot of connector {worker.name} is not complete")
        worker.stop()
        worker.wait_until_stopped()
        progress = Progress.of(worker.offset())
        slot = _released(control, settings, pause)
        handover = _settled(control, settings, slot, progress)
        worker.forget()
    _log.info("handed_to_native", **handover.as_dict())
    return handover


def _settled(control: Connection[Any], settings: Settings, slot: Slot | None, progress: Progress | None) -> Handover:
    if slot is None or slot.confirmed is None:
        if progress is None:
            return Handover(None, 0)
        message = f"the slot {settings.slot_name} is gone, but the connector had come to {format_lsn(progress.reached)}"
        raise DatabaseError(Kind.SLOT_LOST, message)
    source = read_server(control).source.decode()
    with _Shelf(settings) as shelf:
        found = shelf.read()
        judge(found, source, settings.slot_name, Lsn(0), accepted=settings.cdc_accept_gap)
        reached = slot.confirmed if progress is None and not found else progress.reached if progress else Lsn(0)
        # Debezium stores its offset before it confirms, as our engine keeps its bookmark ahead: the same check.
        known = [*found, Bookmark(source, settings.slot_name, reached)]
        judge(known, source, settings.slot_name, slot.confirmed, accepted=settings.cdc_accept_gap)
        if progress is None:
            return Handover(slot.confirmed, 0)
        held = peek(control, settings, progress.reached)
        settled = settle(held, progress, slot.confirmed)
        # First the bookmark, then the slot: cut off in between, the next attempt finds nothing that it must refuse.
        shelf.put(Bookmark(source, settings.slot_name, settled.confirmed))
        if settled.confirmed > slot.confirmed:
            advance(control, settings, settled.confirmed)
    return Handover(settled.confirmed, settled.repeated)


def _released(control: Connection[Any], settings: Settings, pause: Callable[[float], object]) -> Slot | None:
    """Return the slot once nobody reads it: the server notices the end of a walsender a moment later."""
    deadline = time.monotonic() + _RELEASE_S
    while (slot := read_slot(control, settings.slot_name)) is not None and slot.active:
        if time.monotonic() >= deadline:
            raise DatabaseError(Kind.SLOT_TAKEN, f"the slot {settings.slot_name} is still read by somebody")
        pause(_LOOK_S)
    return slot


class _Shelf:
    """The bookmarks, or none where the settings want none."""

    def __init__(self, settings: Settings) -> None:
        self._shelf = KafkaShelf.of(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shelf is not None:
            self._shelf.close()

    def read(self) -> tuple[Bookmark, ...]:
        return () if self._shelf is None else self._shelf.read(_no_wait)

    def put(self, bookmark: Bookmark) -> None:
        if self._shelf is not None:
            self._shelf.put(bookmark, _no_wait)


def _url(settings: Settings) -> str:
    return settings.database_url.get_secret_value()


def _no_wait() -> None:
    """Nothing has to be kept alive meanwhile."""

"""Owns the steps of a change of shards that are taken while no shard writes. Decides no order: `plan` does.

Why nothing is lost and nothing comes twice. Every old shard has delivered what committed before an LSN, Kafka has
acknowledged it, and the shard holds its slot, so nobody reads on. The publications of the new generation were there
before that LSN. Each new slot is a copy of an old one that has confirmed exactly this LSN: it begins with the first
transaction that commits at it or behind. So the two generations meet at one place in the log; in every partition what
the old one wrote lies before what the new one writes, and a new shard that looks for its own last record stops there.

Each step can be repeated. A bookmark is written before the slot that it covers exists, as for a snapshot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

import structlog
from psycopg import Connection

from cdc.catalog import missing_tables, read_server, read_tables
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.lsn import Lsn, format_lsn
from cdc.postgres import connect
from cdc.settings import Settings, SnapshotMode
from cdc.shards.filters import Definition, definitions, read_options
from cdc.shards.names import WHOLE, WHOLE_GENERATION, Generation, Part
from cdc.shards.plan import Align, Copy, Drop, Renew, Settle, Step, plan
from cdc.shards.store import begins_at, copy_slot, next_lsn, publish, published, read_seen, unpublish
from cdc.slots.bookmark import Bookmark
from cdc.slots.shelf import KafkaShelf
from cdc.slots.slot import drop_slot, try_lock

_log: Final = structlog.get_logger(__name__)

Oids = dict[Part, int]


def next_step(settings: Settings) -> Step:
    """Look at the slots and return what is to be done.

    Raises:
        CdcError: The slots do not belong together, a table has no key, or the database cannot be reached.
    """
    with _connected(settings) as control:
        seen = read_seen(control, settings.slot_name)
        renews = settings.cdc_snapshot_mode is SnapshotMode.WHEN_NEEDED
        return plan(seen, settings.cdc_shards, lambda each: _fits(control, settings, each), renews=renews)


def prepare(settings: Settings, step: Align) -> tuple[Lsn, Oids]:
    """Make the publications of the new generation, then choose the LSN at which it begins.

    Raises:
        CdcError: The right is missing, a table has no key, or the server is a standby.
    """
    with _locked(settings) as control:
        if read_server(control).standby:
            raise DatabaseError(Kind.SETTINGS, "the number of shards can only be changed on a primary")
        if not step.new.returns:
            publish(control, settings.publication_name, _wanted(control, settings, step.new))
        oids = _oids(control, settings, step.new)
        reach(Failpoint.SHARDS_PUBLISHED)
        return next_lsn(control), oids


def begin(settings: Settings, step: Align, at: Lsn, oids: Oids, waiting: Callable[[], None]) -> None:
    """Make the slots of the new generation, while every old shard holds its own at this LSN.

    Raises:
        CdcError: SLOT_ACTIVE, to be tried again: a shard has let go of its slot, or the publications are others.
    """
    with _locked(settings) as control:
        before = _held(control, settings, step.old, at)
        if _oids(control, settings, step.new) != oids:
            raise DatabaseError(Kind.SLOT_ACTIVE, f"somebody has replaced the publications of {step.new}")
        _remember(control, settings, step.new.parts, at, waiting)
        _copy(control, settings, step.old.parts[0], step.new.parts)
        try:
            after = _held(control, settings, step.old, at)
        except DatabaseError:
            after = None
        if after != before:
            # Somebody else may have read on before the new slots could be seen.
            for part in step.new.parts:
                drop_slot(control, part.slot(settings.slot_name))
            raise DatabaseError(Kind.SLOT_ACTIVE, f"a shard of {step.old} has lost its slot meanwhile")
    _log.info("shards_created", old=str(step.old), new=str(step.new), lsn=format_lsn(at))


def resume(settings: Settings, step: Copy | Drop | Settle | Renew, waiting: Callable[[], None]) -> None:
    """Take a step that needs no shard: make the slots that are missing, or drop those that are left over.

    Raises:
        CdcError: SLOT_ACTIVE, to be tried again: somebody still reads a slot; or database or broker fail.
    """
    base = settings.slot_name
    with _locked(settings) as control:
        if isinstance(step, Copy):
            _remember(control, settings, step.missing, step.at, waiting)
            there = next(part for part in step.new.parts if part not in step.missing)
            _copy(control, settings, there, step.missing)
        elif isinstance(step, Settle):
            if not step.made:
                _remember(control, settings, (WHOLE,), step.at, waiting)
                copy_slot(control, step.last.slot(base), base)
                reach(Failpoint.SHARDS_SETTLED)
            # Before the last slot that tells of them.
            unpublish(control, settings.publication_name, WHOLE_GENERATION)
            drop_slot(control, step.last.slot(base))
        else:
            for part in step.left:
                drop_slot(control, part.slot(base))
                reach(Failpoint.SHARD_DROPPED)
    _log.info("shards_handed_over", step=type(step).__name__.lower())


def tidy(settings: Settings, generation: Generation) -> None:
    """Drop the publications that a change of shards has left behind.

    Raises:
        DatabaseError: The connection is lost.
    """
    with _connected(settings) as control:
        try:
            unpublish(control, settings.publication_name, generation)
        except DatabaseError as error:
            if error.kind is not Kind.REPLICATION_RIGHT:
                raise
            # Whoever made them may drop them; they cost nothing.
            _log.warning("publications_left", detail=str(error))


def _wanted(control: Connection[Any], settings: Settings, generation: Generation) -> Mapping[Part, Definition]:
    publication, names = settings.publication_name, settings.cdc_tables
    options = read_options(control, publication)
    tables = [table for table in read_tables(control, publication) if table.name in names]
    lacking = [str(name) for name in names if name not in {table.name for table in tables}]
    if lacking:
        missing = [str(name) for name in missing_tables(control, names)]
        if missing:
            raise CdcError(Kind.TABLE, f"there is no table {', '.join(missing)}")
        raise CdcError(Kind.PUBLICATION, f"the publication {publication} does not have the table {', '.join(lacking)}")
    return definitions(publication, tables, options, generation)


def _fits(control: Connection[Any], settings: Settings, generation: Generation) -> bool:
    if generation == WHOLE_GENERATION:
        return True
    there = published(control, settings.publication_name)
    wanted = _wanted(control, settings, generation)
    return all(part in there and there[part][1] == definition.mark for part, definition in wanted.items())


def _oids(control: Connection[Any], settings: Settings, generation: Generation) -> Oids:
    there = published(control, settings.publication_name)
    return {part: there[part][0] for part in generation.parts if part in there}


def _held(control: Connection[Any], settings: Settings, old: Generation, at: Lsn) -> Mapping[Part, int]:
    seen = [each for each in read_seen(control, settings.slot_name) if each.part.generation == old]
    held = begins_at(seen, at)
    if held is None or len(held) < old.shards:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"not every shard of {old} holds its slot at {format_lsn(at)}")
    return held


def _remember(
    control: Connection[Any], settings: Settings, parts: Sequence[Part], lsn: Lsn, waiting: Callable[[], None]
) -> None:
    source = read_server(control).source.decode()
    for part in parts:
        own = settings.of(part)
        if part.generation.returns or (shelf := KafkaShelf.of(own)) is None:
            continue
        with closing(shelf):
            shelf.put(Bookmark(source, own.slot_name, lsn), waiting)
    reach(Failpoint.SHARDS_REMEMBERED)


def _copy(control: Connection[Any], settings: Settings, source: Part, parts: Sequence[Part]) -> None:
    base = settings.slot_name
    for part in parts:
        copy_slot(control, source.slot(base), part.slot(base))
        reach(Failpoint.SHARD_CREATED)


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection[Any]]:
    with closing(connect(settings.database_url.get_secret_value())) as control:
        yield control


@contextmanager
def _locked(settings: Settings) -> Iterator[Connection[Any]]:
    """Give a connection that has the right to change the shards' slots, for as long as it lives."""
    with _connected(settings) as control:
        if not try_lock(control, f"{settings.slot_name}.shards"):
            raise DatabaseError(Kind.SLOT_ACTIVE, f"another engine changes the shards of {settings.slot_name}")
        yield control

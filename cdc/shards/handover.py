"""Owns the steps of a change of shards that are taken while no shard writes. Decides no order: `plan` does.

Why nothing is lost and nothing comes twice. Every old shard holds its slot; then an LSN is chosen, behind the making of
the new publications and behind all that anybody has delivered. Each shard delivers what committed before it, Kafka has
acknowledged it, and the shard goes on holding its slot, so nobody else reads on. Each new slot is a copy of an old one
that has confirmed exactly this LSN: it begins with the first transaction that commits there or behind. So the two
generations meet at one place in the log; in every partition what the old one wrote lies before what the new one writes,
and a new shard that looks for its own last record stops there.

A transaction that had written before the new publications were made is the old generation's: the server decodes each
change with the catalog of its time, and a publication that was not there yet has no rows (before PostgreSQL 18: is an
error). So the LSN is chosen only when all of those have ended, and the old generation streams until then.

Each step can be repeated. A bookmark is written before the slot that it covers exists, as for a snapshot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from cdc.shards.plan import Align, Copy, Drop, Renew, Run, Settle, Step, plan
from cdc.shards.store import copy_slot, next_lsn, publish, published, read_seen, unpublish, writers
from cdc.slots.bookmark import Bookmark
from cdc.slots.shelf import KafkaShelf
from cdc.slots.slot import drop_slot, free_slots, try_lock

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The publications of the new generation, and what has to end before anybody reads by them."""

    publications: Mapping[Part, int]
    """By their oid."""
    writers: Mapping[str, int | None]
    """The transactions that may have written before, each with its process; a prepared one has none."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where two generations meet, as it was agreed upon when every old shard held its slot."""

    at: Lsn
    publications: Mapping[Part, int]
    """Those of the new generation, by their oid."""
    readers: Mapping[Part, int]
    """Who holds the old slots, by the process id of the walsender."""


def next_step(settings: Settings) -> Step:
    """Look at the slots and return what is to be done.

    Raises:
        CdcError: The slots do not belong together, a table has no key, or the database cannot be reached.
    """
    with _connected(settings) as control:
        return _planned(control, settings)


def prepare(settings: Settings, step: Align) -> Prepared:
    """Make the publications of the new generation: what hinders it is better known before anybody is stopped.

    Raises:
        CdcError: The right is missing, a table has no key, or the server is a standby.
    """
    with _locked(settings, step) as control:
        if free_slots(control) < step.new.shards:
            message = f"{step.new} needs {step.new.shards} slots beside those of {step.old}, until these are dropped"
            raise DatabaseError(Kind.NO_FREE_SLOT, message)
        _publish(control, settings, step)
        publications = _oids(control, settings, step.new)
        # The whole is read by a publication that was there before all of this.
        early = {} if step.new.returns else writers(control)
        reach(Failpoint.SHARDS_PUBLISHED)
    return Prepared(publications, early)


def still_open(settings: Settings, prepared: Prepared) -> Mapping[str, int | None]:
    """Return which of the transactions that had been open have not ended yet.

    Raises:
        DatabaseError: The connection is lost.
    """
    with _connected(settings) as control:
        there = writers(control)
    return {name: pid for name, pid in prepared.writers.items() if name in there}


def choose(settings: Settings, step: Align, prepared: Prepared) -> Meeting:
    """Return where the new generation begins, once every old shard holds its slot and no early transaction is open.

    Raises:
        CdcError: SLOT_ACTIVE, to be tried again: the publications are others; or as `prepare`.
    """
    with _locked(settings, step) as control:
        _require_same(control, settings, step, prepared.publications)
        return Meeting(next_lsn(control), prepared.publications, _readers(control, settings, step.old))


def begin(settings: Settings, step: Align, meeting: Meeting, waiting: Callable[[], None]) -> None:
    """Make the slots of the new generation, while every old shard holds its own at the LSN that was chosen.

    Raises:
        CdcError: SLOT_ACTIVE, to be tried again: a shard has let go of its slot, or the publications are others.
    """
    with _locked(settings, step) as control:
        _require_same(control, settings, step, meeting.publications)
        _require_held(control, settings, step.old, meeting)
        _remember(control, settings, step.new.parts, meeting.at, waiting)
        _copy(control, settings, step.old.parts[0], step.new.parts)
        try:
            _require_held(control, settings, step.old, meeting)
        except DatabaseError:
            # Somebody else may have read on before the new slots could be seen.
            for part in step.new.parts:
                drop_slot(control, part.slot(settings.slot_name))
            raise
    _log.info("shards_created", old=str(step.old), new=str(step.new), lsn=format_lsn(meeting.at))


def resume(settings: Settings, step: Copy | Drop | Settle | Renew, waiting: Callable[[], None]) -> None:
    """Take a step that needs no shard: make the slots that are missing, or drop those that are left over.

    Raises:
        CdcError: SLOT_ACTIVE, to be tried again: somebody still reads a slot; or database or broker fail.
    """
    base = settings.slot_name
    with _locked(settings, step) as control:
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


def tidy(settings: Settings, step: Run) -> None:
    """Drop the publications that a change of shards has left behind.

    Raises:
        DatabaseError: The connection is lost.
    """
    with _locked(settings, step) as control:
        try:
            unpublish(control, settings.publication_name, step.generation)
        except DatabaseError as error:
            if error.kind is not Kind.REPLICATION_RIGHT:
                raise
            # Whoever made them may drop them; they cost nothing.
            _log.warning("publications_left", detail=str(error))


def _planned(control: Connection[Any], settings: Settings) -> Step:
    seen = read_seen(control, settings.slot_name)
    renews = settings.cdc_snapshot_mode is SnapshotMode.WHEN_NEEDED
    return plan(seen, settings.cdc_shards, lambda each: _fits(control, settings, each), renews=renews)


def _publish(control: Connection[Any], settings: Settings, step: Align) -> None:
    if read_server(control).standby:
        raise DatabaseError(Kind.SETTINGS, "the number of shards can only be changed on a primary")
    if not step.new.returns:
        publish(control, settings.publication_name, _wanted(control, settings, step.new))


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


def _oids(control: Connection[Any], settings: Settings, generation: Generation) -> dict[Part, int]:
    there = published(control, settings.publication_name)
    return {part: there[part][0] for part in generation.parts if part in there}


def _require_same(control: Connection[Any], settings: Settings, step: Align, publications: Mapping[Part, int]) -> None:
    if _oids(control, settings, step.new) != publications:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"somebody has replaced the publications of {step.new}")


def _readers(control: Connection[Any], settings: Settings, old: Generation) -> dict[Part, int]:
    seen = read_seen(control, settings.slot_name)
    found = {each.part: each.pid for each in seen if each.part.generation == old and each.pid is not None}
    if len(found) < old.shards:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"a shard of {old} has lost its slot")
    return found


def _require_held(control: Connection[Any], settings: Settings, old: Generation, meeting: Meeting) -> None:
    """Make certain that nobody but our shards has had the old slots since the LSN was chosen."""
    seen = [each for each in read_seen(control, settings.slot_name) if each.part.generation == old]
    readers = {each.part: each.pid for each in seen}
    if readers != meeting.readers or {each.confirmed for each in seen} != {meeting.at}:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"a shard of {old} has lost its slot at {format_lsn(meeting.at)}")


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
def _locked(settings: Settings, step: Step) -> Iterator[Connection[Any]]:
    """Give a connection that has the right to change the shards, for as long as it lives, if the step is still due."""
    with _connected(settings) as control:
        if not try_lock(control, f"{settings.slot_name}.shards"):
            raise DatabaseError(Kind.SLOT_ACTIVE, f"another engine changes the shards of {settings.slot_name}")
        if _planned(control, settings) != step:
            raise DatabaseError(Kind.SLOT_ACTIVE, f"another engine has changed the shards of {settings.slot_name}")
        yield control

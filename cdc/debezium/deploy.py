"""Owns the deployment of the connector (CD-67): checks first, then create or update, then wait until it runs.

Safe to repeat at any moment. What an earlier deployment has begun is never begun anew: the connector keeps its
`snapshot.mode` until it is deleted, because a snapshot that was cut off is Debezium's to finish.
"""

from contextlib import closing
from dataclasses import dataclass

import structlog

from cdc import preflight
from cdc.catalog import missing_tables, read_server, read_tables
from cdc.debezium.client import Connect, State
from cdc.debezium.connector import SNAPSHOT_MODES, document
from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.postgres import connect
from cdc.settings import Settings
from cdc.slots.slot import publication_exists, read_omitted, read_slot, snapshot_name

_log = structlog.get_logger(__name__)

NO_SNAPSHOT = "no_data"
"""Debezium's mode for a slot that exists: no rows, and from the slot's confirmed LSN on, for it has no offset."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment did."""

    name: str
    changed: bool
    """Whether the connector was created or its configuration replaced."""
    snapshot: str
    state: State


@dataclass(frozen=True, slots=True)
class Found:
    """What the database has already."""

    slot: bool
    """A slot whose initial snapshot is complete."""
    publication: bool


def deploy(settings: Settings, where: ConnectSettings) -> Deployed:
    """Create or update the connector and return once it and its task run.

    Raises:
        CdcError: Connect does not answer, the installation is not fit, the slot is somebody else's, or the connector
            fails; then the text has the task's trace.
    """
    with Connect(where) as worker:
        worker.wait_until_up()
        present = worker.config()
        found = examine(settings, ours=present is not None and present.get("slot.name") == settings.slot_name)
        if present is not None:
            snapshot = present.get("snapshot.mode", SNAPSHOT_MODES[settings.cdc_snapshot_mode])
        else:
            # A slot without a connector is one that our own engine has left, or that somebody made for us.
            snapshot = NO_SNAPSHOT if found.slot else SNAPSHOT_MODES[settings.cdc_snapshot_mode]
        wanted = document(settings, snapshot=snapshot, autocreate="disabled" if found.publication else "filtered")
        changed = present is None or {**wanted, "name": worker.name} != {**present, "name": worker.name}
        if changed:
            worker.put(wanted)
        before = worker.state()
        if before is not None and before.connector in {"STOPPED", "PAUSED"}:
            worker.resume()
        elif before is not None and before.failed:
            worker.restart()
        state = worker.wait_until_running()
    _log.info("connector_deployed", connector=where.connect_connector, changed=changed, snapshot=snapshot)
    return Deployed(where.connect_connector, changed, snapshot, state)


def examine(settings: Settings, *, ours: bool) -> Found:
    """Check the installation as our own engine does (CD-3, CD-4), and that nobody else reads the slot (CD-8).

    Args:
        settings: What to look at.
        ours: Whether the connector that is there already reads this slot; then it may be active.

    Raises:
        CdcError: What stops the engine would stop Debezium too; or SLOT_ACTIVE.
    """
    with closing(connect(settings.database_url.get_secret_value())) as control:
        server, wanted = read_server(control), settings.cdc_tables
        has_publication = publication_exists(control, settings.publication_name)
        slot = read_slot(control, settings.slot_name)
        installation = preflight.Installation(
            server,
            settings.publication_name,
            read_tables(control, settings.publication_name),
            wanted,
            frozenset(wanted) - missing_tables(control, wanted),
            slot,
            has_publication,
            omitted=read_omitted(control, settings.publication_name),
        )
        pending = read_slot(control, snapshot_name(settings.slot_name))
    findings = preflight.check(installation)
    # A publication that is missing is Debezium's to create (CD-61).
    stopping = [each for each in findings if each.stops and (has_publication or each.kind is not Kind.PUBLICATION)]
    if stopping:
        raise preflight.PreflightError(stopping)
    for finding in findings:
        if not finding.stops:
            _log.warning("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
    if slot is None and pending is not None:
        message = f"our own engine has begun its initial snapshot (slot {pending.name}): let it finish first"
        raise CdcError(Kind.SNAPSHOT_UNFINISHED, message)
    if slot is not None and slot.active and not ours:
        raise DatabaseError(Kind.SLOT_TAKEN, f"the slot {settings.slot_name} is read by somebody else")
    return Found(slot is not None, has_publication)

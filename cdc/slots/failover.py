"""Owns failover slots: where the server has them (17 and newer), standbys keep a copy of the engine's slot.

After a promotion the engine then goes on at the new primary. The copy of the snapshot's slot does not inherit the
property, so it is set when a session opens, on any slot that nobody reads.
Source of facts: PostgreSQL manual, "Replication Slot Synchronization" and ALTER_REPLICATION_SLOT.
"""

from enum import Enum, unique
from typing import Any, Final

import structlog
from psycopg import Connection

from cdc.catalog import Server
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.postgres import translated
from cdc.slots.slot import read_slot
from cdc.stream import ReplicationConnection

_log: Final = structlog.get_logger(__name__)

_FIRST_VERSION: Final = 170_000


@unique
class SlotFailover(Enum):
    """Whether standbys are to keep a copy of the slot."""

    AUTO = "auto"
    """Where the server can."""
    ON = "on"
    """Or the engine does not start."""
    OFF = "off"


def possible(server: Server) -> bool:
    """Say whether this server's slots can have the property: it is a primary of version 17 or newer."""
    return server.version >= _FIRST_VERSION and not server.standby


def waited_for(connection: Connection[Any]) -> tuple[bool, str]:
    """Say whether there is a physical slot, as a standby has one, and return `synchronized_standby_slots`.

    Raises:
        DatabaseError: The connection is lost.
    """
    with translated():
        row: Any = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'physical'),"
            " coalesce(current_setting('synchronized_standby_slots', true), '')"
        ).fetchone()
    return bool(row[0]), str(row[1])


def let_standbys_copy(connection: Connection[Any], url: str, server: Server, name: str, wanted: SlotFailover) -> None:
    """Give the slot the property, unless it has it, somebody reads it, or it is not wanted.

    Raises:
        CdcError: It is insisted on, and the server does not have it or refuses.
    """
    if wanted is SlotFailover.OFF:
        return
    if not possible(server):
        if wanted is SlotFailover.ON:
            what = "is a standby" if server.standby else f"has version {server.version // 10_000}"
            message = f"CDC_SLOT_FAILOVER=on needs a primary of PostgreSQL 17 or newer, this server {what}: use auto"
            raise CdcError(Kind.SETTINGS, message)
        return
    slot = read_slot(connection, name)
    if slot is None or slot.failover or slot.active:
        return
    try:
        with ReplicationConnection(url) as replication:
            replication.set_failover(slot.name)
    except DatabaseError as error:
        if wanted is SlotFailover.ON or error.kind in (Kind.CONNECTION_LOST, Kind.DATABASE_UNREACHABLE):
            raise
        _log.warning("failover_refused", slot=slot.name, kind=error.kind.value, detail=str(error))
    else:
        _log.info("failover_slot", slot=slot.name)

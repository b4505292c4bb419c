"""Owns how one shard ends a generation: it holds its slot, delivers what committed before an LSN and confirms that LSN.

The LSN is chosen when every old shard holds its slot, and each holds it until the first slot of the next generation is
made: whoever had a slot before, or came in between, may have delivered what lies beyond, and that would come again.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import structlog

from cdc.backfill.tasks import Answer, Task
from cdc.backfill.work import Backfill
from cdc.errors import CdcError, DatabaseError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.lsn import Lsn, format_lsn
from cdc.postgres import connect
from cdc.relay import Relay
from cdc.session import Session
from cdc.shutdown import StopRequested
from cdc.slots.slot import read_slot
from cdc.stream import ReplicationStream

_log: Final = structlog.get_logger(__name__)

_PAUSE_S: Final = 0.05
_CONFIRM_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What a shard agrees upon with whoever ends its generation; without `hold` a birth is all that is wanted."""

    hold: Callable[[Callable[[], None]], Lsn] | None = None
    """Say that the slot is held, and return the LSN; calls what it is given while it waits."""
    arrived: Callable[[], None] = lambda: None
    """Say that the LSN is confirmed."""


class NoReader:
    """In place of a job's reader: a job of an incremental snapshot is noticed, and no work is done for it."""

    def submit(self, task: Task) -> None:
        """Do nothing."""

    def poll(self) -> Answer | None:
        """Have no answer."""

    def close(self) -> None:
        """Have nothing to end."""


def pursue(
    goal: Goal,
    session: Session,
    stream: ReplicationStream,
    relay: Relay,
    backfill: Backfill,
    stopping: Callable[[], bool],
) -> None:
    """Hold the slot, run to the goal, say so, and hold the slot until told to stop.

    Raises:
        CdcError: RESHARD_JOB, an incremental snapshot is under way; or stream, sink or bookmark failed.
    """
    if goal.hold is None:
        return
    alive = session.keep_alive(stream, Lsn(0))

    def waiting() -> None:
        # Asking winds the fuse.
        if stopping():
            raise StopRequested
        alive()

    lsn = goal.hold(waiting)
    if not relay.run_to(lsn, stopping):
        return
    if backfill.watching:
        slot = session.settings.slot_name
        raise CdcError(Kind.RESHARD_JOB, f"an incremental snapshot of the slot {slot} has not ended")
    reach(Failpoint.SHARD_ARRIVED)
    # The bookmark first, as before every confirmation.
    session.remember(lsn, waiting)
    _confirm(lsn, session, stream, stopping)
    reach(Failpoint.SHARD_CONFIRMED)
    _log.info("arrived", slot=session.settings.slot_name, lsn=format_lsn(lsn), records=relay.records)
    goal.arrived()
    while not stopping():
        # What the server sends meanwhile stays in the socket: it is the next generation's.
        stream.confirm(lsn)
        time.sleep(_PAUSE_S)


def _confirm(lsn: Lsn, session: Session, stream: ReplicationStream, stopping: Callable[[], bool]) -> None:
    """Confirm until the slot shows it: whoever makes the next generation reads the slots."""
    until = time.monotonic() + _CONFIRM_S
    with closing(connect(session.url)) as control:
        while True:
            stream.confirm(lsn)
            slot = read_slot(control, session.settings.slot_name)
            if slot is not None and slot.confirmed == lsn:
                return
            if time.monotonic() >= until:
                raise DatabaseError(Kind.CONNECTION_LOST, f"the server does not take {format_lsn(lsn)} as confirmed")
            if stopping():
                raise StopRequested
            time.sleep(_PAUSE_S)

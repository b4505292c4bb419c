"""Owns the process of one shard: an engine of its own that answers its parent, and ends when that is gone."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import Enum, unique
from multiprocessing.connection import Connection
from typing import Final

from cdc.errors import CdcError, Kind
from cdc.failpoints import arm
from cdc.lsn import Lsn
from cdc.process import configure_log, run_engine
from cdc.settings import Settings
from cdc.shards.goal import Goal
from cdc.shards.names import Part
from cdc.shutdown import Shutdown
from cdc.watch.metrics import Monitor

LOOK: Final = "look"
HELD: Final = "held"
ARRIVED: Final = "arrived"
LOST: Final = "lost"
_WAIT_S: Final = 0.05
_ORPHAN_S: Final = 20.0
"""An orderly stop takes less: the loop's drain and the end of the stream are bounded."""


@unique
class Errand(Enum):
    """What a shard is started for."""

    STREAM = "stream"
    """To go on and on."""
    BIRTH = "birth"
    """To take the snapshot, if there is none, and to end."""
    END = "end"
    """To end its generation at the LSN that the parent gives, see `cdc.shards.goal`."""


class _Parent:
    """The other end of the pipe: asks for figures, gives the goal."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._held = False
        self._given = threading.Event()
        self._lsn = Lsn(0)

    def hold(self, waiting: Callable[[], None]) -> Lsn:
        """Say that the slot is held, and wait for the goal; a goal is good only as long as the slot was held.

        Raises:
            CdcError: RESHARDED; the slot was lost since it was held, and there must be another goal.
        """
        if self._held:
            self._send(LOST)
            raise CdcError(Kind.RESHARDED, "the slot was lost on the way to the end of its generation")
        self._held = True
        self._send(HELD)
        while not self._given.wait(_WAIT_S):
            waiting()
        return self._lsn

    def arrived(self) -> None:
        """Say that the goal is confirmed."""
        self._send(ARRIVED)

    def answer(self, monitor: Monitor) -> None:
        """Begin to take what the parent sends."""
        threading.Thread(target=self._listen, args=(monitor,), name="cdc-parent", daemon=True).start()

    def _listen(self, monitor: Monitor) -> None:
        try:
            while True:
                said = self._pipe.recv()
                if said == LOOK:
                    self._send(LOOK, monitor.summary(), monitor.exposition())
                else:
                    self._lsn = said
                    self._given.set()
        except (EOFError, OSError):
            # Nobody is there any more who would end this process.
            os.kill(os.getpid(), signal.SIGTERM)
            timer = threading.Timer(_ORPHAN_S, os._exit, (1,))
            timer.daemon = True
            timer.start()

    def _send(self, *what: object) -> None:
        with self._sending:
            self._pipe.send(what)


def main(settings: Settings, part: Part, errand: Errand, pipe: Connection) -> None:
    """Run until told to stop; exit as an engine does.

    Args:
        settings: Of the whole.
        part: Which shard this is.
        errand: What it is started for.
        pipe: To the parent; its end is the parent's.
    """
    shutdown = Shutdown()
    shutdown.install()
    configure_log(settings.log_level, shard=part.label)
    arm(settings.cdc_failpoint)
    parent = _Parent(pipe)
    goals = {Errand.STREAM: None, Errand.BIRTH: Goal(), Errand.END: Goal(parent.hold, parent.arrived)}
    sys.exit(run_engine(settings, shutdown, part, goals[errand], watched=parent.answer))

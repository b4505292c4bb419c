"""Owns the process of one shard: an engine of its own that answers its parent, and ends when that is gone."""

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Final

from cdc.failpoints import arm
from cdc.lsn import Lsn
from cdc.process import configure_log, run_engine
from cdc.settings import Settings
from cdc.shards.goal import Goal
from cdc.shards.names import Part
from cdc.shutdown import Shutdown
from cdc.watch.metrics import Monitor

LOOK: Final = "look"
ARRIVED: Final = "arrived"
_ORPHAN_S: Final = 20.0
"""An orderly stop takes less: the loop's drain and the end of the stream are bounded."""


def main(settings: Settings, part: Part, ending: tuple[Lsn | None] | None, parent: Connection) -> None:
    """Run until told to stop; exit as an engine does.

    Args:
        settings: Of the whole.
        part: Which shard this is.
        ending: None to stream on and on; otherwise where the generation ends, see `Goal`.
        parent: Where questions come from and news go to; its end is the parent's.
    """
    shutdown = Shutdown()
    shutdown.install()
    configure_log(settings.log_level, shard=part.label)
    arm(settings.cdc_failpoint)
    sending = threading.Lock()

    def arrived() -> None:
        with sending:
            parent.send((ARRIVED,))

    goal = None if ending is None else Goal(ending[0], arrived)

    def answer(monitor: Monitor) -> None:
        threading.Thread(target=_answer, args=(monitor, parent, sending), name="cdc-parent", daemon=True).start()

    sys.exit(run_engine(settings, shutdown, part, goal, watched=answer))


def _answer(monitor: Monitor, parent: Connection, sending: threading.Lock) -> None:
    try:
        while True:
            parent.recv()
            with sending:
                parent.send((LOOK, monitor.summary(), monitor.exposition()))
    except (EOFError, OSError):
        # Nobody is there any more who would end this process.
        os.kill(os.getpid(), signal.SIGTERM)
        timer = threading.Timer(_ORPHAN_S, os._exit, (1,))
        timer.daemon = True
        timer.start()

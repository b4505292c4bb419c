"""Owns one run of the engine as a process, whole or in shards, and its exit code. Reads no environment itself."""

from cdc.errors import CdcError, Kind
from cdc.failpoints import arm
from cdc.process import configure_log, run_engine, tell
from cdc.settings import Settings
from cdc.shards.supervisor import Supervisor
from cdc.shutdown import Shutdown, StopRequested

__all__ = ["configure_log", "run"]


def run(settings: Settings, shutdown: Shutdown) -> int:
    """Run the engine until it is told to stop; return the exit code: 0 in order, 1 by an error told in the log."""
    configure_log(settings.log_level)
    arm(settings.cdc_failpoint)
    try:
        while True:
            if settings.cdc_shards == 1:
                try:
                    return run_engine(settings, shutdown)
                except CdcError as error:
                    if error.kind is not Kind.RESHARDED:
                        raise
            # Shards are wanted, or there are some to go back from.
            code = Supervisor(settings, shutdown).run()
            if code is not None:
                return code
    except StopRequested:
        return 0
    except CdcError as error:
        tell(error)
        return 1

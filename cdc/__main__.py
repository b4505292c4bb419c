"""Run the engine in the foreground: `python -m cdc`. SIGTERM and SIGINT stop it in order, with exit code 0.

Exit codes: 0 stopped in order, 1 stopped by an error (its remedy is in the log), 2 the settings are wrong.
"""

import sys
from typing import Final

import structlog
from pydantic import ValidationError

from cdc.run import configure_log, run
from cdc.settings import Settings
from cdc.shutdown import Shutdown

_log: Final = structlog.get_logger("cdc")


def main() -> int:
    """Run until stopped; return the exit code."""
    shutdown = Shutdown()
    shutdown.install()
    try:
        settings = Settings()
    except ValidationError as error:
        configure_log("INFO")
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            _log.error("setting_invalid", setting=name, detail=fault["msg"], remedy="Set the environment variable.")
        return 2
    return run(settings, shutdown)


if __name__ == "__main__":
    sys.exit(main())

"""Owns one run of the engine as a process: its log, its endpoint and its exit code. Reads no environment itself."""

import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack
from typing import Final

import structlog

from cdc.engine import Engine
from cdc.errors import CdcError
from cdc.failpoints import arm
from cdc.policy import Stop, decide
from cdc.preflight import PreflightError
from cdc.settings import Settings
from cdc.shutdown import Shutdown
from cdc.slots.fuse import Fuse
from cdc.slots.guard import Guard
from cdc.watch.endpoint import serving
from cdc.watch.health import Deadlines, Health
from cdc.watch.metrics import Monitor

_log: Final = structlog.get_logger("cdc")

_SWITCH_S: Final = 0.0005


def run(settings: Settings, shutdown: Shutdown) -> int:
    """Run the engine until it is told to stop; return the exit code: 0 in order, 1 by an error told in the log."""
    configure_log(settings.log_level)
    arm(settings.cdc_failpoint)
    try:
        with ExitStack() as stack:
            monitor = Monitor(Health(Deadlines(settings.cdc_ready_seconds, settings.cdc_live_seconds)))
            if settings.cdc_http_port is not None:
                stack.enter_context(serving(monitor, settings.cdc_http_host, settings.cdc_http_port))
            guard = Guard(settings, monitor, stop=lambda: os.kill(os.getpid(), signal.SIGTERM))
            stack.enter_context(guard.running())
            # A collection that walks all that was imported would hold the stream up for some 25 ms.
            gc.collect()
            gc.freeze()
            # Guard and endpoint are threads: the loop is to have the interpreter back sooner than after 5 ms.
            sys.setswitchinterval(_SWITCH_S)
            Engine(settings, shutdown, monitor, Fuse(settings.cdc_freeze_seconds)).run()
            guard.check()
    except PreflightError as error:
        for finding in error.findings:
            say = _log.error if finding.stops else _log.warning
            say("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
        return 1
    except CdcError as error:
        decision = decide(error.kind)
        remedy = decision.remedy if isinstance(decision, Stop) else None
        _log.error("stopped_by_error", kind=error.kind.value, detail=str(error), remedy=remedy)
        return 1
    return 0


def configure_log(level: str) -> None:
    """Let every log line be one JSON object on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

"""Owns one engine as the work of a process: its log, its watchers, its errors and its exit code. Parses nothing."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import structlog

from cdc.engine import Engine
from cdc.errors import CdcError, Kind
from cdc.policy import Stop, decide
from cdc.preflight import PreflightError
from cdc.settings import Settings
from cdc.shards.goal import Goal
from cdc.shards.names import WHOLE, Part
from cdc.shutdown import Shutdown
from cdc.slots.fuse import Fuse
from cdc.slots.guard import Guard
from cdc.watch.endpoint import serving
from cdc.watch.health import Deadlines, Health
from cdc.watch.metrics import Monitor

_log: Final = structlog.get_logger("cdc")

_SWITCH_S: Final = 0.0005


def run_engine(
    settings: Settings,
    shutdown: Shutdown,
    part: Part = WHOLE,
    goal: Goal | None = None,
    watched: Callable[[Monitor], None] | None = None,
) -> int:
    """Run an engine until it is told to stop; return the exit code: 0 in order, 1 by an error told in the log.

    Args:
        settings: Of the whole, whichever part it is.
        shutdown: Tells it to stop.
        part: Which shard it is.
        goal: Where it is to end, if it is.
        watched: Takes its figures in place of its own endpoint.

    Raises:
        CdcError: RESHARDED, of the whole: its slot was handed over to shards.
    """
    try:
        with ExitStack() as stack:
            monitor = Monitor(Health(Deadlines(settings.cdc_ready_seconds, settings.cdc_live_seconds)))
            if watched is not None:
                watched(monitor)
            elif settings.cdc_http_port is not None:
                stack.enter_context(serving(monitor, settings.cdc_http_host, settings.cdc_http_port))
            guard = Guard(settings.of(part), monitor, stop=lambda: os.kill(os.getpid(), signal.SIGTERM))
            stack.enter_context(guard.running())
            # A collection that walks all that was imported would hold the stream up for some 25 ms.
            gc.collect()
            gc.freeze()
            # Guard and endpoint are threads: the loop is to have the interpreter back sooner than after 5 ms.
            sys.setswitchinterval(_SWITCH_S)
            Engine(settings, shutdown, monitor, Fuse(settings.cdc_freeze_seconds), part, goal).run()
            guard.check()
    except CdcError as error:
        if error.kind is Kind.RESHARDED and goal is None and part == WHOLE:
            raise
        tell(error)
        return 1
    return 0


def tell(error: CdcError) -> None:
    """Say in the log what ends the process, and what can be done about it."""
    if isinstance(error, PreflightError):
        for finding in error.findings:
            say = _log.error if finding.stops else _log.warning
            say("finding", kind=finding.kind.value, detail=finding.message, remedy=finding.remedy)
        return
    decision = decide(error.kind)
    remedy = decision.remedy if isinstance(decision, Stop) else None
    _log.error("stopped_by_error", kind=error.kind.value, detail=str(error), remedy=remedy)


def configure_log(level: str, shard: str | None = None) -> None:
    """Let every log line be one JSON object on standard error; with the shard, where there are several."""

    def of_shard(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return line if shard is None else {**line, "shard": shard}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            of_shard,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

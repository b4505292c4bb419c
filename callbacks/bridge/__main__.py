"""Run the bridge: `python -m callbacks.bridge`, until SIGTERM or Ctrl-C. With `--check`, tell whether one runs.

Owns signals, logs, and that a lost database is waited for.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog
from pydantic import ValidationError

from callbacks import logs
from callbacks.bridge.serving import Bridge
from callbacks.bridge.settings import BridgeSettings
from callbacks.bridge.wire import WireError
from database import DatabaseSettings, Direct, Failure, classify, public_text

_UNUSABLE: Final = 2
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0

_log = structlog.get_logger()


def main() -> int:
    """Return 0 after an orderly stop, 1 when the database refuses or no bridge runs, 2 when a setting is wrong."""
    parser = argparse.ArgumentParser(prog="python -m callbacks.bridge", description="Carry callbacks to Lambda.")
    parser.add_argument("--check", action="store_true", help="only tell whether a bridge runs for the database")
    check = parser.parse_args().check
    try:
        # A bridge waits for its turn and for transactions, so its statements have no time limit.
        address = Direct(Direct.of(DatabaseSettings()).base, statement_timeout=None)
        if check:
            return _check(address)
        settings = BridgeSettings()
        logs.configure(settings.log_level)
    except (ValidationError, ValueError) as error:
        sys.stderr.write(f"the bridge cannot start: {error}\n")
        return _UNUSABLE
    return asyncio.run(_serve(address, settings))


async def _serve(address: Direct, settings: BridgeSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parameters: Mapping[str, Any] = address.parameters()
    pause = _FIRST_PAUSE
    while not stop.is_set():
        began = loop.time()
        serving = asyncio.create_task(Bridge(parameters, settings).serve(stop))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await serving
        except (psycopg.Error, WireError) as error:
            _log.warning("bridge_lost", error=public_text(error, address.secrets()))
            if isinstance(error, psycopg.Error) and classify(error) is Failure.DENIED:
                return 1
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.wait({stopped}, timeout=pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            stopped.cancel()
    return 0


def _check(address: Direct) -> int:
    parameters: Mapping[str, Any] = address.parameters()
    try:
        with psycopg.connect(**parameters, autocommit=True) as connection:
            row = connection.execute("SELECT aws_lambda.bridge_running()").fetchone()
    except psycopg.Error as error:
        sys.stderr.write(f"cannot tell: {public_text(error, address.secrets())}\n")
        return 1
    running = row == (True,)
    sys.stdout.write("running\n" if running else "no bridge runs for this database\n")
    return 0 if running else 1


if __name__ == "__main__":
    sys.exit(main())

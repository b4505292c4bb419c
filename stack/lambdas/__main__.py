"""Run the local Lambda service: `python -m stack.lambdas --config FILE`, until SIGTERM or Ctrl-C.

Owns the sockets and the order of start and stop. Every process of a function ends before this one does, and the kernel
sees to it when this one is killed.
"""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from stack.lambdas.events import Events
from stack.lambdas.http_api import HttpApi
from stack.lambdas.invoke_api import InvokeApi
from stack.lambdas.invoking import Invoker
from stack.lambdas.pool import Pool
from stack.lambdas.registry import Configuration
from stack.lambdas.runtime_api import RuntimeApi

_log = structlog.get_logger()

_UNUSABLE: Final = 2
_KEEP_ALIVE_SECONDS: Final = 75
_BACKLOG: Final = 1024


class _Server(uvicorn.Server):
    """Tells of a signal at once: a runtime's `next` never ends by itself, and uvicorn would wait for it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self.stopping.set)
        if self.stopping.is_set():
            super().handle_exit(sig, frame)


def main() -> int:
    """Serve until told to stop; return 0, 1 when the port is not to be had, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m stack.lambdas", description="The local Lambda service.")
    parser.add_argument("--config", type=Path, required=True, help="TOML: the service's settings and its functions")
    file = parser.parse_args().config
    if sys.platform != "linux":
        sys.stderr.write("the local Lambda service runs on Linux: AWS's runtime interface client does\n")
        return _UNUSABLE
    try:
        service = Configuration.read(file)
        _configure_logs(service.log_level)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))
        sys.stderr.write(f"{file} cannot be used: " + "; ".join(faults) + "\n")
        return _UNUSABLE
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{file} cannot be used: {error}\n")
        return _UNUSABLE
    # uvicorn repeats a signal after its orderly end, which would make that a death by signal; this takes it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with ExitStack() as sockets:
        try:
            public = [
                sockets.enter_context(_listening(host, port))
                for host, port in [
                    (service.host, service.port),
                    *((each.host, each.port) for each in service.apis.values()),
                ]
            ]
            own = [sockets.enter_context(_listening("127.0.0.1", 0)) for _ in range(service.concurrency)]
        except OSError as error:
            sys.stderr.write(f"cannot listen at {error.strerror}; set another port\n")
            return 1
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(service, public, own))
    return 0


async def _serve(service: Configuration, public: list[socket.socket], own: list[socket.socket]) -> None:
    pool = Pool(service, [each.getsockname()[1] for each in own])
    invoker = Invoker(service, pool)
    events = Events(service, invoker)
    at: dict[int, ASGIApp] = {api.port: HttpApi(service, api, invoker) for api in service.apis.values()}
    at[service.port] = InvokeApi(service, pool, invoker, events).application()
    application = _by_port(at, RuntimeApi(pool))
    server = _Server(
        uvicorn.Config(
            application,
            access_log=False,
            log_config=None,
            http="httptools",
            ws="none",
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
    )
    sweep = asyncio.create_task(pool.sweep())
    serving = asyncio.create_task(server.serve(sockets=[*public, *own]))
    told = asyncio.create_task(server.stopping.wait())
    _log.info("lambda_service_listening", host=service.host, port=service.port, functions=sorted(service.functions))
    await asyncio.wait({serving, told, sweep}, return_when=asyncio.FIRST_COMPLETED)
    await invoker.close(service.grace_seconds)
    events.close()
    sweep.cancel()
    await pool.close()
    server.should_exit = True
    await serving
    told.cancel()
    if not sweep.cancelled() and sweep.done():
        sweep.result()
    _log.info("lambda_service_stopped")


def _by_port(at: Mapping[int, ASGIApp], runtime: ASGIApp) -> ASGIApp:
    """Return the application that is the one of its port, and the Runtime API of an instance at every other."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await at.get(scope["server"][1], runtime)(scope, receive, send)

    return application


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from error
    return made


def _configure_logs(level: str) -> None:
    """Write events as JSON lines on standard output; of libraries only warnings.

    Raises:
        ValueError: No such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"log_level is {level!r}: set debug, info, warn or error"
        raise ValueError(message)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(main())

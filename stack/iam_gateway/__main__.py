"""Run the gateway: `python -m stack.iam_gateway`, until SIGTERM or Ctrl-C; settings come from the environment.

Owns the listening socket, the certificate and the order of start and stop. The key of the certificate is nowhere but in
this process; `ca.pem` is made anew at each start, before the port is open.
"""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from contextlib import suppress
from typing import Final

import psycopg
import structlog
import trustme
from pydantic import ValidationError

from stack.iam_gateway.admission import Admission, UnusableServerError
from stack.iam_gateway.session import Sessions
from stack.iam_gateway.settings import GatewaySettings
from stack.iam_gateway.token import Verifier

_log = structlog.get_logger()

_UNUSABLE: Final = 2
_BACKLOG: Final = 128
_ACCEPT_PAUSE: Final = 0.1


def main() -> int:
    """Serve until told to stop; return 0, 1 when port or server are not to be had, 2 when a setting is wrong."""
    try:
        settings = GatewaySettings()
        _configure_logs(settings.log_level)
    except ValidationError as error:
        faults = (
            f"IAM_GATEWAY_{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}"
            for each in error.errors(include_input=False)
        )
        sys.stderr.write("the gateway cannot start: " + "; ".join(faults) + "\n")
        return _UNUSABLE
    except ValueError as error:
        sys.stderr.write(f"the gateway cannot start: {error}\n")
        return _UNUSABLE
    try:
        asyncio.run(_run(settings))
    except UnusableServerError as error:
        sys.stderr.write(f"the gateway cannot start: {error}\n")
        return 1
    except psycopg.Error as error:
        at = f"{settings.upstream_host}:{settings.upstream_port}"
        sys.stderr.write(f"the gateway cannot use the server at {at} ({type(error).__name__}): is it running?\n")
        return 1
    except OSError as error:
        at = f"{settings.listen_host}:{settings.port} or write {settings.certificates}"
        sys.stderr.write(f"the gateway cannot listen at {at}: {error.strerror}\n")
        return 1
    return 0


async def _run(settings: GatewaySettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    verifier = Verifier(settings.host_name, settings.port, settings.region, settings.keys())
    admission = Admission(settings, verifier)
    await admission.prepare()
    sessions = Sessions(settings, admission, _certificate(settings))
    with socket.create_server((settings.listen_host, settings.port), backlog=_BACKLOG) as listener:
        listener.setblocking(False)
        _log.info("gateway_listening", host=settings.listen_host, port=settings.port, name=settings.host_name)
        running: set[asyncio.Task[None]] = set()
        accepting = asyncio.create_task(_accept(listener, sessions, settings.max_connections, running))
        accepting.add_done_callback(lambda _: stopping.set())
        await stopping.wait()
        accepting.cancel()
        with suppress(asyncio.CancelledError):
            await accepting
    await _end(running, settings.grace_seconds)
    _log.info("gateway_stopped")


async def _accept(listener: socket.socket, sessions: Sessions, limit: int, running: set[asyncio.Task[None]]) -> None:
    """Give each client a task of its own; above the limit they wait in the backlog."""
    places = asyncio.Semaphore(limit)

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        places.release()
        if not task.cancelled() and (fault := task.exception()) is not None:
            # Not the text: it may repeat what a client sent.
            _log.error("session_failed", error=type(fault).__name__)

    while True:
        await places.acquire()
        try:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:
            # Such as too many open files: some will be closed.
            places.release()
            _log.warning("accept_failed", error=type(error).__name__)
            await asyncio.sleep(_ACCEPT_PAUSE)
            continue
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        task = asyncio.create_task(sessions.serve(client))
        running.add(task)
        task.add_done_callback(ended)


async def _end(running: set[asyncio.Task[None]], seconds: float) -> None:
    if not running:
        return
    _done, late = await asyncio.wait(set(running), timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


def _certificate(settings: GatewaySettings) -> ssl.SSLContext:
    """Return the server's side of TLS, after writing the authority that clients trust."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert(settings.host_name, settings.listen_host).configure_cert(context)
    settings.certificates.mkdir(parents=True, exist_ok=True)
    partial = settings.certificates / "ca.pem.partial"
    authority.cert_pem.write_to_path(partial)
    partial.replace(settings.certificates / "ca.pem")
    return context


def _configure_logs(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"IAM_GATEWAY_LOG_LEVEL is {level!r}: set debug, info, warn or error")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(main())

"""Owns the engine's HTTP endpoint: `/metrics`, `/livez`, `/readyz`. Reads what the monitor holds, changes nothing.

The standard library's server is enough for one reader every few seconds, so that the engine carries no web framework.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

import structlog

from cdc.errors import CdcError, Kind

_log: Final = structlog.get_logger(__name__)
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_SLOW_CLIENT_S: Final = 10


class Watched(Protocol):
    """What is served."""

    def summary(self) -> dict[str, Any]:
        """Return where the engine stands, `ready` and `live` among it."""

    def exposition(self) -> bytes:
        """Return every figure in Prometheus's text format."""


@contextmanager
def serving(monitor: Watched, host: str, port: int) -> Iterator[int]:
    """Serve the monitor while the block runs; give the port, which the system chose if 0 was asked for.

    Raises:
        CdcError: The port is taken or may not be used.
    """

    class Handler(_Handler):
        watched = monitor

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        message = f"CDC_HTTP_PORT={port} on {host} cannot be listened on: {error.strerror or error}"
        raise CdcError(Kind.SETTINGS, message) from error
    # A client that hangs must not hold up the engine's end.
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="cdc-endpoint", daemon=True)
    thread.start()
    _log.info("endpoint", host=host, port=server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    watched: Watched
    timeout = _SLOW_CLIENT_S
    server_version = "headwater-cdc"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, _TEXT, self.watched.exposition())
        elif path in ("/livez", "/readyz"):
            summary = self.watched.summary()
            self._answer(
                200 if summary["live" if path == "/livez" else "ready"] else 503,
                "application/json",
                json.dumps(summary).encode() + b"\n",
            )
        else:
            self._answer(404, "text/plain", b"/metrics, /livez, /readyz\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the library's name
        """Say nothing: a probe every second is no event."""

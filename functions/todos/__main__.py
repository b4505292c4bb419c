"""Serve the API on this machine: `python -m functions.todos --port 8091`, for tests and the demo client.

Owns the translation of HTTP into payload 2.0, as API Gateway gives it with one `$default` route; the answers are those
of the Lambda's own handler. One request at a time, as in an instance of the Lambda.
"""

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from pydantic import ValidationError

from functions.todos.handler import Application
from functions.todos.settings import TodoSettings, complaint

_LARGEST_BODY = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """What of the Lambda context is used."""

    seconds: float
    function_name: str = "todos"
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left."""
        return round((self.began + self.seconds - time.monotonic()) * 1000)


def event_of(method: str, target: str, headers: dict[str, str], body: str | None) -> dict[str, Any]:
    """Return a request as an HTTP API hands it to a function, without path parameters."""
    url = urlsplit(target)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": url.path,
        "rawQueryString": url.query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "queryStringParameters": dict(parse_qsl(url.query)),
        "requestContext": {"http": {"method": method, "path": url.path}, "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }


def server(application: Application, host: str, port: int, seconds: float) -> ThreadingHTTPServer:
    """Return a server that listens already; `serve_forever` answers."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body of an answer are two writes: with Nagle's algorithm the second waits for an acknowledgement.
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            if length > _LARGEST_BODY:
                self.send_error(413)
                return
            body = self.rfile.read(length).decode(errors="replace") if length else None
            event = event_of(self.command, self.path, dict(self.headers.items()), body)
            with turn:
                answered = application.answer(event, Context(seconds))
            content = str(answered["body"]).encode()
            self.send_response(answered["statusCode"])
            for name, value in answered["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing: the handler logs each request."""

    listening = ThreadingHTTPServer((host, port), Handler)
    listening.daemon_threads = True
    return listening


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m functions.todos", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    options = parser.parse_args(arguments)
    try:
        settings = TodoSettings()
    except ValidationError as error:
        sys.stderr.write(complaint(error))
        return 2
    with server(Application(settings), options.host, options.port, settings.request_seconds) as listening:
        sys.stderr.write(f"the todo API is at http://{options.host}:{listening.server_address[1]}\n")
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

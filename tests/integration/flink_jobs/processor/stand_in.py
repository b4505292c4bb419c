"""A metadata service that is as small as the processor needs it: the filters route (FL-108) over real HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


class Service:
    """What it answers, to be changed at any time, and what it was asked.

    Attributes:
        filters: The filters in the form of the API; disabled ones are left out when the query says so.
        body: Sent in place of the filters, if set.
        status: The status of the answer.
        asked: The path and query of every request.
    """

    def __init__(self) -> None:
        self.filters: list[Json] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked: list[str] = []
        self.url = ""

    def answer(self, target: str) -> tuple[int, bytes]:
        """Return status and body for a request."""
        self.asked.append(target)
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path != "/api/v1/filters" or "schemaId" not in query:
            return 400, b'{"error": "Bad Request", "message": "schemaId is required"}'
        if self.body is not None or self.status != 200:
            return self.status, self.body or b'{"error": "Internal", "message": "out of order"}'
        only = query.get("enabled") == ["true"]
        return 200, json.dumps([each for each in self.filters if each["enabled"] or not only]).encode()


@contextmanager
def serving() -> Iterator[Service]:
    """Serve while the block runs."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = service.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

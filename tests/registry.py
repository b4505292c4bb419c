"""A real schema registry for tests: Apicurio Registry 3.3.3 by its Confluent-compatible interface, schemas in memory.

Confluent's own registry is not on Maven Central. A `Door` before it can be shut, so that a registry goes away and
comes back with all it knew.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from stack import registry
from stack.ports import free_ports
from tests.waiting import eventually


class RunningRegistry:
    """A registry of the tests' own, which may start late and stop early."""

    def __init__(self, cache: Path) -> None:
        registry.unpacked(cache)
        self._cache = cache
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start, wait until it answers, and let it ask for BACKWARD compatibility, as Confluent's does by itself."""
        self._process = subprocess.Popen(
            registry.command(self._cache),
            env={**os.environ, **registry.environment(self._port, None)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, "the registry answers", 60)
        self.put("/config", {"compatibility": "BACKWARD"})

    def stop(self) -> None:
        """Stop; what it holds is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def get(self, path: str) -> Any:
        """Return what the registry answers."""
        return httpx.get(f"{self.url}{path}").raise_for_status().json()

    def put(self, path: str, body: Any) -> None:
        """Set something."""
        httpx.put(f"{self.url}{path}", json=body).raise_for_status()

    def register(self, subject: str, schema: str, **more: Any) -> int:
        """Register a schema under a subject; return its id."""
        answer = httpx.post(f"{self.url}/subjects/{subject}/versions", json={"schema": schema, **more})
        assert answer.is_success, answer.text
        return int(answer.json()["id"])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/subjects").is_success
        except httpx.TransportError:
            return False


class Door:
    """A door before a registry: open, answering with a status of its own, or gone."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        (self._port,) = free_ports(1)
        self._server: ThreadingHTTPServer | None = None
        self._thread: Thread | None = None
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"
        self.status: int | None = None
        self.authorizations: list[str | None] = []
        self.schemas: dict[int, dict[str, str]] = {}
        """Schemas of another kind than the registry behind takes, by their ids."""

    def open(self) -> None:
        """Listen, and pass requests on."""
        door = self

        class Passage(BaseHTTPRequestHandler):
            def _pass(self) -> None:
                door.authorizations.append(self.headers["Authorization"])
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                status, content = door.status or 0, b'{"error_code": 50001, "message": "not now"}'
                known = re.fullmatch(r".*/schemas/ids/(\d+)(\?.*)?", self.path)
                if known and int(known[1]) in door.schemas:
                    status, content = 200, json.dumps(door.schemas[int(known[1])]).encode()
                elif door.status is None:
                    path = self.path.removeprefix("/apis/ccompat/v7")
                    media = {"Content-Type": self.headers["Content-Type"] or "application/json"}
                    answer = httpx.request(self.command, f"{door._behind}{path}", content=body, headers=media)
                    status, content = answer.status_code, answer.content
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _pass  # noqa: N815 - names of the base class

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Passage)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def shut(self) -> None:
        """Listen no more: connections are refused."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None


@contextmanager
def registries(cache: Path) -> Iterator[Callable[[], RunningRegistry]]:
    """Give a maker of registries that are not started yet; each is stopped in the end."""
    made: list[RunningRegistry] = []

    def make() -> RunningRegistry:
        made.append(RunningRegistry(cache))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.stop()

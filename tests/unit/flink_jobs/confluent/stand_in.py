"""A stand-in for Confluent Cloud: the documented routes of statements and registry, and refusal of everything else.

Facts: Confluent's "Statements (sql/v1)", "Carry-over offsets", "SET statement" (which properties there are) and "Schema
Registry API Reference". It plans nothing: of SQL it knows which table a statement makes, reads or feeds.
"""

import json
import re
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

ORGANISATION, ENVIRONMENT = "b0b42172-4586-4a07-b787-d0bb5aacbf87", "env-test"
POOL, PRINCIPAL, CLUSTER = "lfcp-test", "sa-test", "lkc-test"
FLINK_KEY, REGISTRY_KEY = ("FLINKKEY", "flink-secret-value"), ("REGISTRYKEY", "registry-secret-value")
STATEMENTS = f"/sql/v1/organizations/{ORGANISATION}/environments/{ENVIRONMENT}/statements"
PAGE = 3
PROPERTIES = {
    "sql.current-catalog",
    "sql.current-database",
    "sql.local-time-zone",
    "sql.state-ttl",
    "sql.tables.initial-offset-from",
    "sql.tables.scan.bounded.mode",
    "sql.tables.scan.idle-timeout",
    "sql.tables.scan.startup.mode",
    "sql.tables.scan.watermark-alignment.max-allowed-drift",
}
SPEC = {"statement", "properties", "compute_pool_id", "principal", "stopped"}


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass
class Running:
    """One statement, and where in the raw topic it started and stopped."""

    body: Json
    phase: str = "PENDING"
    detail: str = ""
    started_at: int = 0
    stopped_at: int | None = None
    looks: int = 0


@dataclass
class Cloud:
    """An environment and its registry.

    Attributes:
        refuses: Names of statements that fail after they were taken, with the reason.
        later: How often a request is answered with 429 before it is served.
        position: How far the raw topic is; every request is one record more.
    """

    statements: dict[str, Running] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    subjects: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    incompatible: bool = False
    later: int = 0
    position: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def named(self, phase: str) -> set[str]:
        """Return the names of the statements in a phase."""
        return {name for name, each in self.statements.items() if each.phase == phase}

    def writes(self) -> Counter[str]:
        """Return how many statements feed each table now."""
        live = (each for each in self.statements.values() if each.phase in {"RUNNING", "DEGRADED"})
        found = (re.search(r"INSERT INTO `([^`]+)`", each.body["spec"]["statement"]) for each in live)
        return Counter(match[1] for match in found if match)

    def serve(self, method: str, target: str, headers: Any, raw: bytes) -> tuple[int, Any]:
        """Answer one request."""
        parts = urlsplit(target)
        path = parts.path
        self.asked.append((method, path))
        self.position += 1
        if self.later:
            self.later -= 1
            raise RefusedError(429, "too many requests")
        ours = path.startswith("/sql/")
        key, secret = FLINK_KEY if ours else REGISTRY_KEY
        if headers.get("Authorization") != "Basic " + b64encode(f"{key}:{secret}".encode()).decode():
            raise RefusedError(401, "invalid key")
        body = json.loads(raw) if raw else None
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if ours:
            return self._flink(method, path, query, headers.get("Content-Type"), body)
        media = headers.get("Content-Type")
        if body is not None and media != "application/vnd.schemaregistry.v1+json":
            raise RefusedError(415, "media type")
        return self._registry(method, path, query, body)

    def _flink(  # noqa: C901  # one route after the other
        self, method: str, path: str, query: Json, media: str | None, body: Any
    ) -> tuple[int, Any]:
        if path == STATEMENTS and method == "GET":
            return 200, self._page(query)
        if path == STATEMENTS and method == "POST":
            if media != "application/json":
                raise RefusedError(415, "media type")
            return 201, self._create(body)
        name = path.removeprefix(f"{STATEMENTS}/")
        if path == name or "/" in name:
            raise RefusedError(404, "no such route")
        if name not in self.statements:
            raise RefusedError(404, "no such statement")
        one = self.statements[name]
        match method:
            case "GET":
                if self._advance(name, one):
                    raise RefusedError(404, "no such statement")
                return 200, self._shown(one)
            case "PATCH":
                if media != "application/json-patch+json":
                    raise RefusedError(415, "media type")
                (change,) = body
                if {**change, "value": None} != {"op": "replace", "path": "/spec/stopped", "value": None}:
                    raise RefusedError(422, "only /spec/stopped can be changed")
                self._stop(one, stopped=change["value"])
                return 200, self._shown(one)
            case "DELETE":
                one.phase = "DELETING"
                return 202, None
        raise RefusedError(405, "method")

    def _page(self, query: Json) -> Json:
        if not 1 <= int(query["page_size"]) <= 100:
            raise RefusedError(400, "page_size")
        start = int(query.get("page_token", "0"))
        names = sorted(self.statements)[start : start + PAGE]
        more = start + PAGE < len(self.statements)
        following = f"https://flink.example{STATEMENTS}?page_token={start + PAGE}" if more else ""
        return {"data": [self._shown(self.statements[name]) for name in names], "metadata": {"next": following}}

    def _create(self, body: Json) -> Json:
        spec = body["spec"]
        checks = {
            "keys of the statement": set(body) == {"name", "organization_id", "environment_id", "spec"},
            "organization_id": body["organization_id"] == ORGANISATION,
            "environment_id": body["environment_id"] == ENVIRONMENT,
            "name": re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?", body["name"]) is not None,
            "keys of the spec": set(spec) <= SPEC and isinstance(spec.get("stopped"), bool),
            "statement": 0 < len(spec["statement"]) <= 131_072 and spec["statement"].rstrip().count(";\n") == 0,
            "compute_pool_id": spec["compute_pool_id"] == POOL,
            "principal": spec.get("principal") == PRINCIPAL,
            "properties": set(spec["properties"]) <= PROPERTIES,
            "catalog": spec["properties"]["sql.current-catalog"] == ENVIRONMENT,
            "database": spec["properties"]["sql.current-database"] == CLUSTER,
        }
        for what, holds in checks.items():
            if not holds:
                raise RefusedError(422, f"{what} is not valid")
        if body["name"] in self.statements:
            raise RefusedError(409, "a statement of this name exists")
        follows = spec["properties"].get("sql.tables.initial-offset-from")
        if follows is not None and follows not in self.statements:
            raise RefusedError(400, "the statement to follow is not there")
        self.statements[body["name"]] = Running(body)
        return self._shown(self.statements[body["name"]])

    def _advance(self, name: str, one: Running) -> bool:
        """Let time pass for a statement that is looked at; return True when it is gone."""
        one.looks += 1
        if one.phase == "DELETING":
            del self.statements[name]
            return True
        if one.phase == "STOPPING":
            one.phase, one.stopped_at = "STOPPED", self.position
        if one.phase == "PENDING" and one.looks > 1:
            self._start(name, one)
        return False

    def _start(self, name: str, one: Running) -> None:
        text = one.body["spec"]["statement"]
        if follows := one.body["spec"]["properties"].get("sql.tables.initial-offset-from"):
            old = self.statements[follows]
            if old.phase == "STOPPING":
                old.phase, old.stopped_at = "STOPPED", self.position
            if old.phase not in {"STOPPED", "FAILED"}:
                return
            one.started_at = old.stopped_at or 0
        if name in self.refuses:
            one.phase, one.detail = "FAILED", self.refuses[name]
        elif made := re.match(r"CREATE TABLE IF NOT EXISTS `([^`]+)`", text):
            raw = made[1] == "raw-event-headers"
            if raw and not self.subjects.get("raw-event-headers-value"):
                one.phase, one.detail = "FAILED", "the topic has no schema"
                return
            self.tables.add(made[1])
            one.phase = "COMPLETED"
        elif altered := re.match(r"ALTER TABLE `([^`]+)`", text):
            one.phase = "COMPLETED" if altered[1] in self.tables else "FAILED"
        else:
            named = set(re.findall(r"(?:INSERT INTO|FROM) `([^`]+)`", text))
            missing = sorted(named - self.tables)
            one.phase, one.detail = ("FAILED", f"no table {missing[0]}") if missing else ("RUNNING", "")

    def _stop(self, one: Running, *, stopped: bool) -> None:
        one.body["spec"]["stopped"] = stopped
        if stopped:
            one.phase = "STOPPING"
        elif one.phase in {"STOPPING", "STOPPED"}:
            one.phase = "RUNNING"

    def _shown(self, one: Running) -> Json:
        kind = {"api_version": "sql/v1", "kind": "Statement", "metadata": {"resource_version": str(one.looks)}}
        return {**kind, **one.body, "status": {"phase": one.phase, "detail": one.detail}}

    def _registry(self, method: str, path: str, query: Json, body: Any) -> tuple[int, Any]:
        kind, _, rest = path.lstrip("/").partition("/")
        if kind == "config" and method == "GET" and rest in self.rules:
            return 200, {"compatibilityLevel": self.rules[rest]}
        if kind == "config" and method == "PUT":
            self.rules[rest] = body["compatibility"]
            return 200, body
        subject = rest.removeprefix("subjects/").partition("/")[0]
        if kind == "subjects" and method == "POST" and body["schemaType"] == "JSON":
            known = self.subjects.setdefault(subject, [])
            if rest == subject and body["schema"] in known:
                return 200, {"id": known.index(body["schema"]) + 1}
            if rest == f"{subject}/versions":
                known.append(body["schema"])
                return 200, {"id": len(known)}
        if kind == "compatibility" and self.subjects.get(subject) and query == {"verbose": "true"}:
            return 200, {"is_compatible": not self.incompatible, "messages": ["PROPERTY_REMOVED /id"]}
        raise RefusedError(404, "not found")


@contextmanager
def serving(cloud: Cloud) -> Iterator[str]:
    """Serve a cloud on a free port, for as long as the block runs; give its URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                with lock:
                    status, body = cloud.serve(self.command, self.path, self.headers, raw)
            except RefusedError as error:
                errors = [{"status": str(error.status), "detail": str(error)}]
                status, body = error.status, {"errors": errors} if self.path.startswith("/sql/") else None
                body = body or {"error_code": error.status, "message": str(error)}
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815  # the library calls them so

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

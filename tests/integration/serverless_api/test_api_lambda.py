"""The API as a Lambda: its package, under the runtime interface client, called as API Gateway calls it."""

import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.functions_catalogue import find
from stack.packaging import ROOT, build
from stack.ports import free_ports
from tests.integration.lambdas.conftest import Service
from tests.integration.serverless_api.conftest import local

GOLF = {"vin": "WVWZZZ1JZXW000001", "make": "Volkswagen", "model": "Golf", "year": 1999}

# Elsewhere its compiled parts do not run, and the service's own stand in for them.
_ITS_PLATFORM = (sys.platform, platform.machine(), *sys.version_info[:2]) == ("linux", "x86_64", 3, 11)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked package where it could run, else the source tree."""
    if not _ITS_PLATFORM:
        return ROOT
    built = build(find("serverless-api"), tmp_path_factory.mktemp("package"))
    folder = tmp_path_factory.mktemp("code")
    with zipfile.ZipFile(built.file) as archive:
        archive.extractall(folder)
    return folder


def functions(code: Path, variables: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the two functions, as the deployment description has them."""
    common: dict[str, Any] = {"code": str(code), "memory_mb": 512, "environment": variables}
    return {
        "api": {"handler": "functions.serverless_api.handler.handler", "timeout_seconds": 30, **common},
        "init": {"handler": "functions.serverless_api.init_db.handler", "timeout_seconds": 90, **common},
    }


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client that has the patience of an API: 30 s."""
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture
def service(tmp_path: Path, code: Path, database_url: str) -> Iterator[Service]:
    """The functions over a fresh database, with HTTP before the API."""
    port = free_ports(1)[0]
    running = Service(tmp_path, functions(code, local(database_url)), {"vehicles": {"port": port, "function": "api"}})
    running.http = f"http://127.0.0.1:{port}"
    yield running
    running.close()


def _lines(service: Service, event: str) -> list[str]:
    return [line["line"] for line in service.logged("function_log") if f'"event": "{event}"' in line["line"]]


def test_the_package_serves_http_over_a_database_that_its_own_lambda_prepared(service: Any, http: httpx.Client) -> None:
    """Payload format 2.0, the whole way; the preparation may be repeated (LC-156, LC-162)."""
    assert http.get(f"{service.http}/api/health").json() == {"status": "healthy"}
    assert service.invoke({}, "init")["value"] == {"created": ["vehicles"], "tables": ["vehicles"]}
    assert service.invoke({}, "init")["value"] == {"created": [], "tables": ["vehicles"]}
    made = http.post(f"{service.http}/api/vehicles", json=GOLF)
    assert made.status_code == 201
    assert http.get(f"{service.http}/api/vehicles/{made.json()['id']}").json() == made.json()
    assert http.get(f"{service.http}/api/health/database").json()["status"] == "healthy"


def test_an_event_of_payload_format_1_is_answered_too(service: Any) -> None:
    """As a REST API sends it (LC-162)."""
    event = {
        "version": "1.0",
        "httpMethod": "GET",
        "path": "/api/health",
        "headers": {},
        "queryStringParameters": None,
        "requestContext": {"requestId": "1"},
        "body": None,
        "isBase64Encoded": False,
    }
    answer = service.invoke(event, "api")["value"]
    assert (answer["statusCode"], answer["body"].strip()) == (200, '{"status":"healthy"}')


def test_the_engine_survives_and_the_log_tells_cold_from_warm(service: Any, http: httpx.Client) -> None:
    """The first request of a process is cold, the next ones are warm and use the same connection (LC-158)."""
    service.invoke({}, "init")
    for _ in range(3):
        assert http.get(f"{service.http}/api/vehicles").status_code == 200
    lines = _lines(service, "request")
    assert ['"cold": true' in line for line in lines] == [True, False, False]
    assert all('"request_id": "' in line and '"status": 200' in line for line in lines)
    assert len(service.children()) == 2


def test_a_lambda_answers_before_its_time_is_over_when_the_database_sleeps(
    tmp_path: Path, code: Path, database_url: str, http: httpx.Client
) -> None:
    """503 with Retry-After from a function that has 6 s; 45 s of waiting do not fit (LC-154)."""
    port, closed = free_ports(2)
    sleeping = functions(code, {**local(database_url), "DB_PORT": str(closed)})
    sleeping["api"]["timeout_seconds"] = 6
    service = Service(tmp_path, {"api": sleeping["api"]}, {"vehicles": {"port": port, "function": "api"}})
    try:
        answer = http.get(f"http://127.0.0.1:{port}/api/vehicles")
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "15")
        assert not [line for line in service.logged("invocation") if line["error"]]
    finally:
        service.close()


@pytest.mark.skipif(not _ITS_PLATFORM, reason="the package is for another platform than this one")
def test_the_package_needs_nothing_of_the_machine(code: Path) -> None:
    """Every import of the handlers is in it; boto3, which the runtime has, is loaded only where it is used (LC-159)."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import functions.serverless_api.handler as h; print(h.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program + "; import functions.serverless_api.init_db", str(code)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(code))
    assert not [path for path in code.rglob("*.py") if "serverless_api" in path.parts and "scripts" in path.parts]

"""The local Lambda service as a process of its own, and the AWS SDK as its caller."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config

from stack.ports import free_ports
from tests.waiting import eventually

PACKAGE = Path(__file__).with_name("package")


def sample(**settings: Any) -> dict[str, Any]:
    """Return the settings of the function that does what it is asked."""
    return {"handler": "sample.handler", "code": str(PACKAGE), "timeout_seconds": 30, **settings}


class Service:
    """A running service, the SDK's client for it, and what it has written."""

    def __init__(
        self,
        folder: Path,
        functions: dict[str, dict[str, Any]],
        apis: dict[str, dict[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "lambdas.toml"
        self.config.write_text(_toml({"port": self.port, **settings}, functions, apis or {}))
        self.log = folder / "lambdas.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.lambdas", "--config", str(self.config)], stdout=log, stderr=log
            )
        self.client = boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"max_attempts": 0}, max_pool_connections=64, read_timeout=60),
        )
        eventually(self._answers, "the service answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health").status_code == 200
        return False

    def counts(self, function: str = "sample") -> dict[str, int]:
        """Return how many instances are busy and idle."""
        counts: dict[str, int] = httpx.get(f"{self.url}/health").json()["functions"][function]
        return counts

    def invoke(self, event: Any = None, function: str = "sample", **options: Any) -> dict[str, Any]:
        """Invoke by the SDK; return its answer, with the payload read as JSON under `value`."""
        payload = {} if event is None else {"Payload": json.dumps(event)}
        answer: dict[str, Any] = self.client.invoke(FunctionName=function, **payload, **options)
        text = answer["Payload"].read()
        return {**answer, "value": json.loads(text) if text else None}

    def children(self) -> list[psutil.Process]:
        """Return the processes of instances, zombies too."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name in the service's log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def close(self) -> None:
        """Stop the service; it and all its instances must be gone."""
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(30) == 0, self.log.read_text()


def _toml(settings: dict[str, Any], functions: dict[str, dict[str, Any]], apis: dict[str, dict[str, Any]]) -> str:
    # Numbers, texts and lists look the same in JSON.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    for name, function in functions.items():
        lines.append(f"[functions.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in function.items() if key != "environment"]
        lines.append(f"[functions.{name}.environment]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in function.get("environment", {}).items()]
    for name, api in apis.items():
        lines.append(f"[apis.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in api.items()]
    return "\n".join(lines)


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start services with functions and settings of the test's own."""
    with ExitStack() as running:

        def started(functions: dict[str, dict[str, Any]], **settings: Any) -> Service:
            service = Service(tmp_path, functions, **settings)
            running.callback(service.close)
            return service

        yield started


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that the tests of a module share."""
    running = Service(
        tmp_path_factory.mktemp("lambdas"),
        {
            "sample": sample(environment={"GREETING": "hello"}),
            "growing": sample(),
            "hasty": sample(timeout_seconds=0.5),
            "single": sample(concurrency=1),
            "broken": {"handler": "broken.handler", "code": str(PACKAGE)},
            "missing": {"handler": "sample.nothing", "code": str(PACKAGE)},
        },
        retry_seconds=[0.05, 0.05],
    )
    yield running
    running.close()

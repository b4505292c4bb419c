"""A real schema registry: Apicurio Registry 3.3.3 from Maven Central, by its Confluent-compatible interface.

Its storage is in memory. Confluent's own registry is not on Maven Central.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack import java
from stack.ports import free_ports
from stack.settings import StackSettings
from tests.compose.apicurio import unpacked


class Registry:
    """A registry of the tests' own, which may start late and stop early."""

    def __init__(self, folder: Path, wait_until: Callable[..., Any]) -> None:
        self._folder = folder
        self._wait_until = wait_until
        self._port, self._management = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start, wait until it answers, and let it ask for BACKWARD compatibility, as Confluent's does by itself."""
        environment = {
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self._port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
            "QUARKUS_MANAGEMENT_PORT": str(self._management),
        }
        self._process = subprocess.Popen(
            [java.JAVA_HOME / "bin" / "java", *java.SMALL, "-Xmx256m", "-jar", self._folder / "quarkus-run.jar"],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until(self._answers, "the registry answers", 60)
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

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/subjects").is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="session")
def new_registry(stack_settings: StackSettings, wait_until: Callable[..., Any]) -> Iterator[Callable[[], Registry]]:
    """A maker of registries that are not started yet."""
    made: list[Registry] = []
    folder = unpacked(stack_settings.cache_dir)

    def make() -> Registry:
        made.append(Registry(folder, wait_until))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture(scope="session")
def registry(new_registry: Callable[[], Registry]) -> Registry:
    """The registry of the session."""
    made = new_registry()
    made.start()
    return made

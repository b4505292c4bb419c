"""Engines as processes, with their logs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.cdc.server import Database
from tests.integration.cdc.topics import Topic
from tests.waiting import eventually


@dataclass
class EngineProcess:
    """A `python -m cdc`, with its log."""

    process: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "not_json", "text": line})

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's events of a name."""
        return [line for line in list(self.log) if line["event"] == name]

    def wait_for(self, name: str, seconds: float = 30, count: int = 1) -> dict[str, Any]:
        """Wait until the log has an event so many times."""

        def there() -> bool:
            return len(self.events(name)) >= count or self.process.poll() is not None

        try:
            eventually(there, f"the log says {name}", seconds)
        finally:
            assert len(self.events(name)) >= count, self.log
        return self.events(name)[count - 1]

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        return self.exit_code()

    def exit_code(self, seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


Launch = Callable[..., EngineProcess]


@contextmanager
def engines(database: Database, topic: Topic) -> Iterator[Launch]:
    """Give a starter of engines on a database and a topic; what still runs at the end is killed."""
    started: list[EngineProcess] = []

    def start(**environment: str) -> EngineProcess:
        given = {
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap,
            "CDC_TOPIC": topic.name,
            "SLOT_NAME": f"s_{database.name[-12:]}",
            "CDC_CONFIRM_SECONDS": "0.05",
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "cdc"],
            env={**os.environ, **given},
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
        )
        started.append(EngineProcess(process))
        return started[-1]

    try:
        yield start
    finally:
        for engine in started:
            if engine.process.poll() is None:
                engine.kill()
            if engine.process.stderr is not None and not engine.process.stderr.closed:
                engine.exit_code()

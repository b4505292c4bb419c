"""The bridge as a process of its own, beside a Lambda service and a database with the extension."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import eventually

CALLEE = Path(__file__).with_name("callee")


def callee(**settings: Any) -> dict[str, Any]:
    """Return the settings of the function that callbacks of these tests call."""
    return {"handler": "callee.handler", "code": str(CALLEE), "timeout_seconds": 30, **settings}


class Bridge:
    """A bridge for one database."""

    def __init__(self, url: str, service: str, log: Path, concurrency: int = 16) -> None:
        self.url = url
        self.log = log
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "AWS_ENDPOINT_URL_LAMBDA": service,
            "CALLBACK_CONCURRENCY": str(concurrency),
        }
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "callbacks.bridge"], env=environment, stdout=file, stderr=file
            )

    def ready(self) -> "Bridge":
        """Wait until it says so."""
        eventually(lambda: self.process.poll() is not None or running(self.url), "the bridge runs")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def close(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(15)


def running(url: str) -> bool:
    """Tell whether a bridge runs for a database."""
    return asked(url, "SELECT aws_lambda.bridge_running()") == (True,)


def asked(url: str, query: str, *values: Any) -> tuple[Any, ...]:
    """Return the one row of a query on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row


def nothing_left(url: str) -> bool:
    """Tell whether no answer waits and no slot is left."""
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND NOT active"
    return asked(url, "SELECT count(*) FROM aws_lambda._answer") == asked(url, slots) == (0,)

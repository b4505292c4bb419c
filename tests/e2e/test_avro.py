"""The whole stack on Avro, as a user starts it: `HEADWATER_VALUE_FORMAT=avro headwater up`."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def avro_stack(fresh_environment: dict[str, str]) -> Iterator[Run]:
    """The command for a stack of its own whose values are Avro; stopped afterwards."""

    def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        environment = fresh_environment | {"HEADWATER_VALUE_FORMAT": "avro"} | changes
        command = [sys.executable, "-m", "stack", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)

    yield run
    stopped = run("down")
    assert stopped.returncode == 0, stopped.stderr


def _answer(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_every_event_arrives_once_in_avro_also_after_down_and_up(avro_stack: Run) -> None:
    """POST to consumer by a registry of the stack's own, whose schemas outlive a stop; the form of a stack stays."""
    started = avro_stack("up", "-d")
    assert started.returncode == 0, started.stdout + started.stderr
    first = _answer(avro_stack("demo", "--json", "--events", "40"))
    assert (first["ok"], first["delivered"]) == (True, 40)
    report = _answer(avro_stack("status", "--json"))
    assert report["state"] == "running"
    assert report["services"][-1]["name"] == "schema-registry"
    where = report["endpoints"]["schema-registry"]
    subjects = set(httpx.get(f"{where}/subjects").json())
    assert {"raw-event-headers-value", "filtered-car-created-events-flink-value"} <= subjects
    before = httpx.get(f"{where}/subjects/raw-event-headers-value/versions/latest").json()
    assert _answer(avro_stack("cdc", "doctor", "--json")) is not None
    assert avro_stack("down").returncode == 0
    assert "hold avro" in avro_stack("up", "-d", HEADWATER_VALUE_FORMAT="json").stderr
    assert avro_stack("up", "-d").returncode == 0
    assert httpx.get(f"{where}/subjects/raw-event-headers-value/versions/latest").json() == before
    assert _answer(avro_stack("demo", "--json", "--events", "20"))["ok"] is True

"""An engine that wakes after its slot is another's writes nothing more (point 1 of the promises)."""

import json
import signal
import time
from collections import Counter
from typing import Any

import httpx
import psutil
import pytest

from stack.ports import free_ports

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # what is tested is the engine's process

EVENTS = 400


def freeze(
    database: Any, topic: Any, launch: Any, slot: str, broker: psutil.Process, wait_until: Any, **given: str
) -> Any:
    """Freeze an engine with records waiting for Kafka, and return it."""
    (port,) = free_ports(1)
    # A request for each record, and five under way at most: the others wait in the client's queue.
    kafka = json.dumps({"linger.ms": "0", "batch.num.messages": "1"})
    frozen = launch(CDC_MAX_IN_FLIGHT_RECORDS="1000", CDC_HTTP_PORT=str(port), CDC_KAFKA_CONFIG=kafka, **given)
    frozen.wait_for("streaming")
    database.insert("first")
    wait_until(lambda: topic.of("first"), "a record")
    broker.suspend()
    try:
        for number in range(EVENTS):
            database.insert(f"{number:04}")
        wait_until(lambda: _in_flight(port) == EVENTS, "the engine has handed all of it over")
        frozen.process.send_signal(signal.SIGSTOP)
    finally:
        broker.resume()
    return frozen


def _in_flight(port: int) -> int:
    """Return how many records Kafka has not acknowledged."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("headwater_cdc_in_flight "))


@pytest.fixture
def broker(local_stack: Any, kafka_bootstrap: str) -> psutil.Process:
    """The broker's process."""
    assert kafka_bootstrap
    return psutil.Process(local_stack.processes()["kafka"].pid)


def test_a_frozen_engine_never_writes_again(database, topic, launch, slot, broker, wait_until) -> None:
    """It had hundreds of records queued, and is killed while it is frozen: each is in the topic once."""
    frozen = freeze(database, topic, launch, slot, broker, wait_until, CDC_FREEZE_SECONDS="1")
    successor = launch()
    assert frozen.exit_code() == -signal.SIGKILL
    successor.wait_for("streaming")
    database.insert("last")
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed")
    once = Counter(record.key for record in topic.records())
    assert once == Counter(["first", "last", *(f"{number:04}" for number in range(EVENTS))])


def test_without_the_fuse_it_would(database, topic, launch, slot, broker, wait_until) -> None:
    """The hole is real: what waits in the client's queue is sent before the engine learns that it has lost its slot."""
    frozen = freeze(database, topic, launch, slot, broker, wait_until, CDC_FREEZE_SECONDS="0")
    end = database.wal_end()
    successor = launch()
    successor.wait_for("retrying")
    database.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", slot)
    gone = time.monotonic()
    successor.wait_for("streaming")
    assert time.monotonic() - gone < 5
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed")
    frozen.process.send_signal(signal.SIGCONT)
    frozen.wait_for("retrying")
    database.insert("last")
    wait_until(lambda: topic.of("last"), "the last record")
    once = Counter(record.key for record in topic.records())
    assert max(once.values()) > 1

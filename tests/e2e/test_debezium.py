"""Debezium in our engine's place, on the real Connect: the demonstration, a kill, and changes of engines under load.

One stack serves all of them in turn; it begins with Debezium.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from stack.ports import own_settings
from stack.settings import StackSettings
from stack.sightings import end_offsets

Run = Callable[..., "subprocess.CompletedProcess[str]"]

WAIT_SECONDS = 60
_INSERT = """
WITH new AS (SELECT %(run)s || '-' || n AS id FROM generate_series(%(first)s::int, %(last)s::int) n),
     business AS (INSERT INTO business_events SELECT id, 'load', 'Load', now(), now(), '{}' FROM new RETURNING id)
INSERT INTO event_headers SELECT id, 'load', 'Load', now(), now(), '{}' FROM business
"""


@pytest.fixture(scope="module")
def debezium(state_folder: Any) -> Iterator[tuple[StackSettings, Run]]:
    """A stack that was started with Debezium, and the command that speaks to it."""
    settings = own_settings(state_folder / uuid4().hex)
    environment = {**os.environ, "HEADWATER_STATE_DIR": str(settings.state_dir)}
    environment |= {variable: str(port) for variable, port in settings.ports.items()}

    def run(*arguments: str, timeout: float = 200) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "stack", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    started = run("up", "-d", "--cdc", "debezium")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield settings, run
    finally:
        stopped = run("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


class Load:
    """Commits transactions of one to five headers as fast as the server takes them; counts what is committed."""

    def __init__(self, settings: StackSettings, *, per_second: int = 100) -> None:
        self.run = uuid4().hex[:8]
        self.committed = 0
        self._url = settings.database_url
        self._pause = 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Write for as long as the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def wait_for_more(self, count: int) -> None:
        """Wait until `count` further headers are committed."""
        target, deadline = self.committed + count, time.monotonic() + WAIT_SECONDS
        while self.committed < target:
            assert time.monotonic() < deadline, f"no {count} further headers committed"
            self._stop.wait(0.02)

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(self._pause):
                last = self.committed + 1 + self.committed % 5
                connection.execute(_INSERT, {"run": self.run, "first": self.committed + 1, "last": last})
                self.committed = last


def _keys(settings: StackSettings, start: str) -> list[str]:
    """Return the ids of the records whose id begins so, as often as they are there."""
    reader = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "count", "enable.auto.commit": False})
    ends = {end.partition: end.offset for end in end_offsets(settings.kafka_bootstrap, ["raw-event-headers"])}
    ends = {partition: offset for partition, offset in ends.items() if offset > 0}
    reader.assign([TopicPartition("raw-event-headers", partition, 0) for partition in ends])
    found: list[str] = []
    try:
        while ends:
            message = reader.poll(30)
            assert message is not None, "the raw topic cannot be read to its end"
            partition, key = message.partition() or 0, message.key()
            if message.error() is None and key is not None and (name := json.loads(key)["id"]).startswith(start):
                found.append(name)
            if (message.offset() or 0) + 1 >= ends.get(partition, 1 << 62):
                del ends[partition]
    finally:
        reader.close()
    return found


def _repeated(settings: StackSettings, load: Load) -> int:
    """Wait until every committed header is in the raw topic; return how many records are there more than once."""
    deadline, pause = time.monotonic() + WAIT_SECONDS, threading.Event()
    while len(found := Counter(_keys(settings, load.run))) < load.committed:
        assert time.monotonic() < deadline, f"{load.committed - len(found)} of {load.committed} headers are missing"
        pause.wait(0.5)
    return found.total() - len(found)


def _pid(run: Run, service: str) -> int:
    report = json.loads(run("status", "--json").stdout)
    return int(next(each["pid"] or 0 for each in report["services"] if each["name"] == service))


@pytest.mark.timeout(600)
def test_the_demonstration_delivers_every_event_exactly_once_by_debezium(debezium: tuple[StackSettings, Run]) -> None:
    """`demo --json --cdc debezium` is ok, and `status` lists Connect in the engine's place."""
    _settings, run = debezium
    done = run("demo", "--json", "--cdc", "debezium", "--events", "80")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["ok"], result["delivered"]) == (True, 80)
    report = json.loads(run("status", "--json").stdout)
    assert report["state"] == "running"
    names = [service["name"] for service in report["services"]]
    assert "connect" in names
    assert "cdc" not in names
    examined = run("cdc", "doctor", "--json")
    assert examined.returncode == 0, examined.stdout


def test_the_other_engine_is_not_started_beside_it(debezium: tuple[StackSettings, Run]) -> None:
    """`up --cdc native` on a stack that Debezium serves says how to change engines (CD-8)."""
    _settings, run = debezium
    refused = run("up", "-d", "--cdc", "native")
    assert refused.returncode == 1
    assert "headwater cdc switch native" in " ".join(refused.stderr.split())


def test_deploying_again_changes_nothing(debezium: tuple[StackSettings, Run]) -> None:
    """The same document twice is one connector that goes on running (CD-67)."""
    _settings, run = debezium
    again = run("cdc", "deploy")
    assert again.returncode == 0, again.stderr
    assert "unchanged, RUNNING" in again.stdout


@pytest.mark.timeout(300)
def test_a_killed_connect_comes_back_and_loses_nothing(
    debezium: tuple[StackSettings, Run], record_property: Callable[[str, object], None]
) -> None:
    """`kill -9` under load: every committed header is in the topic; some may be there twice (CD-110)."""
    settings, run = debezium
    load = Load(settings)
    with load.running():
        load.wait_for_more(200)
        pid = _pid(run, "connect")
        os.kill(pid, signal.SIGKILL)
        load.wait_for_more(600)
    repeated = _repeated(settings, load)
    assert _pid(run, "connect") not in (0, pid)
    record_property("figure", f"kill -9 of Connect: {load.committed} headers, {repeated} repeated")


@pytest.mark.timeout(300)
def test_engines_change_under_load_in_both_directions_without_loss(
    debezium: tuple[StackSettings, Run], record_property: Callable[[str, object], None]
) -> None:
    """Debezium, ours, Debezium, ours, on one slot: nothing is missing and no more comes twice than was said."""
    settings, run = debezium
    load, said = Load(settings), 0
    with load.running():
        for engine in ("native", "debezium", "native", "debezium"):
            load.wait_for_more(300)
            done = run("cdc", "switch", engine, "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            said += json.loads(done.stdout)["repeated"]
        load.wait_for_more(300)
    repeated = _repeated(settings, load)
    told = f"four changes of engines: {load.committed} headers, {repeated} repeated, {said} announced"
    record_property("figure", told)
    assert repeated <= said
    report = json.loads(run("status", "--json").stdout)
    assert report["state"] == "running"


@pytest.mark.timeout(120)
def test_an_idle_tables_slot_moves_on_and_no_other_topic_fills(debezium: tuple[StackSettings, Run]) -> None:
    """The heartbeat's message gives the slot something to be confirmed, and is nobody's record (CD-11)."""
    settings, run = debezium
    assert run("cdc", "switch", "debezium").returncode == 0
    deadline, pause = time.monotonic() + WAIT_SECONDS, threading.Event()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE elsewhere (x int)")
        target: Any = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        question = "SELECT bool_and(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots"
        while connection.execute(question, target).fetchone() != (True,):
            assert time.monotonic() < deadline, "the slot stands still"
            pause.wait(0.5)
    topics = AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).list_topics(timeout=10).topics
    assert not [topic for topic in topics if topic.startswith("postgres-cdc")]


@pytest.mark.timeout(300)
def test_a_slot_that_moved_without_debezium_is_not_handed_to_our_engine(debezium: tuple[StackSettings, Run]) -> None:
    """Somebody drops the slot and creates it anew while Connect is down: the change of engines refuses the gap."""
    settings, run = debezium
    pid = _pid(run, "connect")
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        os.kill(pid, signal.SIGSTOP)
        try:
            _recreate(connection)
        finally:
            os.kill(pid, signal.SIGKILL)
    refused = run("cdc", "switch", "native")
    assert refused.returncode == 1
    assert "CDC_ACCEPT_GAP=" in refused.stderr


def _recreate(connection: psycopg.Connection[Any]) -> None:
    slot = "business_events_cdc_slot"
    connection.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (slot,)
    )
    deadline, pause = time.monotonic() + WAIT_SECONDS, threading.Event()
    while True:
        try:
            connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
            break
        except psycopg.errors.ObjectInUse:
            assert time.monotonic() < deadline
            pause.wait(0.1)
    connection.execute("INSERT INTO business_events VALUES ('gap', 'n', NULL, NULL, NULL, '{}')")
    connection.execute("INSERT INTO event_headers VALUES ('gap', 'n', NULL, NULL, NULL, '{}')")
    connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))

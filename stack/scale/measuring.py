"""Owns the measurement of the figures that `headwater sim scale` goes by: what an event costs each part, here.

Processor time is that of the process, so that a neighbour on the machine disturbs it less than a rate. A walsender
reads the same backlog again and again, each time from a copy of one slot, through row filters in turn. Must never
print. Facts: PostgreSQL manual, pg_recvlogical; 9.28.6 (replication slot functions).
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psutil
import psycopg
from confluent_kafka import Message
from pydantic import SecretStr

import schemas
from consumers.consumer import Consumer
from consumers.record import Record
from consumers.settings import ConsumerSettings
from database import DatabaseSettings, Deadline, Direct, Links
from producer.model import Event, check_structure, make_event
from producer.store import EventStore
from stack import kafka, postgres
from stack.errors import StackError
from stack.local import LocalStack
from stack.routes import RAW_TOPIC
from stack.scale.backlog import SHARDS, Backlog, publication
from stack.scale.readings import Measured, Readings
from stack.sightings import end_offsets

_SECONDS = 300
_TICK_SECONDS = 0.02
_LARGE = 100
"""Events in a transaction of the second backlog."""
_WARM_EVENTS = 100


def run(stack: LocalStack, events: int, rounds: int) -> Measured:
    """Measure every part in turn.

    Args:
        stack: A stack with nothing running.
        events: In the backlog of one-event transactions; the other one has four times as many.
        rounds: How often a walsender reads each backlog through each filter.

    Raises:
        StackError: A part does not do its work in time.
    """
    stack.start("postgres", "kafka")
    postgres.create_tables(stack.settings)
    kafka.create_topics(stack.settings)
    with psycopg.connect(stack.settings.database_url, autocommit=True) as connection:
        bench = _Bench(stack, Backlog(connection))
        # Creates the slot, so that what follows is a backlog and no snapshot.
        stack.start("cdc")
        bench.stop_engine()
        one = bench.measure(events, 1, rounds)
        large = bench.measure(max(1, 4 * events // _LARGE), _LARGE, rounds)
        return Measured(one, large, bench.store(min(events, 4000)), *bench.consume())


class _Bench:
    def __init__(self, stack: LocalStack, backlog: Backlog) -> None:
        self._stack = stack
        self._backlog = backlog
        self._pacer = threading.Event()
        self._sent = 0

    def measure(self, transactions: int, events: int, rounds: int) -> Readings:
        """Load a backlog, read it through every filter, then let the engine drain it."""
        readings, count = Readings(events), transactions * events
        with self._backlog.slot("measured"):
            before = _microseconds(backend := psutil.Process(self._backlog.backend))
            wal, stored = self._backlog.load(transactions, events)
            readings.load_us = (_microseconds(backend) - before) / count
            readings.wal_bytes, readings.stored_bytes = wal / count, stored / count
            end = self._backlog.position()
            for _ in range(rounds):
                for shards in (*SHARDS, 0):
                    processor, seconds = self._read(shards, end)
                    readings.walsender_us.setdefault(shards, []).append(processor / count)
                    readings.walsender_rate.setdefault(shards, []).append(count / seconds)
        self._drain(readings, count)
        return readings

    def _read(self, shards: int, end: str) -> tuple[float, float]:
        """Let a walsender send the backlog to nobody; return its processor time in microseconds, and the seconds."""
        options = ("proto_version=1", f"publication_names={publication(shards)}")
        with self._backlog.copy("measured") as slot:
            command: list[str | Path] = [
                postgres.BINARIES / "pg_recvlogical",
                "--dbname",
                self._stack.settings.database_url,
            ]
            command += ["--slot", slot, "--start", "--file", "/dev/null", "--fsync-interval", "0", "--no-loop"]
            command += ["--endpos", end, *(f"--option={option}" for option in options)]
            began = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as reader:
                processor, walsender = 0.0, None
                while reader.poll() is None:
                    walsender = walsender or self._walsender(slot)
                    if walsender is not None:
                        with suppress(psutil.Error):
                            processor = _microseconds(walsender)
                    self._pacer.wait(_TICK_SECONDS)
                seconds = time.perf_counter() - began
                complaint = reader.stderr.read().decode() if reader.stderr else ""
            if reader.returncode != 0:
                raise StackError(f"pg_recvlogical fails: {complaint.strip()[-400:]}", "See `logs/postgres.log`.")
            self._await(lambda: self._backlog.walsender(slot) is None, "The walsender does not end.")
        return processor, seconds

    def _walsender(self, slot: str) -> psutil.Process | None:
        pid = self._backlog.walsender(slot)
        with suppress(psutil.NoSuchProcess):
            return None if pid is None else psutil.Process(pid)
        return None

    def _drain(self, readings: Readings, count: int) -> None:
        """Start the engine on the backlog, and count from the first record that is in Kafka to the last."""
        self._stack.start("cdc")
        engine = psutil.Process(self._stack.processes()["cdc"].pid)
        broker = psutil.Process(self._stack.processes()["kafka"].pid)
        began, before = 0.0, (0.0, 0.0)

        def begun() -> bool:
            # The last look before the first record: the engine's start is not in it.
            nonlocal began, before
            began, before = time.perf_counter(), (_microseconds(engine), _microseconds(broker))
            return self._records() > self._sent

        self._await(begun, "The engine sends nothing.")
        self._await(lambda: self._records() >= self._sent + count, "The engine does not drain the backlog.")
        readings.engine_us = (_microseconds(engine) - before[0]) / count
        readings.broker_us = (_microseconds(broker) - before[1]) / count
        readings.drain_rate = count / (time.perf_counter() - began)
        self.stop_engine()
        readings.lost = self._sent + count - self._records()
        self._sent = self._records()

    def stop_engine(self) -> None:
        """Stop the engine in good order, so that its slot is confirmed to the end."""
        self._stack.supervisor.stop("cdc")
        ended = ("STOPPED", "EXITED")
        self._await(lambda: self._stack.processes()["cdc"].state in ended, "The engine does not stop.")

    def _records(self) -> int:
        return sum(end.offset for end in end_offsets(self._stack.settings.kafka_bootstrap, [RAW_TOPIC]))

    def store(self, count: int) -> float:
        """Write events as the producer does, one client, one after the other; return the server's microseconds each."""
        settings = DatabaseSettings(database_url=SecretStr(self._stack.settings.database_url))
        links = Links(Direct.of(settings), settings.limits)
        events = [_event() for _ in range(count)]
        try:
            deadline = Deadline.after(_SECONDS)
            backend = psutil.Process(links.mine().connection(deadline).info.backend_pid)
            store = EventStore(links)
            # Prepares the statement.
            for _ in range(_WARM_EVENTS):
                store.store(_event(), deadline)
            before = _microseconds(backend)
            for event in events:
                store.store(event, deadline)
            return (_microseconds(backend) - before) / count
        finally:
            links.close()

    def consume(self) -> tuple[float, float]:
        """Read the raw topic as a consumer does; return the bytes of a record, and the microseconds for it."""
        stop, sizes, total = threading.Event(), [0, 0], self._sent

        def handle(_record: Record, message: Message) -> None:
            pairs = cast("list[tuple[str, bytes]]", message.headers() or [])
            headers = sum(len(name) + len(value) for name, value in pairs)
            sizes[0] += len(message.key() or b"") + len(message.value() or b"") + headers
            sizes[1] += 1
            if sizes[1] >= total:
                stop.set()

        settings = ConsumerSettings(
            kafka_bootstrap_servers=self._stack.settings.kafka_bootstrap,
            kafka_topic=RAW_TOPIC,
            consumer_group_id="measured-group",
        )
        before = _microseconds(mine := psutil.Process())
        thread = threading.Thread(target=Consumer(settings, handle).run, args=(stop,))
        thread.start()
        thread.join(_SECONDS)
        if thread.is_alive():
            stop.set()
            raise StackError("The consumer does not read the topic in time.", "See `logs/kafka.log`.")
        return sizes[0] / sizes[1], (_microseconds(mine) - before) / sizes[1]

    def _await(self, is_so: Callable[[], bool], trouble: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                raise StackError(trouble, f"It had {_SECONDS} s; is the machine busy?")
            self._pacer.wait(_TICK_SECONDS)


def _event() -> Event:
    document = schemas.sized_event("CarCreated")
    return make_event(check_structure(document), document, json.dumps(document), datetime.now(UTC))


def _microseconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system) * 1e6
